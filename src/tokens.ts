/**
 * The node token, current and previous, and the check in constant time.
 *
 * Who is trusted: whoever has the token may post any envelope of any addon. It is kept in memory only, is compared by its
 * SHA-256, and is in no log line.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { TokenCheck } from './http/token.ts'

export type Tokens = { readonly current: string; readonly previous?: string | undefined }

type Known = { readonly digest: Buffer; readonly hex: string }

/** `replace` is for rotation: from the next request on only the new ones count. */
export function tokenCheck(tokens: Tokens): TokenCheck & { replace(tokens: Tokens): void } {
  let known = knownOf(tokens)
  return {
    match(presented) {
      const digest = sha256(presented)
      let hex: string | undefined
      // all are compared, whichever matches
      for (const candidate of known) if (timingSafeEqual(digest, candidate.digest)) hex = candidate.hex
      return hex
    },
    replace(next) {
      known = knownOf(next)
    },
  }
}

function knownOf({ current, previous }: Tokens): readonly Known[] {
  return (previous === undefined ? [current] : [current, previous]).map((token) => {
    const digest = sha256(token)
    return { digest, hex: digest.toString('hex') }
  })
}

function sha256(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}
