/** Gets members of a record by name, and never those that every object of JavaScript has. Runs in a browser, too. */
import type { Json, JsonObject } from '../../contracts/contract.ts'
import { isObject } from '../../contracts/envelope.ts'
import { utf8 } from '../records/bytes.ts'

export function objectOf(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(utf8(bytes))
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A member that holds a string, or undefined. */
export function textMember(record: JsonObject | undefined, name: string): string | undefined {
  const value = record && Object.hasOwn(record, name) ? record[name] : undefined
  return typeof value === 'string' ? value : undefined
}

/** A member of any kind, or undefined. */
export function member(record: JsonObject | undefined, name: string): Json | undefined {
  return record && Object.hasOwn(record, name) ? record[name] : undefined
}

/** When a record without history was received, as its receipt says. */
export function receivedAt({ receipt }: JsonObject): string | undefined {
  return isObject(receipt) ? textMember(receipt, 'received_at') : undefined
}
