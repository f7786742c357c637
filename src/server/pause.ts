/** `.paused` in the data directory closes the receiver; its first line is the reason (SPEC 2, step 3). */
import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs'

const longestReason = 200
/** A reason of the longest characters, with blanks before it. */
const longestRead = 1_024

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
    return firstLine(beginningOf(path))
  } catch {
    return 'the pause file cannot be read'
  }
}

/** Whatever stands there, a device without end or a FIFO without a writer: neither takes memory, nor is it waited for. */
function beginningOf(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const bytes = Buffer.alloc(longestRead)
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, longestRead, null))
  } finally {
    closeSync(fd)
  }
}

function firstLine(text: string): string {
  const line = (text.split('\n', 1)[0] as string).replace(/\p{Cc}/gu, ' ').trim()
  // by whole characters: half of a pair would make a problem document that some cannot read
  return line === '' ? 'no reason was given' : [...line].slice(0, longestReason).join('')
}
