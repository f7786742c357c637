/** Reads finalized blocks of a Substrate chain from an endpoint: the time and the extrinsics of each. */

import { decodeExtrinsic } from './extrinsic.ts'
import { bytesFromHex } from './hex.ts'
import { type Endpoint, EndpointError } from './rpc.ts'
import { attempt, reader } from './scale.ts'

export type Block = {
  readonly number: number
  readonly hash: string
  /** Milliseconds since 1970, from the extrinsic that sets the time. */
  readonly time: number
  readonly extrinsics: readonly Uint8Array[]
}

export type Chain = {
  readonly name: string
  readonly genesis: string
  /** The number of the last finalized block when the tool asked. */
  readonly head: number
  /** A block is undefined when the endpoint does not have it, or not any more. */
  blocks(numbers: readonly number[]): Promise<(Block | undefined)[]>
  /** Any other answer of the endpoint; undefined when it gives none. */
  told(method: string, ...params: readonly unknown[]): Promise<unknown>
}

export async function openChain(endpoint: Endpoint): Promise<Chain> {
  const headHash = text(await endpoint.call('chain_getFinalizedHead'), 'a hash')
  const header = (await endpoint.call('chain_getHeader', headHash)) as { number?: unknown } | null
  const head = Number(text(header?.number, 'a block number'))
  if (!Number.isSafeInteger(head) || head < 0)
    throw new EndpointError('the endpoint gave no usable block number')
  const genesis = text(await endpoint.call('chain_getBlockHash', 0), 'a hash')
  const name = text(await endpoint.call('system_chain'), 'a name')
  return {
    name,
    genesis,
    head,
    blocks: (numbers) => fetchBlocks(endpoint, numbers),
    told: (method, ...params) => toldBy(endpoint, method, params),
  }
}

async function toldBy(endpoint: Endpoint, method: string, params: readonly unknown[]): Promise<unknown> {
  try {
    return (await endpoint.call(method, ...params)) ?? undefined
  } catch (error) {
    if (error instanceof EndpointError) return undefined
    throw error
  }
}

async function fetchBlocks(endpoint: Endpoint, numbers: readonly number[]): Promise<(Block | undefined)[]> {
  const hashes = await endpoint.all(numbers.map((number) => ['chain_getBlockHash', number]))
  const present = hashes.filter((hash) => hash !== null).map((hash) => text(hash, 'a hash'))
  const bodies = await endpoint.all(present.map((hash) => ['chain_getBlock', hash]))
  return numbers.map((number, index) => {
    const hash = hashes[index]
    return typeof hash === 'string' ? blockOf(number, hash, bodies[present.indexOf(hash)]) : undefined
  })
}

type RpcBlock = {
  readonly block?: { readonly header?: { readonly number?: unknown }; readonly extrinsics?: unknown }
} | null

function blockOf(number: number, hash: string, answered: unknown): Block | undefined {
  if (answered === null) return undefined
  const { header, extrinsics: sent } = (answered as RpcBlock)?.block ?? {}
  if (Number(text(header?.number, 'a block number')) !== number)
    throw new EndpointError('the endpoint sent another block than asked')
  if (!Array.isArray(sent)) throw new EndpointError('the endpoint sent a block without extrinsics')
  const extrinsics = sent.map((hex) => bytesFromHex(text(hex, 'an extrinsic')) ?? failed('an extrinsic'))
  const time = timeOf(extrinsics)
  if (time === undefined) throw new EndpointError(`block ${number} has no timestamp`)
  return { number, hash, time, extrinsics }
}

function text(value: unknown, what: string): string {
  return typeof value === 'string' && value.length > 0 ? value : failed(what)
}

function failed(what: string): never {
  throw new EndpointError(`the endpoint did not send ${what} where one belongs`)
}

/** `timestamp.set` is a bare call number 0 with one compact integer; the number of its pallet differs between chains. */
function timeOf(extrinsics: readonly Uint8Array[]): number | undefined {
  for (const bytes of extrinsics) {
    const extrinsic = decodeExtrinsic(bytes)
    if (extrinsic.kind !== 'bare') continue
    const time = attempt(() => timestamp(extrinsic.call))
    if (time !== undefined && time >= earliest && time < latest) return time
  }
  return undefined
}

const earliest = Date.UTC(2015, 0)
const latest = Date.UTC(2200, 0)

function timestamp(call: Uint8Array): number | undefined {
  const from = reader(call)
  const [, number] = [from.byte(), from.byte()]
  const time = Number(from.compact())
  from.end()
  return number === 0 ? time : undefined
}
