/** Makes a token when none is configured, outside production only. The token is kept in the data directory and shown once. */

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hasCode } from '../error-code.ts'
import { ownerOnly } from '../records/layout.ts'
import { writeSmallFile } from '../storage/files/small-file.ts'
import { tokenMistake } from './token-rule.ts'

export type DevelopmentToken = { readonly token: string; readonly isNew: boolean }

/** If two receivers start at the same time, both use the token of the first one. */
export async function developmentToken(file: string): Promise<DevelopmentToken> {
  const found = readToken(file)
  if (found !== undefined && tokenMistake(found) === undefined) return { token: found, isNew: false }
  const token = randomBytes(32).toString('hex')
  // a token file that a full disk or a power cut has left empty or short is replaced, because such a token is easy to guess
  const isNew = await writeSmallFile(file, `${token}\n`, {
    mode: ownerOnly,
    onlyIfAbsent: found === undefined,
  })
  return { token: isNew ? token : (readToken(file) as string), isNew }
}

function readToken(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/**
 * A first request, ready to paste. `target` is the address for curl; `presented` is the token, or a shell expression that reads
 * it.
 */
export function exampleCommand(target: string, presented: string, now: Date): string {
  const envelope = {
    addon: 'vs01',
    contract_version: '1.0',
    association_slug: 'first-association',
    association_channel_id: '1',
    participant_id: 'SASE1-22c-at-5sb-8hm-54v',
    submitted_at: `${now.toISOString().slice(0, 19)}Z`,
    standing: 'participant',
    fields: { ho_claimed_type: 'condominium' },
  }
  return `curl -i ${target}/receive -H "X-Node-Token: ${presented}" --data-binary '${JSON.stringify(envelope)}'`
}
