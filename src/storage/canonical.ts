/** RFC 8785, the JSON Canonicalization Scheme: one text for one value, so that its hash names the value. */
import type { Json } from '../../contracts/contract.ts'
import type { Member } from '../../contracts/record.ts'

/** Keys by UTF-16 code units (the order of `sort()`), numbers and strings as ECMAScript prints them. */
export function canonicalJson(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const object = value as { readonly [key: string]: Json }
  let text = ''
  for (const key of Object.keys(object).sort()) {
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(object[key] as Json)}`
  }
  return `{${text}}`
}

/** The same for an object that is still a list of members with distinct names. */
export function canonicalMembers(members: readonly Member[]): string {
  const byName = [...members].sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${byName.map(([name, value]) => `${JSON.stringify(name)}:${canonicalJson(value)}`).join(',')}}`
}
