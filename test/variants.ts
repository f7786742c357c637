/**
 * A list of changes to a data directory, each with the verdict that must follow. The tests of the tool, of the recipes of AUDITORS.md and of
 * the page in a browser all use this list. None of them may call a changed directory whole.
 */
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { JsonObject } from '../contracts/contract.ts'
import {
  type Association,
  association,
  lines,
  makeDirectory,
  numbered,
  slug,
  writeAssociation,
} from './audit-build.ts'
import { fileOf, linesOf, rechained, sha256 } from './disk.ts'

/** A directory as a receiver leaves it, with Scenarios of two associations, and one file of each addon that keeps no history. */
export type Whole = Association & {
  readonly root: string
  readonly vs01: string
  readonly dsc01: string
  /** The heads of both associations, kept by somebody outside. */
  readonly heads: readonly string[]
  /** The receipt of the last record of the first association, kept by somebody outside. */
  readonly kept: { readonly sequence: number; readonly sha256: string }
}

export const other = 'heron-ridge'
export const placekey = '22c@5sb-8hm-54v'
export const recordCount = 6

export function wholeDirectory(root: string): Whole {
  writeFileSync(join(root, '.civic-orchestrator'), 'Records belong in this directory.\n', { mode: 0o640 })
  makeDirectory(join(root, 'scn01'))
  const envelopes = Array.from({ length: recordCount }, (_, at) => numbered(at + 1))
  const made = writeAssociation(root, slug, lines(envelopes))
  const second = writeAssociation(root, other, lines([{ ...numbered(7), association_slug: other }]))
  const file = (addon: string): string => {
    makeDirectory(join(root, addon))
    makeDirectory(join(root, addon, slug))
    const path = join(root, addon, slug, `${placekey}.json`)
    writeFileSync(path, `${JSON.stringify(latest(addon), null, 2)}\n`, { mode: 0o640 })
    return path
  }
  const last = linesOf(made.records).at(-1) as string
  const kept = { sequence: recordCount, sha256: sha256(last) }
  const heads = [
    `scn01/${slug}:${recordCount}:${kept.sha256}`,
    `scn01/${other}:1:${sha256(linesOf(second.records)[0] as string)}`,
  ]
  return { ...made, root, vs01: file('vs01'), dsc01: file('dsc01'), heads, kept }
}

export function latest(addon: string): JsonObject {
  return {
    addon,
    contract_version: '1.0',
    association_slug: slug,
    association_channel_id: '9',
    participant_id: placekey,
    submitted_at: '2026-07-02T06:30:00Z',
    standing: 'participant',
    fields: { ho_claimed_type: 'condominium' },
    receipt: { received_at: '2026-07-02T06:30:01.000Z' },
  }
}

export type Variant = {
  readonly name: string
  readonly tamper: (at: Whole) => void
  /**
   * `altered`: the files show that something was changed. `cannot be told`: nobody can know it from these files. `outside`: only heads or
   * receipts that somebody else kept show the change; without them it cannot be told. `harmless`: worth a note, nothing is wrong.
   */
  readonly told: 'altered' | 'cannot be told' | 'outside' | 'harmless'
  /** A pattern for the cause: the kind and sentence of a finding or a note. */
  readonly named: RegExp
  /** False when the change is in neither the records file nor the head file of the association, so that the recipes cannot see it. */
  readonly recipes?: false
  /** Chain and head file were made to fit. A recipe can show the change only by a kept receipt, `verify` by the content of the records. */
  readonly fitting?: true
}

type Edit = (records: string[]) => string[]

/** Changes lines and leaves the head file as it is. */
const edited = (change: Edit) => (at: Whole) => writeFileSync(at.records, fileOf(change(linesOf(at.records))))
/** Changes lines as somebody would who knows the format: makes sequences, hashes and the head file fit. */
const forged = (change: Edit) => (at: Whole) => refit(at, rechained(change(linesOf(at.records))))
const bytes = (change: (whole: Buffer) => Uint8Array) => (at: Whole) =>
  writeFileSync(at.records, change(readFileSync(at.records)))
const text = (change: (whole: string) => string) => bytes((whole) => Buffer.from(change(whole.toString())))

