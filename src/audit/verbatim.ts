/**
 * Prints members of a record as they were sent. Every line has a bar at the left margin, so that no record can print a line
 * that looks like one of the tool's own. `│` begins a line of the record; `┆` continues a line that was too long for the
 * screen. Blanks and tabs stay as they are; control characters are shown as `\u{…}`.
 */
import { isScalar, type Json, type JsonObject } from '../../contracts/contract.ts'
import { plain } from '../cli/plain.ts'

const deepest = 64
const tabWidth = 8

/** The lines for an object: the name of each member, and below it the value. */
export function* verbatimLines(object: JsonObject, columns: number): Generator<string> {
  yield* members(object, 0, columns)
}

function* members(object: JsonObject, depth: number, columns: number): Generator<string> {
  for (const [name, value] of Object.entries(object)) {
    yield* barred(name, 4 * depth, columns)
    yield* valueLines(value, depth + 1, columns)
  }
}

function* valueLines(value: Json, depth: number, columns: number): Generator<string> {
  const indent = 4 * depth
  if (typeof value === 'string') {
    for (const line of value.split('\n')) yield* barred(line, indent, columns)
  } else if (isScalar(value) || depth > deepest)
    yield* barred(`${jsonText(value)}   (not a text)`, indent, columns)
  else if (Array.isArray(value)) {
    if (value.length === 0) yield* barred('[]   (an empty list)', indent, columns)
    for (const [index, item] of value.entries()) {
      yield* barred(`${index + 1}.`, indent, columns)
      yield* valueLines(item as Json, depth + 1, columns)
    }
  } else if (Object.keys(value).length === 0) yield* barred('{}   (no members)', indent, columns)
  else yield* members(value as JsonObject, depth, columns)
}

/** The JSON of a value; a sentence when the value is nested too deeply for it. */
export function jsonText(value: Json): string {
  try {
    return JSON.stringify(value)
  } catch {
    return '(nested too deeply to be shown)'
  }
}

/** One line of the record, broken into as many lines of the screen as needed. */
function* barred(text: string, indent: number, columns: number): Generator<string> {
  const margin = ' '.repeat(Math.min(indent, Math.floor(columns / 2)))
  const room = Math.max(20, columns - 2 - margin.length)
  let bar = '│'
  for (const part of parts(text, room)) {
    yield `${bar} ${margin}${part}`
    bar = '┆'
  }
}

function* parts(text: string, room: number): Generator<string> {
  let part = ''
  let width = 0
  for (const character of text) {
    const shown = character === '\t' ? character : plain(character)
    const cells = widthOf(shown)
    if (part !== '' && width + cells > room) {
      yield part
      part = ''
      width = 0
    }
    part += shown
    width += cells
  }
  yield part
}

/** Ideographs and emoji take two columns of a terminal. */
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f000}-\u{1faff}\u{20000}-\u{3fffd}]/u

function widthOf(shown: string): number {
  if (shown === '\t') return tabWidth
  return wide.test(shown) ? 2 : shown.length
}
