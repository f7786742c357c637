/** RFC 8785, the JSON Canonicalization Scheme: one text for one value, so that its hash names the value. */
import type { Json } from '../../contracts/contract.ts'
import type { Member } from '../../contracts/record.ts'

/** Keys by UTF-16 code units (the order of `sort()`), numbers and strings as ECMAScript prints them. */
export function canonicalJson(value: Json): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const object = value as { readonly [key: string]: Json }
  let text = ''
  for (const key of Object.keys(object).sort()) {
    text += `${text === '' ? '' : ','}${quoted(key)}:${canonicalJson(object[key] as Json)}`
  }
  return `{${text}}`
}

/** Most strings need no escape, and then this is half the price of `JSON.stringify`. Well-formed strings only. */
function quoted(text: string): string {
  return needsNoEscape.test(text) ? `"${text}"` : JSON.stringify(text)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
const needsNoEscape = /^[^"\\\u0000-\u001f]*$/

/** A member as it stands in a JSON object, its value in canonical form. */
export type MemberText = { readonly name: string; readonly text: string }

export function memberText([name, value]: Member): MemberText {
  return { name, text: `${quoted(name)}:${canonicalJson(value)}` }
}
