/**
 * Checks node tokens, the current and the previous one, in constant time.
 *
 * Anyone who holds the token can post any envelope of any addon. The token is kept in memory only, is compared by its SHA-256,
 * and is in no log line.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { TokenCheck } from '../http/token.ts'

export type Tokens = { readonly current: string; readonly previous?: string | undefined }

type Known = { readonly digits: Buffer; readonly hex: string }

/** `replace` is for a rotation: from the next request on only the new tokens are accepted. */
export function tokenCheck(tokens: Tokens): TokenCheck & { replace(tokens: Tokens): void } {
  let known = knownOf(tokens)
  /** The SHA-256 of the presented token, as hex digits. */
  const digits = Buffer.alloc(64)
  return {
    match(presented) {
      if (!presented) return undefined
      digits.write(sha256(presented), 'latin1')
      let hex: string | undefined
      // all tokens are compared, whichever matches, so that the time is always the same
      for (const candidate of known) if (timingSafeEqual(digits, candidate.digits)) hex = candidate.hex
      return hex
    },
    replace(next) {
      known = knownOf(next)
    },
  }
}

function knownOf({ current, previous }: Tokens): readonly Known[] {
  return (previous === undefined ? [current] : [current, previous]).map((token) => {
    const hex = sha256(token)
    return { digits: Buffer.from(hex), hex }
  })
}

/** The hash as hex digits, because a text costs a third of a buffer of its own. */
function sha256(token: string): string {
  return hash('sha256', token, 'hex')
}
