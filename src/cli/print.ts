/** Prints lines for people, or JSON Lines for programs: with `--json` every line is one object with a `type`. */
import type { Io } from './io.ts'
import { plain } from './plain.ts'

export type Printer = {
  readonly json: boolean
  /** Prints text for people; prints nothing with `--json`. */
  say(text: string): Promise<void>
  /** Prints an object for programs; prints nothing without `--json`. */
  give(type: string, value: object): Promise<void>
}

export function printer(io: Io, json: boolean): Printer {
  return {
    json,
    say: async (text) => {
      if (!json) await io.out(`${text}\n`)
    },
    give: async (type, value) => {
      if (json) await io.out(`${escaped(JSON.stringify({ type, ...value }))}\n`)
    },
  }
}

/** The same JSON, with escapes for characters on which a terminal would act. */
function escaped(json: string): string {
  return json.replace(acted, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const acted = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Names on the left, values on the right, wrapped to the columns that are free. Rows with an undefined value are left out. */
export function aligned(
  rows: readonly (readonly [name: string, value: string | undefined])[],
  io: Pick<Io, 'columns'>,
  indent = 2,
): string {
  const shown = rows.filter((row): row is readonly [string, string] => row[1] !== undefined)
  const width = Math.min(32, Math.max(0, ...shown.map(([name]) => name.length)))
  const margin = ' '.repeat(indent + width + 2)
  return shown
    .map(([name, value]) => {
      const [first = '', ...others] = wrapped(value, io.columns - margin.length)
      const start =
        name.length > width
          ? `${' '.repeat(indent)}${name}\n${margin}`
          : `${' '.repeat(indent)}${name.padEnd(width)}  `
      return [start + first, ...others.map((line) => margin + line)].join('\n')
    })
    .join('\n')
}

/** Wraps each paragraph. Long words are cut, and characters on which a terminal would act are made visible. */
export function wrapped(text: string, width: number): string[] {
  return text.split(/\r\n|\r|\n/).flatMap((paragraph) => wrapLine(plain(paragraph), Math.max(20, width)))
}

function wrapLine(paragraph: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of paragraph.split(/\s+/)) {
    for (const piece of pieces(word, width)) {
      if (line !== '' && line.length + 1 + piece.length > width) {
        lines.push(line)
        line = piece
      } else line = line === '' ? piece : `${line} ${piece}`
    }
  }
  return [...lines, line]
}

function pieces(word: string, width: number): string[] {
  return word.length <= width ? [word] : (word.match(new RegExp(`.{1,${width}}`, 'gsu')) ?? [])
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`
}
