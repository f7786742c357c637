/**
 * Asks the endpoint about its chain: whether it is Ğ1, and the facts that the signature of an extrinsic covers, as they were in
 * the block that holds the extrinsic. All answers are trusted, like every answer of an endpoint.
 */
import type { Chain } from './chain.ts'
import { decodeExtrinsic, type Era } from './extrinsic.ts'
import { bytesFromHex } from './hex.ts'
import { type ChainFacts, noFacts } from './signature.ts'

/**
 * A block of Ğ1 that the makers of duniter-v2s publish (node/specs/g1-checkpoint.json, 15 March 2026). The hash is blake2b-256
 * of its header. A chain that has this block descends from the genesis block of Ğ1, and no other chain has it.
 */
export const checkpoint = {
  number: 84_128,
  hash: '0xa025bb9b3feb6bf85b154cc03f6535ea548a50941da32159784f0550e7d723ed',
}

export type Identity = 'Ğ1' | 'another chain' | 'cannot be told'

export async function identityOf(chain: Chain): Promise<Identity> {
  if (chain.head < checkpoint.number) return 'cannot be told'
  const hash = await chain.told('chain_getBlockHash', checkpoint.number)
  if (typeof hash !== 'string') return 'cannot be told'
  return hash.toLowerCase() === checkpoint.hash ? 'Ğ1' : 'another chain'
}

/** A fact that cannot be found out is undefined; then the signature is reported as not checked. */
export async function factsAt(chain: Chain, number: number, extrinsic: Uint8Array): Promise<ChainFacts> {
  const decoded = decodeExtrinsic(extrinsic)
  if (decoded.kind !== 'signed') return noFacts
  const runtime = await runtimeOf(chain, number - 1)
  const birth = decoded.era && (await chain.told('chain_getBlockHash', birthOf(decoded.era, number)))
  return { genesis: hashBytes(chain.genesis), eraBlock: hashBytes(birth), ...runtime }
}

/** The runtime that executed a block, which is the one in the state of the block before. */
async function runtimeOf(
  chain: Chain,
  before: number,
): Promise<Pick<ChainFacts, 'specVersion' | 'transactionVersion'>> {
  const hash = await chain.told('chain_getBlockHash', before)
  const told = hash === undefined ? undefined : await chain.told('state_getRuntimeVersion', hash)
  const { specVersion, transactionVersion } = (told ?? {}) as Record<string, unknown>
  return { specVersion: version(specVersion), transactionVersion: version(transactionVersion) }
}

const version = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32 ? value : undefined

function hashBytes(value: unknown): Uint8Array | undefined {
  const bytes = typeof value === 'string' ? bytesFromHex(value) : undefined
  return bytes?.length === 32 ? bytes : undefined
}

/** The first block of the era that contains block `number`. */
export function birthOf({ period, phase }: Era, number: number): number {
  return Math.floor((Math.max(number, phase) - phase) / period) * period + phase
}
