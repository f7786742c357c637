/**
 * The part `damage`: a records file was altered. Either the next append is refused and the file stays untouched, or the file had a torn tail and
 * was repaired, and the cut bytes were kept. If a file is accepted, every line is one that was stored, byte for byte, in its place. All records
 * that a witness knows (the head file, or the memory of a running receiver) are among the lines.
 *
 * When there is no head file, or an old one, nothing on disk confirms that the last lines are still there, nor `received_at` and `node_token_hash`
 * of the last line, which its id does not cover. Such cases are counted in a note.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Outcome } from '../../contracts/record.ts'
import { chainIn, fileOf, headPath, isReceiptOf, rechained, recordsPath, tornOf } from '../disk.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import { inMemory, post, type StoredEnvelope, storeOn, Tally } from './stored.ts'

const slug = 'heron-ridge'
const closing = '\n]\n'

const sentOf = (name: string, size: number): StoredEnvelope => ({
  rule: 'append-only',
  slug,
  participant: '@5sb-8hm-54v',
  name,
  size,
})

/** A records file as it was stored, with each head file that it had. */
type Original = {
  readonly bytes: Buffer
  readonly lines: readonly Buffer[]
  /** The head files by the number of records, from 0 on. */
  readonly heads: readonly Buffer[]
  readonly first: StoredEnvelope
}

/** Stores `batches` of records with the real modules. */
async function makeOriginal(root: string, batches: readonly number[], size: number): Promise<Original> {
  mkdirSync(root)
  const store = storeOn(root)
  const path = recordsPath(root, slug)
  const heads: Buffer[] = []
  let stored = 0
  for (const batch of batches) {
    const outcomes = await Promise.all(
      Array.from({ length: batch }, (_, at) => post(store, sentOf(`record ${stored + at}`, size))),
    )
    if (!outcomes.every(({ ok }) => ok)) throw new Error('the records to be damaged could not be stored')
    stored += batch
    heads[stored] = readFileSync(headPath(path))
  }
  await store.close()
  const bytes = readFileSync(path)
  const chain = chainIn(bytes)
  if (chain.lines.length !== stored) throw new Error('nothing good to damage')
  return { bytes, lines: chain.lines, heads, first: sentOf('record 0', size) }
}

type Alteration = { readonly what: string; readonly bytes: Buffer }

type Head = 'head file' | 'no head file' | 'lagging head file'

/** A head file that names fewer records than there are, as a power cut may leave it. */
function headOf(original: Original, kind: Head, random: Random): { bytes?: Buffer; count: number } {
  const count = original.lines.length
  if (kind === 'no head file') return { count: 0 }
  if (kind === 'head file') return { bytes: original.heads[count] as Buffer, count }
  const known = Object.keys(original.heads).map(Number)
  const lagging = random.of(known.filter((known) => known < count))
  return { bytes: original.heads[lagging] as Buffer, count: lagging }
}

function place(root: string, records: Buffer, head: Buffer | undefined): string {
  const path = recordsPath(root, slug)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, records)
  if (head) writeFileSync(headPath(path), head)
  return path
}

/** The members that the id of a record covers. */
function covered(line: Buffer): unknown {
  const { receipt, node_token_hash: _, ...members } = JSON.parse(line.toString())
  return { ...members, id: receipt.id, sequence: receipt.sequence, previous: receipt.previous_sha256 }
}

function judge(
  tally: Tally,
  example: string,
  path: string,
  original: Original,
  altered: Buffer,
  witnessed: number,
  outcome: Outcome,
): void {
  tally.cases++
  const after = readFileSync(path)
  if (!outcome.ok) {
    if (outcome.fault !== 'damaged') tally.violation('wrong', `answered ${outcome.fault}`, example)
    if (!after.equals(altered)) tally.violation('wrong', 'refused, and the file was changed', example)
    return
  }
  const chain = tally.chainIn(after, example, 'accepted, and ')
  if (!chain) return
  const kept = chain.lines.length - 1
  if (!isReceiptOf(outcome.receipt, chain) || outcome.receipt.sequence !== kept + 1)
    tally.violation('wrong', 'the receipt is not that of the last line', example)
  if (kept < witnessed) tally.violation('lost', 'accepted without a record that is vouched for', example)
  for (let at = 0; at < kept; at++) {
    const [line, before] = [chain.lines[at] as Buffer, original.lines[at]]
    if (before?.equals(line)) continue
    const isUnvouched = at === kept - 1 && at >= witnessed && before !== undefined
    if (before === undefined && altered.includes(line))
      tally.note('a line added behind the last record and chained to it is as good as a stored one')
    else if (isUnvouched && isDeepStrictEqual(covered(line), covered(before)))
      tally.note(
        'altered where no witness is: received_at or node_token_hash of the last line, without a head',
      )
    else {
      tally.violation('lost', 'an altered record was accepted', example)
      break
    }
  }
  judgeCut(tally, example, path, after, altered, chain.lines)
}

