/** `.paused` in the data directory closes the receiver; its first line is the reason (SPEC 2, step 3). */
import { lstatSync, readFileSync } from 'node:fs'

const longestReason = 200

/** The reason, or undefined when not paused. Asked for each request; what cannot be looked at counts as paused. */
export function pauseReason(path: string): string | undefined {
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
