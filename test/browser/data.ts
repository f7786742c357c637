/** Makes a data directory for the tests in a browser and for pictures: two associations over half a year, with hostile and long texts. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '../../contracts/contract.ts'
import { lines, makeDirectory, numbered, writeAssociation } from '../audit-build.ts'
import { latest } from '../variants.ts'

export const slug = 'heron-ridge-condominium'
export const address = '22c@5sb-8hm-54v'
const addresses = [address, '23c@5sb-8hm-54v', '24d@5sb-8hm-54v']
const day = 86_400_000
const began = Date.UTC(2026, 0, 3, 9)

export const narratives = [
  'The roof over the garage has leaked since May.\n\n\tThree reports to the manager, no answer.\n\tThe ceiling is down now.',
  'The portal showed “no payment method” for two weeks.',
  'Rechnung über 1 200 € doppelt abgebucht;  Rückfrage unbeantwortet.',
  'Read this: \u202egnihton\u0007 <script>alert(1)</script><img src=x onerror=alert(1)>',
]

/** Members that no contract names, from a sender who wants the record to look verified. */
const forged: JsonObject = { verified: true, record_sha256: 'verified by the court', verdict: 'Whole' }

export function scenario(index: number, name = slug): JsonObject {
  const at = new Date(began + index * 3 * day).toISOString().replace('.000Z', 'Z')
  return {
    ...numbered(index + 1),
    association_slug: name,
    participant_id: addresses[index % 3] as string,
    submitted_at: at,
    standing: ['participant', 'professional', 'public'][index % 3] as string,
    pinned_scenario_ids: [`DSC-0${(index % 5) + 1}-S0${(index % 3) + 1}`],
    narrative: narratives[index % 4] as string,
    vs_snapshot: {
      ho_claimed_type: index < 30 ? 'condominium' : 'planned community',
      ho_monthly_fee: String(310 + Math.floor(index / 4) * 5),
    },
    dsc_snapshot: { roof: index % 2 === 0 ? 'reported' : 'leaking' },
    ...(index === 6 ? forged : {}),
  }
}

/** Writes the envelopes as records, each received three days after the one before, and gives the head as `heads` prints it. */
export function writeScenarios(root: string, name: string, envelopes: readonly JsonObject[]): string {
  mkdirSync(join(root, 'scn01'), { recursive: true })
  const received = (index: number): string => new Date(began + index * 3 * day + 1000).toISOString()
  const made = lines(envelopes, received)
  writeAssociation(root, name, made)
  return `scn01/${name}:${made.position.count}:${made.position.sha256}`
}

/** Writes the whole data directory, and gives the heads, one a line. */
export function writeData(root: string): string {
  mkdirSync(root, { recursive: true })
  writeFileSync(join(root, '.civic-orchestrator'), 'Records belong in this directory.\n', { mode: 0o640 })
  for (const addon of ['scn01', 'vs01', 'dsc01']) makeDirectory(join(root, addon))
  const second = Array.from({ length: 12 }, (_, index) => ({
    ...scenario(index, 'plum-grove-21'),
    g1_tx_hash: null,
  }))
  const heads = [
    writeScenarios(
      root,
      slug,
      Array.from({ length: 64 }, (_, index) => scenario(index)),
    ),
    writeScenarios(root, 'plum-grove-21', second),
  ]
  for (const addon of ['vs01', 'dsc01']) {
    makeDirectory(join(root, addon, slug))
    for (const participant_id of addresses) {
      const record = { ...latest(addon), association_slug: slug, participant_id }
      const path = join(root, addon, slug, `${participant_id}.json`)
      writeFileSync(path, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o640 })
    }
  }
  return `${heads.join('\n')}\n`
}