/** Checks that the cut bytes are kept beside the file, and that the file and these bytes together are the altered file. */
function judgeCut(
  tally: Tally,
  example: string,
  path: string,
  after: Buffer,
  altered: Buffer,
  lines: readonly Buffer[],
): void {
  const last = lines.at(-1) as Buffer
  const separator = lines.length === 1 ? 1 : 2
  const end = after.length - closing.length - last.length - separator
  const start = lines.length === 1 ? 0 : end
  const cut = altered.subarray(start)
  if (!altered.subarray(0, start).equals(after.subarray(0, start)))
    tally.violation('lost', 'stored bytes were written again', example)
  const torn = tornOf(path)
  const isClosing = (lines.length === 1 ? `[${closing}` : closing).startsWith(cut.toString('latin1'))
  if (isClosing ? torn.length > 0 : torn.length !== 1 || !torn[0]?.equals(cut))
    tally.violation('lost', 'the cut bytes are not beside the file', example)
}

/** One case with a store that has just started. The alteration is random unless it is given. The head file confirms `head.count` records. */
async function fresh(
  scratch: string,
  original: Original,
  kind: Head,
  alteration: Alteration | undefined,
  random: Random,
  tally: Tally,
): Promise<void> {
  const root = join(scratch, String(serial++))
  const head = headOf(original, kind, random)
  const { what, bytes } = alteration ?? anyEdit(original, head.count, random)
  const path = place(root, bytes, head.bytes)
  const store = storeOn(root)
  const outcome = await post(store, sentOf('after the damage', 60))
  await store.close()
  judge(tally, `${what}, ${kind}`, path, original, bytes, head.count, outcome)
  rmSync(root, { recursive: true })
}

let serial = 0

/** One case with a store that knows the file. With `isHeld` it also still has the lock and the open file. */
async function running(
  scratch: string,
  original: Original,
  kind: Head,
  isHeld: boolean,
  random: Random,
  tally: Tally,
): Promise<void> {
  const root = join(scratch, String(serial++))
  const head = headOf(original, kind, random)
  const path = place(root, original.bytes, head.bytes)
  const store = storeOn(root)
  const known = await post(store, original.first)
  if (!known.ok || known.receipt.outcome !== 'duplicate')
    tally.violation('lost', 'a stored record is not found', kind)
  if (!isHeld) await store.close()
  const count = original.lines.length
  const { what, bytes } = anyEdit(original, count, random)
  // The store has updated the head file in the meantime.
  if (head.bytes) writeFileSync(headPath(path), head.bytes)
  else rmSync(headPath(path), { force: true })
  if (random.oneIn(4)) replaceFile(path, bytes)
  else writeFileSync(path, bytes)
  const outcome = await post(store, sentOf('after the damage', 60))
  await store.close()
  judge(tally, `${what}, ${kind}`, path, original, bytes, count, outcome)
  rmSync(root, { recursive: true })
}

/** Replaces a file as an editor does, by a rename. */
function replaceFile(path: string, bytes: Buffer): void {
  writeFileSync(`${path}~`, bytes)
  renameSync(`${path}~`, path)
}

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
  return copy
}

type Edit = (original: Original, random: Random) => Buffer

const bytesEdits: Readonly<Record<string, Edit>> = {
  'bits flipped': ({ bytes }, random) => {
    let copy = bytes
    for (let n = 1 + random.below(8); n > 0; n--) copy = flipped(copy, random.below(bytes.length * 8))
    return copy
  },
  'bytes deleted': ({ bytes }, random) => {
    const [from, length] = [random.below(bytes.length), 1 + random.below(random.oneIn(2) ? 8 : 2_000)]
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)])
  },
  'bytes inserted': ({ bytes }, random) => {
    const at = random.oneIn(8) ? bytes.length : random.below(bytes.length + 1)
    const length = 1 + random.below(random.oneIn(2) ? 8 : 2_000)
    const inserted = random.of([
      () => random.bytes(length),
      () => Buffer.alloc(length),
      () => Buffer.alloc(length, ' '),
      () => Buffer.alloc(length, '\n'),
      () => bytes.subarray(at, at + length),
    ])()
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)])
  },
  'sectors swapped': ({ bytes }, random) => {
    const copy = Buffer.from(bytes)
    const [a, b] = [random.below(bytes.length >> 9) * 512, random.below(bytes.length >> 9) * 512]
    bytes.copy(copy, a, b, b + 512)
    bytes.copy(copy, b, a, a + 512)
    return copy
  },
  'sectors zeroed': ({ bytes }, random) => {
    const copy = Buffer.from(bytes)
    const at = random.below((bytes.length >> 9) + 1) * 512
    return copy.fill(0, at, Math.min(at + 512 * (1 + random.below(4)), copy.length))
  },
  truncated: ({ bytes }, random) =>
    bytes.subarray(0, random.oneIn(4) ? bytes.length - random.below(64) : random.below(bytes.length)),
}

