/**
 * `mirror --check` compares every line and every file of the tree with the database, and changes nothing. It finds a row that
 * somebody altered after it was mirrored. The tree still has the earlier form, which is the evidence.
 *
 * Records that the tree does not have yet are counted and are no finding.
 */

import { join } from 'node:path'
import { diskDirectory } from '../audit/verify/disk-directory.ts'
import { readTree } from '../audit/verify/tree.ts'
import { hasCode } from '../error-code.ts'
import { recordsName } from '../records/layout.ts'
import { sha256Hex } from '../records/sha256.ts'
import { associationDirectories } from '../storage/files/paths.ts'
import { recordLines, withSnapshot } from '../storage/files/snapshot-file.ts'
import type { Connection } from '../storage/postgres/connection.ts'
import {
  bodiesOf,
  hashesBehind,
  heads,
  latestSince,
  type ServerHead,
  type ServerLatest,
} from '../storage/postgres/reading.ts'
import { associationsIn } from './mirror.ts'
import { latestOnDisk } from './mirror-latest.ts'

export type MirrorVerdict = {
  readonly records: number
  readonly files: number
  /** How many records and files the tree does not have yet, or has in an earlier form. */
  readonly behind: number
  readonly findings: readonly string[]
}

type MirrorTally = { records: number; files: number; behind: number; readonly findings: string[] }

export async function checkTree(root: string, connection: Connection): Promise<MirrorVerdict> {
  const tally: MirrorTally = { records: 0, files: 0, behind: 0, findings: [] }
  const seen = new Set<string>()
  for await (const head of heads(connection)) {
    seen.add(`${head.addon}/${head.association_slug}`)
    await checkRecords(root, connection, head, tally)
  }
  for (const name of await associationsIn(root))
    if (!seen.has(name)) tally.findings.push(`${name}: the database has no record of this association`)
  for await (const page of latestSince(connection, '0')) {
    for (const latest of page) {
      seen.add(pathOf(latest))
      await checkLatest(root, connection, latest, tally)
    }
  }
  const { files } = await readTree(diskDirectory(root), {
    report: () => {},
    checkModes: false,
    now: Date.now(),
  })
  for (const { path } of files)
    if (!seen.has(path)) tally.findings.push(`${path}: the database does not have it`)
  return tally
}

const pathOf = ({ addon, association_slug, participant_id }: ServerLatest): string =>
  `${addon}/${association_slug}/${participant_id}.json`

async function checkRecords(
  root: string,
  connection: Connection,
  head: ServerHead,
  tally: MirrorTally,
): Promise<void> {
  const name = `${head.addon}/${head.association_slug}`
  const path = join(associationDirectories(root, head)[1], recordsName)
  const there = hashes(connection, head)
  const tell = (what: string): void => void tally.findings.push(`${name}, ${what}`)
  let sequence = 0
  try {
    await withSnapshot(path, async (snapshot) => {
      for await (const line of recordLines(snapshot)) {
        sequence++
        const next = await there.next()
        if (next.done) return tell(`record ${sequence}: the tree has it, and the database does not`)
        if (next.value.sequence !== sequence)
          return tell(`record ${sequence}: the database has record ${next.value.sequence} in its place`)
        if (sha256Hex(line) !== next.value.sha256)
          tell(`record ${sequence}: the database has another one than the tree`)
        tally.records++
      }
    })
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
  let last = ''
  for await (const { sha256 } of there) {
    tally.behind++
    last = sha256
  }
  const [atHead] = await hashesBehind(connection, head, head.count - 1, head.count)
  if (atHead?.sha256 !== head.sha256 && last !== head.sha256)
    tell(`record ${head.count}: the database's own head names another one`)
}

async function* hashes(
  connection: Connection,
  of: ServerHead,
): AsyncGenerator<{ sequence: number; sha256: string }> {
  let sequence = 0
  for (;;) {
    const page = await hashesBehind(connection, of, sequence, Number.MAX_SAFE_INTEGER)
    yield* page
    const last = page.at(-1)
    if (!last) return
    sequence = last.sequence
  }
}

async function checkLatest(
  root: string,
  connection: Connection,
  latest: ServerLatest,
  tally: MirrorTally,
): Promise<void> {
  const bytes = latestOnDisk(root, latest)
  if (!bytes) {
    tally.behind++
    return
  }
  tally.files++
  if (sha256Hex(bytes) === latest.sha256) return
  const [now] = await bodiesOf(connection, [latest])
  if (now && receivedAt(bytes) < receivedAt(now.body)) tally.behind++
  else
    tally.findings.push(`${pathOf(latest)}: the database has another form than the tree, and not a later one`)
}

/** `received_at` of a file, whose receipt is the last member and is indented. */
function receivedAt(body: Buffer): string {
  return /"received_at": "([^"]*)"\n {2}\}\n\}\n$/.exec(body.toString('latin1'))?.[1] ?? ''
}
