/** `g1`: what a record says about its payment, and what the payment says about the record. */
import { readFileSync } from 'node:fs'
import type { JsonObject } from '../../../contracts/contract.ts'
import { CannotRun, type Command, type Exit, type Io } from '../io.ts'
import { dataDirectory, type Parsed, parse, slugArgument } from '../options.ts'
import { aligned, counted, type Printer, printer } from '../print.ts'
import { type Progress, progressOn } from '../progress.ts'
import { eachRecord, objectOf, slugsOf, stop, textMember } from '../read.ts'
import { type Chain, openChain } from './chain.ts'
import { contentDigest } from './digest.ts'
import { duplicates } from './duplicates.ts'
import { bytesFromHex } from './hex.ts'
import { type Proof, proveExtrinsic } from './proof.ts'
import { connect, defaultLimits, EndpointError, endpointUrl } from './rpc.ts'
import { askChain, type Online, windowAround } from './verdict.ts'

const help = `npm run audit -- g1 [SLUG] [--participant ID] [--sequence N] [--data DIR] [--json]
npm run audit -- g1 --record FILE …          one record from a file, "-" for standard input

The Ğ1 side of Scenarios. Offline unless --rpc is given.
  without more    form of each g1_tx_hash; the same hash under two records; with SLUG or --record
                  each record's content digest, which a wallet may put into the comment of the
                  transfer as scn01:<64 hex>
  --extrinsic HEX for one record: whether blake2b-256 of these bytes is its g1_tx_hash, whether the
                  comment names the record, who paid whom and how much. The signature is not checked;
                  the chain did that when it took the extrinsic in.
  --rpc URL       asks a Duniter v2 (Substrate) JSON-RPC endpoint over HTTP(S), finalized blocks only.
                  The endpoint is TRUSTED: what it says about blocks is believed. Use your own node,
                  or ask several. It learns which stretch of time you look at, not which record.
  --before MIN    the window around submitted_at: minutes before it (30) …
  --after MIN     … and after it (5)
  --timeout SEC   for each request to the endpoint (10)
  --pause MS      between two requests, so that a public node is not flooded (25)

Verdicts: bound · paid, not bound · not found in window · endpoint lacks the blocks · endpoint error.
"Not found" is never called a forgery. A block holds an extrinsic even when its call failed; whether the
transfer succeeded is in the events of the block, which this tool does not read: look the hash up in an explorer.

Exit: 0 nothing to look at, 1 something to look at (a wrong form, a hash used twice, no binding, no transfer
recognised, not found), 2 could not run or the endpoint could not answer.`

const minute = 60_000

type Subject = { readonly place: string; readonly record: JsonObject; readonly detailed: boolean }

type Report = {
  readonly place: string
  readonly participant_id: string | undefined
  readonly submitted_at: string | undefined
  readonly g1_tx_hash: string | undefined
  readonly digest: string | undefined
  readonly problems: readonly string[]
  readonly online: Online | undefined
}

type Asking = { readonly chain: Chain; readonly before: number; readonly after: number }

export const g1: Command = {
  summary: 'payment hashes: form, duplicates, digest, proof by extrinsic, look-up on the chain',
  help,
  run: async (args, io) => {
    const options = parse(
      args,
      {
        participant: { type: 'string' },
        sequence: { type: 'string' },
        record: { type: 'string' },
        extrinsic: { type: 'string' },
        rpc: { type: 'string' },
        before: { type: 'string' },
        after: { type: 'string' },
        timeout: { type: 'string' },
        pause: { type: 'string' },
      },
      1,
    )
    const extrinsic = options.text('extrinsic')
    return extrinsic === undefined ? checkRecords(options, io) : checkExtrinsic(extrinsic, options, io)
  },
}

async function eachSubject(options: Parsed, see: (subject: Subject) => Promise<void>): Promise<void> {
  const file = options.text('record')
  if (file !== undefined)
    return see({ place: file === '-' ? 'standard input' : file, record: recordIn(file), detailed: true })
  const root = dataDirectory(options.data)
  const [named] = options.positionals
  const slugs = named === undefined ? slugsOf(root, 'scn01') : [slugArgument(named)]
  const participant = options.text('participant')
  const sequence = options.number('sequence', 1)
  for (const slug of slugs) {
    await eachRecord(root, slug, async ({ number, value }) => {
      const isMeant =
        (sequence === undefined || number === sequence) &&
        (participant === undefined || textMember(value, 'participant_id') === participant)
      const place = `scn01/${slug}, record ${number}`
      if (value && isMeant) await see({ place, record: value, detailed: named !== undefined })
      return number === sequence ? stop : undefined
    })
  }
}

