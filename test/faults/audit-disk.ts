/**
 * Reads back every file below a data directory and compares it with the answers that the senders got.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { chainIn, sha256 } from '../disk.ts'
import { isStored, type Ledger, receiptsOf, type Sent } from './load.ts'
import type { Row } from './part.ts'

type DiskRecord = {
  readonly record: Record<string, unknown>
  readonly sha256: string
  readonly sequence: number
}

export type Disk = {
  /** The `scn01` records by association, in the order of the file. */
  readonly appended: ReadonlyMap<string, readonly DiskRecord[]>
  /** The `vs01` and `dsc01` files by `slug/participant`. */
  readonly overwritten: ReadonlyMap<string, Record<string, unknown>>
  /** Files that no auditor could read, one sentence each. */
  readonly unreadable: readonly string[]
  /** Files and directories that do not belong there. */
  readonly strange: readonly string[]
}

export type DiskVerdict = Pick<Row, 'lost' | 'duplicated' | 'unreadable' | 'wrong' | 'notes'>

/** Files that may lie beside the records: the head file, a torn tail, and the leftovers of a killed overwrite until the next start. */
const beside =
  /^(\.records\.head\.json|\.tmp-\d+-[0-9a-f]{12}|records\.json\.torn-\d{8}T\d{9}Z|records\.json\.lock(\.stale-\d+)?)$/

/** Reads a data directory. With `only`, reads only these associations, because some directories have many. */
export function readDisk(root: string, only?: readonly string[]): Disk {
  const appended = new Map<string, readonly DiskRecord[]>()
  const overwritten = new Map<string, Record<string, unknown>>()
  const unreadable: string[] = []
  const strange: string[] = []
  for (const addon of list(root)) {
    for (const slug of only ?? list(join(root, addon))) {
      for (const name of list(join(root, addon, slug))) {
        const path = join(root, addon, slug, name)
        if (beside.test(name)) continue
        try {
          if (addon === 'scn01' && name === 'records.json') appended.set(slug, recordsIn(readFileSync(path)))
          else if (addon !== 'scn01' && name.endsWith('.json'))
            overwritten.set(`${slug}/${name.slice(0, -5)}`, JSON.parse(wholeText(readFileSync(path))))
          else strange.push(`${addon}/…/${name}`)
        } catch (error) {
          unreadable.push(`${addon}/${slug}/${name}: ${(error as Error).message.slice(0, 160)}`)
        }
      }
    }
  }
  return { appended, overwritten, unreadable, strange }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name !== 'lost+found')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

export function wholeText(bytes: Buffer): string {
  if (bytes.at(-1) !== 10) throw new Error('has no final line feed')
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}

/** The records in a records file. An empty file has no records. */
export function recordsIn(bytes: Buffer): DiskRecord[] {
  if (bytes.length === 0) return []
  const { lines, records } = chainIn(bytes)
  return records.map((record, at) => ({ record, sha256: sha256(lines[at] as Buffer), sequence: at + 1 }))
}

/** The marks of all envelopes that are stored. */
export function marksOn({ appended, overwritten }: Disk): Set<string> {
  const records = [...appended.values()].flat()
  const files = [...overwritten.values()]
  return new Set([
    ...records.map(({ record }) => markOf(record)),
    ...files.map(({ fields }) => (fields as { mark: string }).mark),
  ])
}

function markOf(record: Record<string, unknown>): string {
  return String(record.narrative).split(' ', 1)[0] as string
}

/** Judges the disk after a fault, once everything has been sent again (`Ledger.sendUnacknowledged`). */
export function judge(disk: Disk, ledger: Ledger): DiskVerdict {
  const complaints = ledger.takeComplaints()
  const notes = [...disk.unreadable, ...disk.strange, ...complaints]
  const scenarios = judgeScenarios(disk, ledger, notes)
  const lost = scenarios.lost + lostOverwrites(disk, ledger, notes)
  const wrong = disk.strange.length + complaints.length + scenarios.wrong
  return { lost, duplicated: scenarios.duplicated, unreadable: disk.unreadable.length, wrong, notes }
}

