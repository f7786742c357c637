/**
 * Cells and rows for a spreadsheet (RFC 4180), made so that no cell is taken for a formula: what somebody typed into a
 * narrative would otherwise run on the auditor's machine.
 *
 * Every cell is quoted. That is not enough: a spreadsheet that splits at semicolons or tabs (the default in German and French)
 * knows quotes only at the beginning of what it takes for a cell, and so takes a semicolon, a tab or a line break inside a
 * text for the end of one. So a formula's sign is disarmed behind those, too, not only at the beginning.
 */
import { harmlessFormat, unsafe } from '../cli/plain.ts'

/** `=`, `+`, `-`, `@` and their full-width forms start a formula in one spreadsheet or another. */
const formula = /(^|[;|\t\r\n])([\s"']*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g
/** Blanks before a cell are dropped by some, and then what follows them comes first. */
const blankStart = /^[\t\r\n]/

/** Without control characters, and without marks that turn the reading direction. */
export function shownInCell(text: string): string {
  return text.replace(unsafe, (character) =>
    '\t\r\n'.includes(character) || harmlessFormat.has(character) ? character : '\ufffd',
  )
}

export function cell(text: string): string {
  // right before the sign: blanks in front of it may themselves end a cell, as the line feed of CR LF does
  const disarmed = shownInCell(text).replace(formula, "$1$2'")
  const harmless = blankStart.test(disarmed) ? `'${disarmed}` : disarmed
  return `"${harmless.replaceAll('"', '""')}"`
}

export function row(texts: readonly string[]): string {
  return `${texts.map(cell).join(',')}\r\n`
}

/** A spreadsheet takes 32,767 characters in a cell; a longer one is cut in silence. */
const longestCell = 32_000

/** A text over several cells; what is too long even for them ends in a remark. */
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

/** Not in the middle of a surrogate pair. */
function head(text: string): string {
  const part = text.slice(0, longestCell)
  return part.isWellFormed() || part.length < longestCell ? part : part.slice(0, -1)
}