function recordIn(file: string): JsonObject {
  try {
    const record = objectOf(readFileSync(file === '-' ? 0 : file))
    if (record) return record
  } catch (error) {
    throw new CannotRun(`cannot read ${file}: ${(error as Error).message}`)
  }
  throw new CannotRun(`${file} does not hold one JSON object`)
}

async function checkExtrinsic(hex: string, options: Parsed, io: Io): Promise<Exit> {
  const bytes = bytesFromHex(hex)
  if (!bytes || bytes.length === 0)
    throw new CannotRun('--extrinsic takes the bytes of an extrinsic as hexadecimal digits')
  const subjects: Subject[] = []
  await eachSubject(options, async (subject) => void subjects.push(subject))
  const [subject] = subjects
  if (!subject || subjects.length > 1) {
    throw new CannotRun(
      `--extrinsic is about one record; this selects ${subjects.length}: name it with SLUG --sequence N`,
    )
  }
  const print = printer(io, options.json)
  const proof = proveExtrinsic(bytes, subject.record)
  await print.say(`${subject.place}\n${aligned(proofRows(proof), io)}`)
  await print.give('proof', { place: subject.place, ...proof })
  return proof.hash_matches && proof.comment === 'this record' && proof.payments.length > 0 ? 0 : 1
}

async function checkRecords(options: Parsed, io: Io): Promise<Exit> {
  const print = printer(io, options.json)
  const progress = progressOn(io)
  const asking = await openEndpoint(options, print)
  const seen = duplicates()
  const totals = { records: 0, hashes: 0, problems: 0, unanswered: 0 }
  await eachSubject(options, async (subject) => {
    const hash = textMember(subject.record, 'g1_tx_hash')
    const problems = problemsOf(subject, hash, seen.firstUse)
    const online = asking && hash !== undefined ? await ask(asking, subject, progress) : undefined
    totals.records++
    if (hash !== undefined) totals.hashes++
    totals.problems += problems.length + (online && looksWrong(online) ? 1 : 0)
    if (online && unanswered(online)) totals.unanswered++
    progress.show(totals.records, undefined, counted(totals.records, 'record'))
    if (!subject.detailed && problems.length === 0 && !online) return
    progress.clear()
    await printReport(reportOf(subject, hash, problems, online), print, io)
  })
  progress.clear()
  const { records, hashes, problems } = totals
  await print.say(
    `${counted(records, 'record')}, ${counted(hashes, 'hash', 'hashes')}: ${counted(problems, 'thing')} to look at`,
  )
  await print.give('summary', totals)
  return totals.unanswered > 0 ? 2 : problems > 0 ? 1 : 0
}

async function openEndpoint(options: Parsed, print: Printer): Promise<Asking | undefined> {
  const address = options.text('rpc')
  if (address === undefined) return undefined
  const url = endpointUrl(address)
  if (!url) throw new CannotRun('--rpc takes an http:// or https:// address without a password in it')
  const timeoutMs = (options.number('timeout', 1) ?? defaultLimits.timeoutMs / 1000) * 1000
  const pauseMs = options.number('pause') ?? defaultLimits.pauseMs
  const chain = await opened(connect(url, { ...defaultLimits, timeoutMs, pauseMs }))
  const { name, genesis, head } = chain
  await print.say(
    aligned(
      [
        ['endpoint', `${url.origin} (trusted)`],
        ['chain', name],
        ['genesis', genesis],
        ['finalized', `block ${head}`],
      ],
      { columns: 110 },
      0,
    ),
  )
  await print.give('endpoint', { url: url.origin, trusted: true, chain: name, genesis, finalized: head })
  return {
    chain,
    before: (options.number('before') ?? 30) * minute,
    after: (options.number('after') ?? 5) * minute,
  }
}