function judgeScenarios(disk: Disk, ledger: Ledger, notes: string[]) {
  const found = new Map<string, DiskRecord[]>()
  for (const records of disk.appended.values()) {
    for (const stored of records) {
      const mark = markOf(stored.record)
      found.set(mark, [...(found.get(mark) ?? []), stored])
    }
  }
  let [lost, duplicated, wrong] = [0, 0, 0]
  const tell = (sentence: string): void => {
    notes.push(sentence)
  }
  for (const sent of ledger.sent) {
    if (sent.addon !== 'scn01') continue
    const receipts = receiptsOf(sent)
    const here = found.get(sent.mark) ?? []
    found.delete(sent.mark)
    if (here.length > 1) {
      duplicated++
      tell(`${sent.slug}: ${sent.mark} is stored ${here.length} times`)
    }
    const stored = here[0]
    if (receipts.length > 0 && !stored) {
      lost++
      tell(`${sent.slug}: ${sent.mark} was acknowledged and is not there`)
    } else if (stored && !receipts.every((one) => agrees(one.sequence, one.record_sha256, stored))) {
      lost++
      tell(`${sent.slug}: ${sent.mark} is not as its receipt says`)
    } else if (stored && !isAsSent(stored.record, sent.envelope)) {
      lost++
      tell(`${sent.slug}: ${sent.mark} is not what was sent`)
    }
    if (receipts.filter(({ outcome }) => outcome === 'appended').length > 1) {
      wrong++
      tell(`${sent.slug}: ${sent.mark} was called appended twice`)
    }
  }
  for (const [mark, stored] of found) {
    wrong += stored.length
    tell(`${mark} was never sent`)
  }
  return { lost, duplicated, wrong }
}

function agrees(sequence: number, hash: string, stored: DiskRecord): boolean {
  return stored.sequence === sequence && stored.sha256 === hash
}

/** Whether the record is the envelope plus the members that the receiver adds. */
function isAsSent(record: Record<string, unknown>, envelope: Record<string, unknown>): boolean {
  const { receipt: _receipt, node_token_hash: _hash, g1_tx_hash: _g1, ...stored } = record
  return isDeepStrictEqual(stored, envelope)
}

/** Counts files that are lost. A file must hold an envelope that was sent, and no acknowledged envelope may have come after it. */
function lostOverwrites(disk: Disk, ledger: Ledger, notes: string[]): number {
  const byFile = new Map<string, Sent[]>()
  for (const sent of ledger.sent) {
    if (sent.addon !== 'vs01') continue
    const file = `${sent.slug}/${sent.participant}`
    const known = byFile.get(file)
    if (known) known.push(sent)
    else byFile.set(file, [sent])
  }
  let lost = 0
  for (const [file, all] of byFile) {
    const record = disk.overwritten.get(file)
    const lastSure = Math.max(
      -1,
      ...all.flatMap(({ attempts }) =>
        attempts.filter(({ answer }) => isStored(answer)).map(({ sentAt }) => sentAt),
      ),
    )
    if (!record) {
      if (lastSure < 0 || disk.unreadable.length > 0) continue
      lost++
      notes.push(`vs01/${file} was acknowledged and is not there`)
      continue
    }
    const { mark } = record.fields as { mark: string }
    const sent = all.find((one) => one.mark === mark)
    const isLate = sent?.attempts.some(({ endedAt }) => endedAt >= lastSure)
    const { receipt: _receipt, ...stored } = record
    if (sent && isLate && isDeepStrictEqual(stored, sent.envelope)) continue
    lost++
    notes.push(`vs01/${file} is not the last one that was acknowledged`)
  }
  return lost
}

export function isClean({ lost, duplicated, unreadable, wrong }: DiskVerdict): boolean {
  return lost + duplicated + unreadable + wrong === 0
}

/** Adds verdicts up to a row of the table. */
export class Tally {
  readonly #fault: string
  readonly #rule: Row['rule']
  readonly #notes = new Map<string, number>()
  cases = 0
  lost = 0
  duplicated = 0
  unreadable = 0
  wrong = 0

  constructor(fault: string, rule: Row['rule']) {
    this.#fault = fault
    this.#rule = rule
  }

  add(verdict: DiskVerdict, about = ''): void {
    this.lost += verdict.lost
    this.duplicated += verdict.duplicated
    this.unreadable += verdict.unreadable
    this.wrong += verdict.wrong
    for (const note of verdict.notes) this.note(about === '' ? note : `${about}: ${note}`)
  }

  wrongly(note: string): void {
    this.wrong++
    this.note(note)
  }

  note(note: string, times = 1): void {
    this.#notes.set(note, (this.#notes.get(note) ?? 0) + times)
  }

  row(): Row {
    const { cases, lost, duplicated, unreadable, wrong } = this
    const all = [...this.#notes].map(([note, times]) => (times > 1 ? `${note} (${times} times)` : note))
    const notes = all.length > 12 ? [...all.slice(0, 12), `and ${all.length - 12} more`] : all
    return { fault: this.#fault, rule: this.#rule, cases, lost, duplicated, unreadable, wrong, notes }
  }
}
