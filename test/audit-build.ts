/** Makes data directories for the auditor's tests. The receiver's own code writes the lines; the tests then damage them. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'
import { accept } from '../src/envelope/accept.ts'
import { assemble, draftOf } from '../src/records/batch.ts'
import { utf8 } from '../src/records/bytes.ts'
import { headOf, headText } from '../src/records/head.ts'
import { closing, emptyPosition } from '../src/records/position.ts'
import { audit } from './said.ts'

export const slug = 'plum-grove-21'

export const envelope: JsonObject = {
  addon: 'scn01',
  contract_version: '1.0',
  association_slug: slug,
  association_channel_id: '9',
  participant_id: '22c@5sb-8hm-54v',
  submitted_at: '2026-07-02T06:30:00Z',
  standing: 'participant',
  pinned_scenario_ids: ['DSC-10-S02'],
  narrative: 'x',
  vs_snapshot: { ho_claimed_source: '["management_company","closing_documents"]' },
  dsc_snapshot: {},
}

/** Envelope number `index`. Each is different, and some have a payment hash. */
export const numbered = (index: number): JsonObject => ({
  ...envelope,
  narrative: `Submission ${index}. ${'The portal showed “no payment method”. '.repeat(12)}`,
  g1_tx_hash: index % 2 === 0 ? index.toString(16).padStart(64, '0') : null,
})

const context = { tokenSha256: 'ab'.repeat(32), now: new Date('2027-02-07') }

/** The text of a records file of these envelopes, with its chain, and the head after the last one. */
export function lines(
  envelopes: readonly JsonObject[],
  receivedAt: (index: number) => string = () => '2026-07-02T06:30:01.000Z',
) {
  let position = emptyPosition
  const parts = envelopes.map((sent, index) => {
    const accepted = accept(sent, [], context, contracts)
    if (!accepted.ok) throw new Error(JSON.stringify(accepted.errors))
    const { bytes, next } = assemble(position, index === 0, [draftOf(accepted.record)], receivedAt(index))
    position = next
    return utf8(bytes.subarray(0, -closing.length))
  })
  return { text: parts.join('') + closing, head: headText(headOf(position)), position }
}

export type Association = { readonly directory: string; readonly records: string; readonly head: string }

export function association(root: string, name = slug): Association {
  const directory = join(root, 'scn01', name)
  return { directory, records: join(directory, 'records.json'), head: join(directory, '.records.head.json') }
}

/** Writes an association of `count` records with the modes of the receiver. */
export function build(root: string, count: number): Association {
  makeDirectory(join(root, 'scn01'))
  const envelopes = Array.from({ length: count }, (_, index) => numbered(index + 1))
  return writeAssociation(root, slug, lines(envelopes))
}

export function writeAssociation(
  root: string,
  name: string,
  { text, head }: { readonly text: string; readonly head: string },
): Association {
  const made = association(root, name)
  makeDirectory(made.directory)
  writeFileSync(made.records, text, { mode: 0o640 })
  writeFileSync(made.head, head, { mode: 0o640 })
  return made
}

export function makeDirectory(path: string): void {
  mkdirSync(path)
  chmodSync(path, 0o2750)
}

export type VerifyMessage = {
  readonly type: string
  readonly kind?: string
  readonly path?: string
  readonly record?: number
  readonly line?: number
  readonly what?: string
  readonly [more: string]: unknown
}

/** Runs `verify --json` and gives its findings, without the notes, as `kind record` or `kind line`. */
export async function verify(
  root: string,
  ...more: readonly string[]
): Promise<{ exit: number; told: VerifyMessage[]; found: string[] }> {
  const { exit, out, err } = await audit('verify', '--data', root, '--json', ...more)
  if (exit === 2) throw new Error(err)
  const told = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as VerifyMessage)
  const findings = told.filter(({ type }) => type === 'finding')
  return {
    exit,
    told,
    found: findings.map(
      ({ kind, record, line }) => `${kind} ${record === undefined ? `line ${line}` : record}`,
    ),
  }
}
