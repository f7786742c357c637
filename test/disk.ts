/**
 * Reads and alters data directories for tests. This file implements the format of SPEC 4 and shares no code with the receiver, so that
 * one mistake cannot hide in both.
 */
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Receipt } from '../contracts/record.ts'

export const sha256 = (bytes: Uint8Array | string): string => hash('sha256', bytes, 'hex')

const noHash = '0'.repeat(64)

export function recordsPath(root: string, slug = 'heron-ridge', addon = 'scn01'): string {
  return join(root, addon, slug, 'records.json')
}

export function headPath(records: string): string {
  return join(dirname(records), '.records.head.json')
}

/** The torn bytes that recovery has kept beside a records file, oldest first. */
export function tornOf(records: string): Buffer[] {
  const directory = dirname(records)
  const names = readdirSync(directory).filter((name) => name.startsWith('records.json.torn-'))
  return names.sort().map((name) => readFileSync(join(directory, name)))
}

type StoredRecord = Record<string, unknown> & {
  readonly receipt: {
    readonly id: string
    readonly sequence: number
    readonly received_at: string
    readonly previous_sha256: string
  }
}

/** A whole records file: its lines without their commas, and the record in each line. */
export type Chain = { readonly lines: readonly Buffer[]; readonly records: readonly StoredRecord[] }

/** Reads a records file at rest. Throws a sentence when the bytes do not follow SPEC 4. */
export function chainIn(bytes: Buffer): Chain {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  const records = JSON.parse(text) as StoredRecord[]
  if (!Array.isArray(records)) throw new Error('not an array')
  if (!text.startsWith('[\n') || !text.endsWith('\n]\n'))
    throw new Error('does not begin and end as a file at rest')
  const lines: Buffer[] = []
  let start = 2
  for (let feed = bytes.indexOf(10, start); feed !== -1; feed = bytes.indexOf(10, start)) {
    lines.push(bytes.subarray(start, bytes[feed - 1] === 44 ? feed - 1 : feed))
    start = feed + 1
  }
  lines.pop() // the closing bracket
  if (lines.length !== records.length) throw new Error('not one record a line')
  let previous = noHash
  for (const [index, { receipt }] of records.entries()) {
    if (receipt?.sequence !== index + 1)
      throw new Error(`sequence ${receipt?.sequence} at place ${index + 1}`)
    if (receipt.previous_sha256 !== previous) throw new Error(`the chain is broken at record ${index + 1}`)
    previous = sha256(lines[index] as Buffer)
  }
  return { lines, records }
}

/** The lines of a records file, without commas. Throws when the file is not whole. */
export function chainOf(path: string): string[] {
  return chainIn(readFileSync(path)).lines.map(String)
}

/** Whether a receipt fits the line of the chain at its sequence. */
export function isReceiptOf(receipt: Receipt, { lines, records }: Chain): boolean {
  const at = (receipt.sequence ?? 0) - 1
  const line = lines[at]
  return (
    line !== undefined && records[at]?.receipt.id === receipt.id && sha256(line) === receipt.record_sha256
  )
}

/** The lines of a records file, without commas and without any check. Line 0 is the first record. */
export function linesOf(path: string): string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(1, -2)
    .map((line) => line.replace(/,$/, ''))
}

/** The bytes of a records file at rest with these lines. */
export function fileOf(lines: readonly string[]): Buffer {
  return Buffer.from(`[\n${lines.join(',\n')}\n]\n`)
}

/** The same records with new sequences and hashes that fit, as somebody would make them who knows the format and rewrites the file. */
export function rechained(lines: readonly string[]): string[] {
  let previous = noHash
  return lines.map((line, at) => {
    const fitting = line.replace(
      /"sequence":\d+,("received_at":"[^"]+"),"previous_sha256":"\w+"\}\}$/,
      (_, received) => `"sequence":${at + 1},${received},"previous_sha256":"${previous}"}}`,
    )
    previous = sha256(fitting)
    return fitting
  })
}
