/**
 * Makes cells and rows for a spreadsheet (RFC 4180) in which no cell acts as a formula. Otherwise a formula that somebody typed
 * into a narrative would run on the auditor's machine.
 *
 * Every cell is quoted, but quotes are not enough. A spreadsheet that splits at semicolons or tabs (the default in German and
 * French) respects quotes only at the beginning of a cell, so a semicolon, a tab or a line break inside a text ends the cell.
 * Therefore the sign of a formula is disarmed behind these characters, too, and not only at the beginning.
 */
import { harmlessFormat, unsafe } from '../cli/plain.ts'

/** `=`, `+`, `-`, `@` and their full-width forms start a formula in one spreadsheet or another. */
const formula = /(^|[;|\t\r\n])([\s"']*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g
/** Some spreadsheets drop blanks at the beginning of a cell, and then the next character comes first. */
const blankStart = /^[\t\r\n]/

/** The text without control characters and without marks that turn the reading direction. */
export function shownInCell(text: string): string {
  return text.replace(unsafe, (character) =>
    '\t\r\n'.includes(character) || harmlessFormat.has(character) ? character : '\ufffd',
  )
}

export function cell(text: string): string {
  // the apostrophe stands right before the sign, because blanks between them could end the cell, as the line feed of CR LF does
  const disarmed = shownInCell(text).replace(formula, "$1$2'")
  const harmless = blankStart.test(disarmed) ? `'${disarmed}` : disarmed
  return `"${harmless.replaceAll('"', '""')}"`
}

export function row(texts: readonly string[]): string {
  return `${texts.map(cell).join(',')}\r\n`
}

/** A spreadsheet keeps 32,767 characters in a cell and cuts a longer text without a word. */
const longestCell = 32_000

/** Spreads a text over several cells. A text that is too long even for these ends in a remark. */
export function spread(text: string, cells: number): string[] {
  const parts: string[] = []
  let rest = text
  for (let left = cells; left > 0; left--) {
    const part = head(rest)
    rest = rest.slice(part.length)
    parts.push(left === 1 && rest !== '' ? `${part} [cut here: ${rest.length} more characters]` : part)
  }
  return parts
}

/** The first characters of a text, without cutting a surrogate pair. */
function head(text: string): string {
  const part = text.slice(0, longestCell)
  return part.isWellFormed() || part.length < longestCell ? part : part.slice(0, -1)
}
