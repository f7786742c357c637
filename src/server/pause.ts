/** The file `.paused` in the data directory pauses the receiver; its first line is the reason (SPEC 2, step 3). */
import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs'

const longestReason = 200
/** Enough bytes for the longest reason, also with the longest characters and with blanks before it. */
const longestRead = 1_024

/**
 * Gives the reason; undefined when the receiver is not paused. Looks at the file once in each turn of the event loop, because a
 * request that was sent after the file was made arrives in a later turn.
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

/** The reason in the file. A file that cannot be read pauses the receiver, too. */
function reasonIn(path: string): string | undefined {
  try {
    if (!lstatSync(path, { throwIfNoEntry: false })) return undefined
    return firstLine(beginningOf(path))
  } catch {
    return 'the pause file cannot be read'
  }
}

/**
 * The beginning of the file. Also for a device without an end, or a FIFO without a writer, this takes little memory and never
 * waits.
 */
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
  // cut between characters, because half of a surrogate pair would make a problem document that some programs cannot read
  return line === '' ? 'no reason was given' : [...line].slice(0, longestReason).join('')
}