function refit(at: Whole, records: readonly string[]): void {
  const file = fileOf(records)
  writeFileSync(at.records, file)
  const hash = sha256(records.at(-1) as string)
  const check = sha256(`${records.length} ${file.length} ${hash}`).slice(0, 16)
  const head = `{"count":${records.length},"size":${file.length},"sha256":"${hash}","check":"${check}"}`
  writeFileSync(at.head, `${head.padEnd(191)}\n`)
}

const inRecord = (number: number, from: string | RegExp, to: string): Edit => {
  return (records) => records.with(number - 1, (records[number - 1] as string).replace(from, to))
}

function quotedPrintable(whole: Buffer): Buffer {
  const encoded = [...whole]
    .map((byte) =>
      byte === 10
        ? '\n'
        : byte < 32 || byte > 126 || byte === 61
          ? `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
          : String.fromCharCode(byte),
    )
    .join('')
  const soft = encoded.split('\n').map((line) => line.replace(/(?:=..|[^=]){1,24}(?=.)/g, '$&=\r\n'))
  return Buffer.from(soft.join('\r\n'))
}

const altered: [string, Variant['tamper'], RegExp][] = [
  ['a word changed in a record', edited(inRecord(3, 'portal', 'Portal')), /altered: was altered/],
  ['a word changed in the first record', edited(inRecord(1, 'portal', 'Portal')), /altered: was altered/],
  ['a word changed in the last record', edited(inRecord(6, 'portal', 'Portal')), /altered: was altered/],
  ['the time of receipt changed', edited(inRecord(3, '06:30:01.000Z', '06:30:02.000Z')), /altered/],
  ['the id changed', edited(inRecord(3, /"id":"../, '"id":"00')), /altered/],
  [
    'the hash of the record before changed',
    edited(inRecord(3, /"previous_sha256":"../, '"previous_sha256":"00')),
    /altered/,
  ],
  ['the number of a record changed', edited(inRecord(3, '"sequence":3', '"sequence":9')), /altered/],
  [
    'the hash of the token changed',
    edited(inRecord(3, /"node_token_hash":"../, '"node_token_hash":"00')),
    /altered/,
  ],
  ['a record removed', edited((records) => records.toSpliced(2, 1)), /missing: is missing/],
  ['the first record removed', edited((records) => records.slice(1)), /missing: is missing/],
  ['the last record removed', edited((records) => records.slice(0, -1)), /shortened/],
  ['two records swapped', edited((r) => r.with(2, r[3] as string).with(3, r[2] as string)), /moved/],
  ['a record repeated', edited((records) => records.toSpliced(3, 0, records[2] as string)), /inserted/],
  ['a line that is no record', edited((records) => records.toSpliced(3, 0, '{"a":1}')), /unreadable/],
  ['a line that is no JSON', edited((records) => records.with(2, 'pardon?')), /unreadable/],
  ['a blank in a record', edited(inRecord(3, '"standing":', '"standing": ')), /altered/],
  ['a NUL byte in a record', edited(inRecord(3, 'portal', 'por\0tal')), /altered/],
  ['a NUL byte behind the last record', edited(inRecord(6, /$/, '\0')), /unreadable/],
  [
    'zeros over a stretch of the file',
    bytes((whole) => Buffer.from(whole).fill(0, 900, 1412)),
    /unreadable|altered/,
  ],
  [
    'a byte that is no UTF-8',
    bytes((whole) => Buffer.from(whole).fill(0xff, 900, 901)),
    /altered|unreadable/,
  ],
  ['the line ends of Windows', text((whole) => whole.replaceAll('\n', '\r\n')), /CRLF/],
  ['a byte order mark', text((whole) => `\ufeff${whole}`), /byte order mark/],
  [
    'UTF-16, least byte first',
    bytes((whole) => Buffer.from(`\ufeff${whole.toString()}`, 'utf16le')),
    /UTF-16/,
  ],
  [
    'UTF-16, greatest byte first',
    bytes((whole) => Buffer.from(`\ufeff${whole.toString()}`, 'utf16le').swap16()),
    /UTF-16/,
  ],
  ['no line feed at the end', text((whole) => whole.slice(0, -1)), /lacks its final line feed/],
  ['a text behind the end', text((whole) => `${whole}Kind regards\n`), /other text behind its end/],
  ['a mail gateway', bytes(quotedPrintable), /mail gateway/],
  ['all on one line', text((whole) => JSON.stringify(JSON.parse(whole))), /one line/],
  ['pretty-printed', text((whole) => `${JSON.stringify(JSON.parse(whole), null, 2)}\n`), /pretty-printed/],
  ['a comma missing', text((whole) => whole.replace('"}},\n', '"}}\n')), /separator/],
  ['a comma before the end', text((whole) => whole.replace('"}}\n]', '"}},\n]')), /separator/],
  ['no opening bracket', text((whole) => whole.slice(2)), /opening/],
  ['more closing brackets', text((whole) => `${whole}]\n]\n`), /behind its end/],
  ['no record left', text(() => '[\n]\n'), /shortened/],
  ['emptied', bytes(() => Buffer.alloc(0)), /shortened: the file is empty/],
  ['removed', ({ records }) => rmSync(records), /shortened: there is no records file/],
  ['compressed in its place', bytes((whole) => gzipSync(whole)), /unreadable|opening/],
  [
    'a record altered, and the chain made anew behind it',
    (at) =>
      writeFileSync(at.records, fileOf(rechained(inRecord(3, 'portal', 'Portal')(linesOf(at.records))))),
    /altered/,
  ],
  [
    'the last record hidden in what a recovery kept',
    (at) => {
      const records = linesOf(at.records)
      writeFileSync(join(at.directory, 'records.json.torn-20260702T063001000Z'), records.at(-1) as string)
      refit(at, records.slice(0, -1))
    },
    /hidden/,
  ],
  [
    'records of another association in their place',
    (at) => {
      for (const name of ['records.json', '.records.head.json'])
        cpSync(join(association(at.root, other).directory, name), join(at.directory, name))
    },
    /association_slug is not the directory/,
  ],
]

const fitting: [string, Variant['tamper'], RegExp][] = [
  [
    'a time of receipt that is no time',
    forged(inRecord(4, '2026-07-02T06:30:01.000Z"', '2026-13-32T06:30:01.000Z"')),
    /clock/,
  ],
  [
    'a time of receipt that runs backwards',
    forged(inRecord(4, '2026-07-02T06:30:01.000Z"', '2024-07-02T06:30:01.000Z"')),
    /clock/,
  ],
  ['the same envelope twice', forged((records) => records.with(5, records[1] as string)), /same id/],
  [
    'a record that breaks the contract',
    forged(inRecord(3, '"standing":"participant"', '"standing":"king"')),
    /standing/,
  ],
  [
    'a member twice in a record',
    forged(inRecord(3, '"standing":', '"standing":"king","standing":')),
    /twice/,
  ],
]

const leftAlone: [string, Variant['told'], Variant['tamper'], RegExp][] = [
  ['cut within a record', 'altered', text((whole) => whole.slice(0, 2_000)), /open end/],
  ['no head file', 'cannot be told', ({ head }) => rmSync(head), /no head/],
  ['a head file of zeros', 'cannot be told', ({ head }) => writeFileSync(head, Buffer.alloc(192)), /blank/],
  ['a head file that is garbage', 'cannot be told', ({ head }) => writeFileSync(head, 'x'), /cannot be read/],
  [
    'cut at a line, the head file removed',
    'cannot be told',
    (at) => {
      edited((records) => records.slice(0, 4))(at)
      rmSync(at.head)
    },
    /no head/,
  ],
  [
    'the unfinished end of a write, and no head file',
    'cannot be told',
    (at) => {
      text((whole) => whole.slice(0, -400))(at)
      rmSync(at.head)
    },
    /open end/,
  ],
  [
    'cut at a line, the head file made anew',
    'outside',
    forged((records) => records.slice(0, 4)),
    /shortened/,
  ],
  ['the last record removed, the head file made anew', 'outside', forged((r) => r.slice(0, -1)), /shortened/],
  [
    'records exchanged, ids, chain and head file made anew',
    'outside',
    (at) => {
      const made = lines(Array.from({ length: recordCount }, (_, index) => numbered(index + 100)))
      writeFileSync(at.records, made.text)
      writeFileSync(at.head, made.head)
    },
    /rewritten/,
  ],
]

const aroundIt: [string, Variant['told'], Variant['tamper'], RegExp][] = [
  [
    'a link in place of the records',
    'altered',
    (at) => {
      cpSync(at.records, join(at.root, '..', 'elsewhere.json'))
      rmSync(at.records)
      symlinkSync('../../../elsewhere.json', at.records)
    },
    /link: is a symbolic link/,
  ],
  [
    'a directory in place of the records',
    'altered',
    ({ records }) => {
      rmSync(records)
      mkdirSync(records)
    },
    /foreign/,
  ],
  [
    'a link in place of an association',
    'altered',
    ({ root }) => symlinkSync(slug, join(root, 'scn01', 'a-third')),
    /link: is a symbolic link/,
  ],
  ['everything removed', 'cannot be told', ({ root }) => emptied(root), /nothing here/],
  [
    'the file of an address cut',
    'altered',
    ({ vs01 }) => writeFileSync(vs01, readFileSync(vs01).subarray(0, 90)),
    /it was cut/,
  ],
  [
    'the file of an address emptied',
    'altered',
    ({ dsc01 }) => writeFileSync(dsc01, ''),
    /not one JSON object/,
  ],
  [
    'the file of an address under another name',
    'altered',
    ({ vs01 }) => cpSync(vs01, vs01.replace(placekey, '23c@5sb-8hm-54v')),
    /not the name of the file/,
  ],
  ['the file of an address against the contract', 'altered', inFile('participant"', 'king"'), /standing/],
  [
    'a member twice in the file of an address',
    'altered',
    inFile('"fields"', '"fields": {},\n  "fields"'),
    /twice/,
  ],
  ['a byte order mark before the file of an address', 'altered', inFile('{', '\ufeff{'), /byte order mark/],
  [
    'the file of an address with the line ends of Windows',
    'altered',
    ({ vs01 }) => writeFileSync(vs01, readFileSync(vs01, 'utf8').replaceAll('\n', '\r\n')),
    /CRLF/,
  ],
  [
    'the file of an address printed anew',
    'altered',
    ({ vs01 }) => writeFileSync(vs01, `${JSON.stringify(JSON.parse(readFileSync(vs01, 'utf8')))}\n`),
    /printed it anew/,
  ],
  [
    'a copy that an editor kept',
    'altered',
    ({ records }) => cpSync(records, `${records}~`),
    /foreign: a file that an editor left/,
  ],
  [
    'a file that everybody may write',
    'altered',
    ({ records }) => chmodSync(records, 0o666),
    /mode: has mode 0666/,
  ],
  [
    'what file managers leave, and a removed file that a file system keeps for who has it open',
    'harmless',
    ({ root, directory }) => {
      for (const path of [
        join(root, '.DS_Store'),
        join(directory, '.DS_Store'),
        join(directory, 'Thumbs.db'),
        join(root, '.fuse_hidden0000000e00000001'),
        join(directory, '.nfs000000000012d68700000003'),
      ])
        writeFileSync(path, 'x')
    },
    /file manager: this and 4 more/,
  ],
  ['the modes of a stick', 'harmless', ({ root }) => stickModes(root), /copy: no file and no directory has/],
  [
    'a payment named twice',
    'cannot be told',
    (at) => {
      const again = { ...numbered(2), association_slug: 'a-third' }
      writeAssociation(at.root, 'a-third', lines([again]))
    },
    /same payment/,
  ],
]

function inFile(from: string, to: string): Variant['tamper'] {
  return ({ vs01 }) => writeFileSync(vs01, readFileSync(vs01, 'utf8').replace(from, to))
}

function emptied(root: string): void {
  for (const addon of ['scn01', 'vs01', 'dsc01']) rmSync(join(root, addon), { recursive: true })
}

/** Gives all files the modes that FAT shows. */
function stickModes(root: string): void {
  for (const addon of ['scn01', 'vs01', 'dsc01'])
    for (const name of addon === 'scn01' ? [slug, other] : [slug])
      for (const file of addon === 'scn01' ? ['records.json', '.records.head.json'] : [`${placekey}.json`]) {
        chmodSync(join(root, addon, name, file), 0o755)
        chmodSync(join(root, addon, name), 0o755)
        chmodSync(join(root, addon), 0o755)
      }
  chmodSync(join(root, '.civic-orchestrator'), 0o755)
}

export const variants: readonly Variant[] = [
  ...altered.map(([name, tamper, named]): Variant => ({ name, tamper, named, told: 'altered' })),
  ...fitting.map(
    ([name, tamper, named]): Variant => ({ name, tamper, named, told: 'altered', fitting: true }),
  ),
  ...leftAlone.map(([name, told, tamper, named]): Variant => ({ name, told, tamper, named })),
  ...aroundIt.map(([name, told, tamper, named]): Variant => ({ name, told, tamper, named, recipes: false })),
]
