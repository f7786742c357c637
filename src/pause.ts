/** `.paused` in the data directory closes the receiver; its first line is the reason (SPEC 2, step 3). */
import { lstatSync, readFileSync } from 'node:fs'

const longestReason = 200

/**
 * The reason, or undefined when not paused. Looked for once in a turn of the event loop: a request that was sent after the
 * file was made comes in a later one.
 */
export function pauseCheck(path: string): () => string | undefined {
  let seen: { readonly reason: string | undefined } | undefined
  return () => {
    if (!seen) {
      seen = { reason: reasonIn(path) }
      setImmediate(() => {
        seen = undefined
      })
    }
    return seen.reason
  }
}

/** What cannot be looked at counts as paused. */
function reasonIn(path: string): string | undefined {
  try {
    if (!lstatSync(path, { throwIfNoEntry: false })) return undefined
    return firstLine(readFileSync(path, 'utf8'))
  } catch {
    return 'the pause file cannot be read'
  }
}

function firstLine(text: string): string {
  const line = (text.split('\n', 1)[0] as string).replace(/\p{Cc}/gu, ' ').trim()
  return line === '' ? 'no reason was given' : line.slice(0, longestReason)
}