async function opened(endpoint: ReturnType<typeof connect>): Promise<Chain> {
  try {
    return await openChain(endpoint)
  } catch (error) {
    if (error instanceof EndpointError) throw new CannotRun(`endpoint error: ${error.message}`)
    throw error
  }
}

async function ask(
  asking: Asking,
  { place, record }: Subject,
  progress: Progress,
): Promise<Online | undefined> {
  const stretch = windowAround(record, asking.before, asking.after)
  if (!stretch) return undefined
  return askChain(asking.chain, record, stretch, (looked) =>
    progress.show(looked, undefined, `${place}: ${counted(looked, 'block')}`),
  )
}

const hashForm = /^0x[0-9a-f]{64}$/

function problemsOf(
  { place, record }: Subject,
  hash: string | undefined,
  firstUse: ReturnType<typeof duplicates>['firstUse'],
): string[] {
  if (hash === undefined) return []
  if (!hashForm.test(hash)) return ['g1_tx_hash is not 0x and 64 lower-case hexadecimal digits']
  if (Object.hasOwn(record, 'g1_tx_hash_raw'))
    return ['there is a g1_tx_hash and a g1_tx_hash_raw; the receiver writes only one']
  const first = firstUse(hash, place)
  return first === undefined ? [] : [`the same hash as ${first}: one payment, named by two records`]
}

const unanswered = ({ verdict }: Online): boolean =>
  verdict === 'endpoint error' || verdict === 'endpoint lacks the blocks'

/** Only a bound record whose extrinsic moves money is beyond question. */
const looksWrong = (online: Online): boolean =>
  !unanswered(online) &&
  !(online.verdict === 'bound' && online.proof !== null && online.proof.payments.length > 0)

function reportOf(
  { place, record, detailed }: Subject,
  hash: string | undefined,
  problems: readonly string[],
  online: Online | undefined,
): Report {
  return {
    place,
    participant_id: textMember(record, 'participant_id'),
    submitted_at: textMember(record, 'submitted_at'),
    g1_tx_hash: hash,
    digest: detailed ? contentDigest(record) : undefined,
    problems,
    online,
  }
}

async function printReport(report: Report, print: Printer, io: Io): Promise<void> {
  await print.give('record', report)
  const { place, participant_id, submitted_at, g1_tx_hash, digest, problems, online } = report
  const rows: [string, string | undefined][] = [
    ['participant', participant_id],
    ['submitted', submitted_at],
    ['hash', g1_tx_hash ?? 'none'],
    ['digest', digest],
    ['comment', digest && `scn01:${digest.slice(2)}   (for the transfer, by the wallet)`],
    ...problems.map((problem): [string, string] => ['LOOK', problem]),
    ['verdict', online && `${online.verdict}: ${online.meaning}`],
    [
      'block',
      online?.block
        ? `${online.block.number} of ${online.block.time}, extrinsic ${online.block.index}, ${online.block.hash}`
        : undefined,
    ],
    ...(online?.proof ? callRows(online.proof) : []),
  ]
  await print.say(`${place}\n${aligned(rows, io)}`)
}

function proofRows(proof: Proof): [string, string | undefined][] {
  return [
    ['extrinsic', proof.extrinsic_hash],
    ['hash', proof.hash_matches ? 'is the g1_tx_hash of the record' : 'is NOT the g1_tx_hash of the record'],
    ['digest', proof.digest],
    ...callRows(proof),
  ]
}

const commentTexts: Readonly<Record<Proof['comment'], string>> = {
  'this record': 'names this record',
  'another record': 'names ANOTHER record',
  none: 'there is no scn01: comment, so nothing ties this payment to the record',
  'call not recognised': 'cannot be read',
}

function callRows(proof: Proof): [string, string | undefined][] {
  return [
    ['comment', commentTexts[proof.comment]],
    ['payer', proof.payer ?? undefined],
    ...proof.payments.map(({ call, payee, amount }): [string, string] => [
      'transfer',
      `${amount} to ${payee}   (${call})`,
    ]),
    [
      'call',
      proof.unread ??
        (proof.payments.length === 0 ? 'no transfer in it: nothing shows a payment' : undefined),
    ],
  ]
}
