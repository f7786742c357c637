/**
 * Shows sent values as they were sent: line breaks, blanks and tabs stay, and everything is text. Characters that would turn
 * the reading direction or act on a screen are shown as `\u{…}`. A text keeps its own reading direction inside its box.
 */
import { isScalar, type Json, type JsonObject } from '../../../contracts/contract.ts'
import { harmlessFormat, unsafe } from '../../cli/plain.ts'
import { jsonText } from '../verbatim.ts'

const deepest = 64

export function visible(text: string): string {
  return text.replace(unsafe, (character) =>
    character === '\n' || character === '\t' || harmlessFormat.has(character)
      ? character
      : `\\u{${(character.codePointAt(0) as number).toString(16)}}`,
  )
}

/** A text in one line, for a cell of a table. */
export function inLine(text: string): string {
  return visible(text.replace(/\s+/g, ' '))
}

export function Verbatim({ text }: { text: string }) {
  return (
    <div class="sent" dir="auto">
      {visible(text)}
    </div>
  )
}

/** The names and values of an object, one below the other. */
export function Members({ of, caption, depth = 0 }: { of: JsonObject; caption: string; depth?: number }) {
  return (
    <table class="members" aria-label={caption}>
      <tbody>
        {Object.entries(of).map(([name, value], index) => (
          <tr key={String(index)}>
            <th scope="row">
              <bdi>{visible(name)}</bdi>
            </th>
            <td>
              <Value value={value} name={name} depth={depth} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Value({ value, name, depth }: { value: Json; name: string; depth: number }) {
  if (typeof value === 'string') return <Verbatim text={value} />
  if (isScalar(value) || depth > deepest) return <span class="no-text">{jsonText(value)} (not a text)</span>
  if (Array.isArray(value)) {
    if (value.length === 0) return <span class="no-text">[] (an empty list)</span>
    return (
      <ol class="list">
        {value.map((item, index) => (
          <li key={String(index)}>
            <Value value={item as Json} name={name} depth={depth + 1} />
          </li>
        ))}
      </ol>
    )
  }
  if (Object.keys(value).length === 0) return <span class="no-text">{'{}'} (no members)</span>
  return <Members of={value as JsonObject} caption={`Members of ${inLine(name)}`} depth={depth + 1} />
}