const lineEdits: Readonly<Record<string, (lines: string[], random: Random) => string[]>> = {
  'lines deleted': (lines, random) => lines.toSpliced(random.below(lines.length), 1 + random.below(3)),
  'lines swapped': (lines, random) => {
    const [a, b] = [random.below(lines.length), random.below(lines.length)]
    return lines.with(a, lines[b] as string).with(b, lines[a] as string)
  },
  'a line inserted': (lines, random) => lines.toSpliced(random.below(lines.length), 0, random.of(lines)),
  'a line altered': (lines, random) => {
    const at = random.below(lines.length)
    return lines.with(at, (lines[at] as string).replace('. r', random.of(['. R', '', ' . r', 'x'])))
  },
}

/** One random alteration. An alteration that makes the chain fit again changes a record that the witness knows. */
function anyEdit(original: Original, witnessed: number, random: Random): Alteration {
  const isChained = witnessed > 1 && random.oneIn(4)
  if (isChained || random.oneIn(3)) {
    const [what, edit] = random.of(Object.entries(lineEdits))
    const known = isChained ? witnessed : original.lines.length
    const lines = original.lines.map(String)
    const edited = [...edit(lines.slice(0, known), random), ...lines.slice(known)]
    return {
      what: isChained ? `${what}, chained anew` : what,
      bytes: fileOf(isChained ? rechained(edited) : edited),
    }
  }
  const [what, edit] = random.of(Object.entries(bytesEdits))
  return { what, bytes: edit(original, random) }
}

const width = 8
const heads: readonly Head[] = ['head file', 'no head file', 'lagging head file']

/** The numbers of the cases of a series: all of them, or with a share below 1 that share of them at random. */
function* numbers({ share, until }: Run, count: number, random: Random): Generator<number> {
  const want = Math.ceil(count * share)
  for (let n = 0; n < want && performance.now() < until; n++) yield want === count ? n : random.below(count)
}

async function run(settings: Run): Promise<readonly Row[]> {
  return inMemory(settings.scratch, (scratch) => runIn(settings, scratch))
}

async function runIn(settings: Run, scratch: string): Promise<readonly Row[]> {
  const chance = random(settings.seed)
  const small = await makeOriginal(join(scratch, 'small'), [1, 1, 1], 100)
  const large = await makeOriginal(join(scratch, 'large'), [1, ...Array(31).fill(64), 15], 300)
  const bits = small.bytes.length * 8
  const counts = { flips: 3 * bits, random: 10_000, known: 4_000, held: 2_000 }
  const total = Math.ceil(Object.values(counts).reduce((sum, count) => sum + count, 0) * settings.share)
  let done = 0
  const tallies = new Map<string, Tally>()
  const series = async (
    fault: string,
    count: number,
    one: (n: number, tally: Tally) => Promise<void>,
  ): Promise<void> => {
    const tally = tallies.get(fault) ?? new Tally()
    tallies.set(fault, tally)
    await inParallel(numbers(settings, count, chance), width, async (n) => {
      await one(n, tally)
      settings.progress(++done, total)
    })
  }
  for (const kind of heads) {
    await series(`one bit flipped, ${kind}`, bits, (bit, tally) => {
      const alteration = { what: `bit ${bit}`, bytes: flipped(small.bytes, bit) }
      return fresh(scratch, small, kind, alteration, chance, tally)
    })
  }
  await series('random alterations of a large file', counts.random, (_, tally) => {
    const kind = chance.of(['head file', ...heads] as const)
    return fresh(scratch, large, kind, undefined, chance, tally)
  })
  await series('altered while a receiver knows it', counts.known, (_, tally) =>
    running(scratch, small, chance.of(heads), false, chance, tally),
  )
  await series('altered while a receiver has it open', counts.held, (_, tally) =>
    running(scratch, small, chance.of(heads), true, chance, tally),
  )
  return [...tallies].map(([fault, tally]) => tally.row(fault, 'append-only'))
}

export const part: Part = { name: 'damage', missing: async () => undefined, run }
