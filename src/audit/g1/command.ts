/** The command `g1`: compares the payment that a record names with the record. */
import { CannotRun, type Command, type Exit, type Io } from '../../cli/io.ts'
import { type Parsed, parse } from '../../cli/options.ts'
import { aligned, counted, type Printer, printer } from '../../cli/print.ts'
import { type Progress, progressOn } from '../../cli/progress.ts'
import { isHash } from '../../records/line.ts'
import { member, textMember } from '../members.ts'
import { Trouble } from '../trouble.ts'
import { Payments } from '../verify/same.ts'
import { type Chain, openChain } from './chain.ts'
import { contentDigest } from './digest.ts'
import { type Identity, identityOf } from './facts.ts'
import { bytesFromHex } from './hex.ts'
import { proveExtrinsic } from './proof.ts'
import { identityText, printReport, proofRows, type RecordReport } from './rows.ts'
import { connect, defaultLimits, EndpointError, endpointUrl } from './rpc.ts'
import type { ChainFacts } from './signature.ts'
import { eachSubject, type Subject } from './subjects.ts'
import { askChain, type Online, windowAround } from './verdict.ts'

const help = `node scripts/audit.mjs g1 [[ADDON/]SLUG] [--participant ID] [--sequence N] [--data DIR] [--json]
node scripts/audit.mjs g1 --record FILE …          one record from a file, "-" for standard input

The Ğ1 side of Scenarios. Offline unless --rpc is given.
  without more    form of each g1_tx_hash; the same hash under two records; with SLUG or --record
                  each record's content digest, which a wallet may put into the comment of the
                  transfer as scn01:<64 hex>
  --extrinsic HEX for one record: whether blake2b-256 of these bytes is its g1_tx_hash, whether the
                  comment names the record, whom it names as payer and payee, and how much. Exit 1:
                  whether it was ever on the chain is not checked without --rpc.
  --genesis HEX --spec-version N --transaction-version N [--era-block HEX]
                  with --extrinsic: the facts of the chain under which its signature is checked.
                  With --rpc the chain tells them, and another genesis than --genesis is refused
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

type Asking = {
  readonly chain: Chain
  readonly identity: Identity
  readonly before: number
  readonly after: number
}

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
        genesis: { type: 'string' },
        'spec-version': { type: 'string' },
        'transaction-version': { type: 'string' },
        'era-block': { type: 'string' },
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

async function checkExtrinsic(hex: string, options: Parsed, io: Io): Promise<Exit> {
  const bytes = bytesFromHex(hex)
  if (!bytes || bytes.length === 0)
    throw new CannotRun('--extrinsic takes the bytes of an extrinsic as hexadecimal digits')
  const facts = factsIn(options)
  const subjects: Subject[] = []
  const trouble = new Trouble()
  await eachSubject(options, trouble, async (subject) => void subjects.push(subject))
  const [subject] = subjects
  if (!subject || subjects.length > 1) {
    throw new CannotRun(
      `--extrinsic is about one record; this selects ${subjects.length}: name it with SLUG --sequence N`,
    )
  }
  const print = printer(io, options.json)
  const asking = await openEndpoint(options, print)
  const offline = await proveExtrinsic(bytes, subject.record, facts)
  // the chain is searched for the hash that the record names, so its answer is about the given extrinsic only if that has the hash
  const online = asking && offline.hash_matches ? await ask(asking, subject, progressOn(io)) : undefined
  const proof = online?.proof ?? offline
  const onChain = online
    ? `${online.verdict}: ${online.meaning}`
    : 'NOT checked: whether this was ever on the chain. Bytes alone do not show it; ask a node with --rpc'
  await print.say(`${subject.place}\n${aligned([...proofRows(proof), ['on chain', onChain]], io)}`)
  const on_chain = online?.verdict ?? 'not checked: whether this was ever on the chain'
  await print.give('proof', { place: subject.place, on_chain, ...proof })
  trouble.end(io)
  if (!online) return 1
  return unanswered(online) ? 2 : looksWrong(online, asking) ? 1 : 0
}

/** The facts of the chain that a signature covers besides the bytes, as the options give them. */
function factsIn(options: Parsed): ChainFacts {
  const hash = (name: string): Uint8Array | undefined => {
    const text = options.text(name)
    if (text === undefined) return undefined
    const bytes = bytesFromHex(text)
    if (bytes?.length !== 32) throw new CannotRun(`--${name} takes a block hash: 64 hexadecimal digits`)
    return bytes
  }
  return {
    genesis: hash('genesis'),
    specVersion: options.number('spec-version'),
    transactionVersion: options.number('transaction-version'),
    eraBlock: hash('era-block'),
  }
}

async function checkRecords(options: Parsed, io: Io): Promise<Exit> {
  const print = printer(io, options.json)
  const progress = progressOn(io)
  const asking = await openEndpoint(options, print)
  const seen = new Payments()
  const trouble = new Trouble()
  const totals = { records: 0, hashes: 0, problems: 0, unanswered: 0 }
  await eachSubject(options, trouble, async (subject) => {
    const hash = textMember(subject.record, 'g1_tx_hash')
    const problems = problemsOf(subject, hash, seen)
    const online = asking && hash !== undefined ? await ask(asking, subject, progress) : undefined
    totals.records++
    if (hash !== undefined) totals.hashes++
    totals.problems += problems.length + (online && looksWrong(online, asking) ? 1 : 0)
    if (online && unanswered(online)) totals.unanswered++
    progress.show(totals.records, undefined, counted(totals.records, 'record'))
    if (!subject.detailed && hash === undefined && problems.length === 0) return
    progress.clear()
    await printReport(reportOf(subject, hash, problems, online), print, io)
  })
  progress.clear()
  const { records, hashes, problems } = totals
  await print.say(
    `${counted(records, 'record')}, ${counted(hashes, 'hash', 'hashes')}: ${counted(problems, 'thing')} to look at`,
  )
  await print.give('summary', totals)
  const unread = trouble.end(io)
  return totals.unanswered > 0 ? 2 : problems > 0 ? 1 : unread
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
  const identity = await identityOf(chain)
  refuseOther(options.text('genesis'), genesis)
  await print.say(
    aligned(
      [
        ['endpoint', `${url.origin} (trusted)`],
        ['chain', name],
        ['genesis', genesis],
        ['is it Ğ1', identityText[identity]],
        ['finalized', `block ${head}`],
      ],
      { columns: 110 },
      0,
    ),
  )
  const facts = { chain: name, genesis, identity, finalized: head }
  await print.give('endpoint', { url: url.origin, trusted: true, ...facts })
  return {
    chain,
    identity,
    before: (options.number('before') ?? 30) * minute,
    after: (options.number('after') ?? 5) * minute,
  }
}

function refuseOther(wanted: string | undefined, genesis: string): void {
  if (
    wanted === undefined ||
    wanted.replace(/^0x/i, '').toLowerCase() === genesis.replace(/^0x/i, '').toLowerCase()
  )
    return
  throw new CannotRun('the chain of the endpoint has another genesis block than --genesis names')
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

function problemsOf({ place, record }: Subject, hash: string | undefined, seen: Payments): string[] {
  if (hash === undefined)
    return Object.hasOwn(record, 'g1_tx_hash_raw')
      ? ['what was sent as g1_tx_hash is no transaction hash']
      : []
  if (!(hash.startsWith('0x') && isHash(hash.slice(2))))
    return ['g1_tx_hash is not 0x and 64 lower-case hexadecimal digits']
  if (Object.hasOwn(record, 'g1_tx_hash_raw'))
    return ['there is a g1_tx_hash and a g1_tx_hash_raw; the receiver writes only one']
  const first = seen.firstUse(hash, place)
  return first === undefined ? [] : [`the same hash as ${first}: one payment, named by two records`]
}

const unanswered = ({ verdict }: Online): boolean =>
  verdict === 'endpoint error' || verdict === 'endpoint lacks the blocks'

/** False only for a bound record whose extrinsic moves money, on a chain that is not known to be another than Ğ1. */
function looksWrong(online: Online, asking: Asking | undefined): boolean {
  if (unanswered(online)) return false
  const { verdict, proof } = online
  const isPaid = proof !== null && proof.payments.length > 0 && proof.signature.verdict !== 'not valid'
  return verdict !== 'bound' || !isPaid || proof.warning !== null || asking?.identity === 'another chain'
}

function reportOf(
  { place, record, detailed }: Subject,
  hash: string | undefined,
  problems: readonly string[],
  online: Online | undefined,
): RecordReport {
  return {
    place,
    participant_id: textMember(record, 'participant_id'),
    submitted_at: textMember(record, 'submitted_at'),
    g1_tx_hash: hash,
    g1_tx_hash_raw: member(record, 'g1_tx_hash_raw'),
    digest: detailed ? contentDigest(record) : undefined,
    problems,
    online,
  }
}
