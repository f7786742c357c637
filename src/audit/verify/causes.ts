/**
 * Recognises what other programs do to a whole records file: an editor, a mail gateway, a tool that prints JSON anew. The cause is
 * named. Where the change can be undone, it is undone in memory, so that the records can be checked as they were acknowledged.
 */
import { utf8 } from '../../records/bytes.ts'
import { carriageReturn, lineFeed } from '../../records/line.ts'
import { closing } from '../../records/position.ts'
import type { Bytes } from './chain.ts'

export type Cause = {
  readonly what: string
  /** Gives the bytes as the receiver wrote them; throws when the cause was another one. Undefined: the change cannot be undone. */
  readonly undo: ((bytes: Uint8Array) => Uint8Array) | undefined
}

/** How many bytes of the beginning and of the end of a file are examined. */
export const lookedAt = 8 * 1024
/** A change in a longer file is not undone, because the whole file has to be held in memory. */
export const largestUndone = 256 * 1024 * 1024

/**
 * The cause of a change; undefined when beginning and end are as the receiver leaves them, or when no known cause explains
 * them.
 */
export function causeOf(start: Uint8Array, end: Uint8Array): Cause | undefined {
  const wide = utf16(start)
  if (wide) return wide
  const head = latin(start)
  const tail = latin(end)
  if (head.startsWith('\u00ef\u00bb\u00bf'))
    return {
      what: 'begins with a byte order mark (BOM), which an editor puts before a text',
      undo: withoutMark,
    }
  if (quoted(head))
    return { what: 'went through a mail gateway, which wrote it as quoted-printable', undo: unquoted }
  if (head.includes('\r\n'))
    return {
      what: 'has the line ends of Windows (CRLF): an editor or a transfer changed them',
      undo: withoutReturns,
    }
  return printedAnew(head) ?? atTheEnd(head, tail)
}

function printedAnew(head: string): Cause | undefined {
  if (/^\[\s*\{"/.test(head) && !head.startsWith('[\n{"'))
    return { what: 'stands on one line: a JSON tool printed it anew', undo: linesAnew }
  if (/^\[\s*\{\s+"/.test(head))
    return { what: 'is pretty-printed: a JSON tool printed it anew', undo: linesAnew }
  return undefined
}

function atTheEnd(head: string, tail: string): Cause | undefined {
  if (!head.startsWith('[\n{"')) return undefined
  if (tail.endsWith('}\n]'))
    return { what: 'lacks its final line feed: an editor took it away', undo: withLineFeed }
  const behind = /\}\n\]\n(?!\]*\n*$)([^{][\s\S]*)$/.exec(tail)?.[1]
  if (behind !== undefined && !behind.includes('"receipt":'))
    return {
      what: `has ${behind.length} bytes of other text behind its end`,
      undo: (bytes) => bytes.subarray(0, bytes.length - behind.length),
    }
  return undefined
}

function utf16(start: Uint8Array): Cause | undefined {
  const isLittle = (start[0] === 0xff && start[1] === 0xfe) || (start[0] === 0x5b && start[1] === 0)
  const isBig = (start[0] === 0xfe && start[1] === 0xff) || (start[0] === 0 && start[1] === 0x5b)
  if (!isLittle && !isBig) return undefined
  return {
    what: 'is in UTF-16: an editor saved it as "Unicode"',
    undo: (bytes) => {
      const text = new TextDecoder(isLittle ? 'utf-16le' : 'utf-16be', { fatal: true }).decode(bytes)
      return new TextEncoder().encode(text.replaceAll('\r\n', '\n'))
    },
  }
}

/** A text line of quoted-printable has at most 76 characters and ends in `=` where the line went on. */
function quoted(head: string): boolean {
  const lines = head.split('\n')
  return lines.length > 4 && lines.slice(0, -1).every((line) => line.length <= 78) && /=\r?\n/.test(head)
}

function withoutMark(bytes: Uint8Array): Uint8Array {
  const rest = bytes.subarray(3)
  return latin(rest.subarray(0, lookedAt)).includes('\r\n') ? withoutReturns(rest) : rest
}

/** A stored record holds no carriage return of its own: JSON writes one as `\r`. */
function withoutReturns(bytes: Uint8Array): Uint8Array {
  return bytes.filter((byte) => byte !== carriageReturn)
}

function withLineFeed(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length + 1)
  whole.set(bytes)
  whole[bytes.length] = lineFeed
  return whole
}

function unquoted(bytes: Uint8Array): Uint8Array {
  const kept = new Uint8Array(bytes.length)
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte === carriageReturn) continue
    if (byte !== 61) {
      kept[length++] = byte
      continue
    }
    const next = latin(bytes.subarray(at + 1, at + 3))
    if (/^[0-9A-Fa-f]{2}$/.test(next)) {
      kept[length++] = Number.parseInt(next, 16)
      at += 2
    } else if (next.startsWith('\n')) at++
    else if (next === '\r\n') at += 2
    else throw new Error('not quoted-printable')
  }
  return kept.subarray(0, length)
}

function linesAnew(bytes: Uint8Array): Uint8Array {
  const records = JSON.parse(utf8(bytes)) as unknown
  if (!Array.isArray(records)) throw new Error('not an array')
  const lines = records.map((record) => JSON.stringify(record)).join(',\n')
  return new TextEncoder().encode(`[\n${lines}${closing}`)
}

/** Bytes in memory, in the form from which the chain is read. */
export function bytesInMemory(whole: Uint8Array): Bytes {
  const closed = latin(whole.subarray(-closing.length)) === closing && whole.length > closing.length
  return {
    source: { read: async (from, until) => whole.slice(from, until) },
    size: whole.length,
    end: closed ? whole.length - closing.length : whole.length,
    closed,
  }
}

/** One character for each byte. Only ASCII is searched for, so the values of other bytes do not matter. */
function latin(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
