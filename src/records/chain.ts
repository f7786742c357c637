/** Follows the chain of a `records.json` as far as it holds (SPEC 4, "Append only"). */
import { closeBrace, comma, type Line, parseReceipt } from './line.ts'
import { type ByteSource, readLines } from './lines.ts'
import type { Position } from './position.ts'
import { sha256Hex } from './sha256.ts'

/**
 * Follows the chain from `from` and calls `onRecord` with each record whose place, sequence and previous hash are right. Returns
 * the position after the last one. The caller has to check whether the file ends there as it should. `until` is the size of the
 * file without its closing. Bytes before `until` never change, so a record that is appended meanwhile is not seen.
 */
export async function follow(
  source: ByteSource,
  from: Position,
  until: number,
  onRecord: (found: Line) => void,
): Promise<Position> {
  let position = from
  let mayFollow = from.count === 0
  await readLines(source, from.end, until, (offset, text) => {
    const continued = text.length > 0 && text[text.length - 1] === comma
    if (offset === from.end) {
      // This is the rest of the line on which `from` ends: nothing after `[`, and a comma after a record.
      if (from.count === 0) return text.length === 0
      mayFollow = continued && text.length === 1
      return mayFollow
    }
    const line = continued ? text.subarray(0, -1) : text
    if (!mayFollow || line[line.length - 1] !== closeBrace) return false
    const receipt = parseReceipt(line)
    if (receipt?.sequence !== position.count + 1 || receipt.previous_sha256 !== position.sha256) return false
    const sha256 = sha256Hex(line)
    position = { count: receipt.sequence, end: offset + line.length, sha256 }
    onRecord({ offset, line, sha256, receipt })
    mayFollow = continued
    return true
  })
  return position
}
