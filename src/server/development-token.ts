/** Outside production, when no token is configured: one is made, kept in the data directory, and shown once. */

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hasCode } from '../error-code.ts'
import { ownerOnly } from '../records/layout.ts'
import { writeSmallFile } from '../storage/files/small-file.ts'
import { tokenMistake } from './token-rule.ts'

export type DevelopmentToken = { readonly token: string; readonly isNew: boolean }

/** Two receivers that start at once agree on the token of the one that was first. */
export async function developmentToken(file: string): Promise<DevelopmentToken> {
  const found = readToken(file)
  if (found !== undefined && tokenMistake(found) === undefined) return { token: found, isNew: false }
  const token = randomBytes(32).toString('hex')
  // one that a full disk or a power cut has left empty or cut short is replaced: with it, everybody could be let in
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

/** The first request, ready to paste. `target` is what curl is told before the path; `presented` is the token, or a shell expression that reads it. */
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
