/**
 * Cells and rows for a spreadsheet (RFC 4180), made so that no cell is taken for a formula: what somebody typed into a
 * narrative would otherwise run on the auditor's machine.
 */

/** `=`, `+`, `-`, `@`, tab and carriage return start a formula in one spreadsheet or another; so do a line feed and full-width signs. */
const startsFormula = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g

export function cell(text: string): string {
  const shown = text.replace(control, '\ufffd')
  const harmless = startsFormula.test(shown) ? `'${shown}` : shown
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
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
