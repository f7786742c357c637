/**
 * Checks heads that were anchored on the Ğ1 chain. The comment of a transfer, `heads:<64 hex>`, holds the digest of a list of
 * heads (SPEC 8). If a finalized block holds the transfer, exactly these heads, and every record up to them, existed at the
 * time of the block. One coin anchors all associations. The receiver never uses anchors.
 */
import { CannotRun, type Exit, type Io } from '../../cli/io.ts'
import type { Parsed } from '../../cli/options.ts'
import { aligned, printer } from '../../cli/print.ts'
import { canonicalBytes } from '../../records/canonical.ts'
import { placeName } from '../addons.ts'
import type { Expectation } from '../verify/expectations.ts'
import { blake2b256 } from './blake2b.ts'
import { effectsOf } from './call.ts'
import { openChain } from './chain.ts'
import { decodeExtrinsic } from './extrinsic.ts'
import { identityOf } from './facts.ts'
import { bytesFromHex } from './hex.ts'
import { connect, defaultLimits, EndpointError, endpointUrl } from './rpc.ts'
import { findWhere } from './search.ts'

/** How far the block may be from the given time, because a transfer may wait and clocks differ. */
const windowMs = 60 * 60_000

/** The comment for these lines, which does not depend on their order. */
export function headsComment(lines: readonly string[]): string {
  return `heads:${blake2b256(canonicalBytes([...lines].sort())).slice(2)}`
}

const lineOf = ({ place, sequence, sha256 }: Expectation): string =>
  `${placeName(place)}:${sequence}:${sha256}`

/** The public key that signed an extrinsic with this comment; undefined when the comment is another one, or missing. */
function signerOf(bytes: Uint8Array, comment: string): Uint8Array | undefined {
  const extrinsic = decodeExtrinsic(bytes)
  if (extrinsic.kind !== 'signed') return undefined
  const remarks = extrinsic.forms.flatMap(({ call }) => effectsOf(call)?.remarks ?? [])
  const isNamed = remarks.some((remark) => Buffer.from(remark).toString('latin1').toLowerCase() === comment)
  return isNamed ? extrinsic.signer : undefined
}

type Anchor = {
  readonly verdict: string
  readonly meaning: string
  readonly exit: Exit
  readonly block?: object
}

/** Undefined when no option asks about an anchor. `heads` are the heads of the one file that --heads names. */
export async function checkAnchor(
  options: Parsed,
  heads: readonly Expectation[],
  io: Io,
): Promise<Exit | undefined> {
  const [hex, rpc] = [options.text('extrinsic'), options.text('rpc')]
  if (hex === undefined && rpc === undefined) return undefined
  if (options.texts('heads').length !== 1)
    throw new CannotRun('--extrinsic and --rpc are about the heads of one file: give --heads once')
  const bytes = hex === undefined ? undefined : bytesFromHex(hex)
  if (hex !== undefined && !bytes?.length)
    throw new CannotRun('--extrinsic takes the bytes of an extrinsic as hexadecimal digits')
  const comment = headsComment(heads.map(lineOf))
  const isNamed = bytes === undefined || signerOf(bytes, comment) !== undefined
  const anchor = !isNamed
    ? other
    : rpc === undefined
      ? unchecked
      : await onChain(rpc, comment, bytes, timeIn(options))
  const print = printer(io, options.json)
  await print.say(
    aligned(
      [
        ['comment', comment],
        ['anchor', `${anchor.verdict}: ${anchor.meaning}`],
      ],
      io,
      0,
    ),
  )
  const { verdict, meaning, block } = anchor
  await print.give('anchor', { comment, verdict, meaning, block: block ?? null })
  return anchor.exit
}

const other: Anchor = {
  verdict: 'not these heads',
  meaning: 'The comment of the extrinsic does not name exactly these heads.',
  exit: 1,
}

const unchecked: Anchor = {
  verdict: 'NOT checked',
  meaning:
    'The comment names exactly these heads. Whether the extrinsic was ever on the chain, bytes alone do not show: ask a node with --rpc.',
  exit: 1,
}

function timeIn(options: Parsed): number {
  const time = Date.parse(options.text('anchored') ?? '')
  if (Number.isNaN(time))
    throw new CannotRun(
      '--rpc needs --anchored TIME, such as 2026-07-01T12:00:00Z: when the transfer was made',
    )
  return time
}

async function onChain(
  address: string,
  comment: string,
  wanted: Uint8Array | undefined,
  time: number,
): Promise<Anchor> {
  const url = endpointUrl(address)
  if (!url) throw new CannotRun('--rpc takes an http:// or https:// address without a password in it')
  const hash = wanted && blake2b256(wanted)
  const isIt = (bytes: Uint8Array): boolean =>
    hash === undefined ? signerOf(bytes, comment) !== undefined : blake2b256(bytes) === hash
  try {
    const chain = await openChain(connect(url, defaultLimits))
    if ((await identityOf(chain)) === 'another chain')
      return { verdict: 'another chain', meaning: 'The endpoint does not tell of Ğ1.', exit: 1 }
    const search = await findWhere(chain, isIt, { from: time - windowMs, until: time + windowMs })
    if (search.verdict === 'endpoint lacks the blocks')
      return { verdict: search.verdict, meaning: search.why, exit: 2 }
    if (search.verdict !== 'found') return { verdict: search.verdict, meaning: notFound, exit: 1 }
    const { block, extrinsic } = search.found
    const at = new Date(block.time).toISOString()
    const signer = signerOf(extrinsic, comment)
    const { g1Address } = await import('./address.ts')
    const address = signer && g1Address(signer)
    return {
      verdict: 'anchored',
      meaning: `Finalized block ${block.number} of ${at}, as the endpoint tells, holds this comment, signed by ${address}: exactly these heads existed then, and with them every record up to them.`,
      exit: 0,
      block: { number: block.number, hash: block.hash, time: at },
    }
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error
    return { verdict: 'endpoint error', meaning: error.message, exit: 2 }
  }
}

const notFound =
  'No finalized block within an hour of that time holds it. This is not evidence of forgery: another time or another endpoint may have it.'
