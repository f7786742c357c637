/**
 * Searches the finalized blocks of a span of time for an extrinsic: a binary search for the first block, then block after
 * block. "Not found" is a statement about this span and this endpoint, and is no evidence of forgery.
 */

import { blake2b256 } from './blake2b.ts'
import type { Block, Chain } from './chain.ts'

export type BlockStretch = { readonly from: number; readonly until: number }

type FoundExtrinsic = { readonly block: Block; readonly index: number; readonly extrinsic: Uint8Array }

export type Search =
  | { readonly verdict: 'found'; readonly found: FoundExtrinsic }
  | { readonly verdict: 'not found in window'; readonly looked: number }
  | { readonly verdict: 'endpoint lacks the blocks'; readonly why: string }

const stride = 8

export function findExtrinsic(
  chain: Chain,
  hash: string,
  stretch: BlockStretch,
  progress: (looked: number) => void = () => {},
): Promise<Search> {
  return findWhere(chain, (bytes) => blake2b256(bytes) === hash, stretch, progress)
}

/** The first extrinsic for which `isIt` is true. */
export async function findWhere(
  chain: Chain,
  isIt: (extrinsic: Uint8Array) => boolean,
  stretch: BlockStretch,
  progress: (looked: number) => void = () => {},
): Promise<Search> {
  const { first, startsLate } = await firstBlock(chain, stretch.from)
  let looked = 0
  let lacking = startsLate ? 'its oldest block is younger than the beginning of the window' : undefined
  for (let number = first; number <= chain.head; number += stride) {
    const count = Math.min(stride, chain.head - number + 1)
    for (const block of await chain.blocks(Array.from({ length: count }, (_, i) => number + i))) {
      if (!block) {
        lacking ??= 'blocks of the window are missing'
        continue
      }
      if (block.time > stretch.until) return ended(looked, lacking)
      const found = inBlock(block, isIt)
      if (found) return { verdict: 'found', found }
      progress(++looked)
    }
  }
  return ended(looked, lacking ?? 'its last finalized block is older than the end of the window')
}

function ended(looked: number, lacking: string | undefined): Search {
  return lacking === undefined
    ? { verdict: 'not found in window', looked }
    : { verdict: 'endpoint lacks the blocks', why: lacking }
}

function inBlock(block: Block, isIt: (extrinsic: Uint8Array) => boolean): FoundExtrinsic | undefined {
  const index = block.extrinsics.findIndex(isIt)
  return index === -1 ? undefined : { block, index, extrinsic: block.extrinsics[index] as Uint8Array }
}

/** The first block at or after a time. Nodes drop old blocks, so a missing block counts as older than all that the node has. */
async function firstBlock(chain: Chain, time: number): Promise<{ first: number; startsLate: boolean }> {
  let low = 1 // the genesis block has no time
  let high = chain.head + 1
  let lastMissing = 0
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [block] = await chain.blocks([middle])
    if (!block) lastMissing = Math.max(lastMissing, middle)
    if (!block || block.time < time) low = middle + 1
    else high = middle
  }
  return { first: low, startsLate: lastMissing > 0 && lastMissing === low - 1 }
}
