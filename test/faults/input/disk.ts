/** Compares the data directory of the receiver with the accepted posts. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { sha256 } from '../../disk.ts'
import type { Accepted } from './compare.ts'
import type { Tally } from './tally.ts'

export class Disk {
  readonly #data: string
  readonly #tally: Tally
  readonly #files = new Map<string, RecordsFile>()

  constructor(data: string, tally: Tally) {
    this.#data = data
    this.#tally = tally
  }

  check(accepted: readonly Accepted[]): void {
    for (const [path, group] of grouped(accepted)) {
      if (path.startsWith('scn01/')) {
        if (group.some(({ answer }) => answer)) this.#readOn(path)
        for (const each of group) this.#checkLine(path, each)
      } else this.#checkFile(path, group)
    }
  }

  #checkFile(path: string, group: readonly Accepted[]): void {
    if (group.every(({ answer }) => !answer)) return
    const text = readFileSync(join(this.#data, path), 'utf8')
    const { receipt, ...record } = JSON.parse(text)
    const isOne = group.some(
      ({ verdict, answer }) =>
        (!answer || answer.received_at === receipt?.received_at) && isDeepStrictEqual(record, verdict.record),
    )
    if (!isOne || !text.endsWith('}\n'))
      this.#tally.lost('overwrite', `${path} is none of ${group.length} accepted`)
  }

  #checkLine(path: string, { verdict, answer }: Accepted): void {
    if (!answer) return
    const found = this.#files.get(path)?.lines.get(verdict.id as string)
    if (!found) {
      this.#tally.lost('append', `${path} has no ${verdict.id}`)
      return
    }
    const line = read(join(this.#data, path), found.at, found.length).toString()
    const { receipt, ...record } = JSON.parse(line)
    const isSame =
      isDeepStrictEqual(record, verdict.record) &&
      answer.sequence === found.sequence &&
      answer.sequence === receipt.sequence &&
      answer.received_at === receipt.received_at &&
      answer.previous_sha256 === receipt.previous_sha256 &&
      answer.record_sha256 === sha256(line)
    if (!isSame) this.#tally.lost('append', `${path} line ${found.sequence} is not what was acknowledged`)
  }

  /** Reads the new lines of a records file, and checks their chain and that no id is there twice. */
  #readOn(path: string): void {
    const file = this.#files.get(path) ?? { size: 2, last: '0'.repeat(64), lines: new Map() }
    this.#files.set(path, file)
    const whole = join(this.#data, path)
    const end = statSync(whole).size - 3
    let at = file.size
    for (const line of read(whole, at, end - at)
      .toString()
      .split('\n')) {
      const text = line.replace(/,$/, '')
      const length = Buffer.byteLength(text)
      if (text !== '') {
        const { receipt } = JSON.parse(text)
        const sequence = file.lines.size + 1
        if (file.lines.has(receipt.id)) this.#tally.duplicated++
        else if (receipt.previous_sha256 !== file.last || receipt.sequence !== sequence)
          this.#tally.note('chain', `${path} line ${sequence}`)
        file.last = sha256(text)
        file.lines.set(receipt.id, { sequence, at, length })
      }
      at += Buffer.byteLength(line) + 1
    }
    file.size = end
  }

  end(): void {
    for (const path of this.#files.keys()) this.#readOn(path)
  }
}

/** A records file as far as it was read: the chain at that point, and the place of each record. */
type RecordsFile = {
  size: number
  last: string
  readonly lines: Map<string, { readonly sequence: number; readonly at: number; readonly length: number }>
}

function read(path: string, at: number, length: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    readSync(fd, bytes, 0, length, at)
    return bytes
  } finally {
    closeSync(fd)
  }
}

function grouped(accepted: readonly Accepted[]): Map<string, Accepted[]> {
  const groups = new Map<string, Accepted[]>()
  for (const each of accepted) {
    const group = groups.get(each.verdict.path)
    if (group) group.push(each)
    else groups.set(each.verdict.path, [each])
  }
  return groups
}

const slug = '[a-z0-9](?:[a-z0-9_-]{0,126}[a-z0-9])?'

const permitted = new RegExp(
  `^data(/(vs01|dsc01)(/${slug}(/[A-Za-z0-9@-]{1,64}\\.json)?)?|/scn01(/${slug}(/(records\\.json|\\.records\\.head\\.json))?)?)?$`,
)

/** Every path below the scratch directory that has neither of the two permitted forms. */
export function strangers(scratch: string): string[] {
  const paths = readdirSync(scratch, { recursive: true }) as string[]
  return paths.filter((path) => !permitted.test(path))
}

export function unreadableIn(data: string): number {
  const paths = (readdirSync(data, { recursive: true }) as string[]).filter((path) => path.endsWith('.json'))
  let count = 0
  for (const path of paths) {
    try {
      JSON.parse(readFileSync(join(data, path), 'utf8'))
    } catch {
      count++
    }
  }
  return count
}
