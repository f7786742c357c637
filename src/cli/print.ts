/** Lines for people, JSON Lines for programs: with `--json` every line is one object with a `type`, and nothing else is printed. */
import type { Io } from './io.ts'
import { plain } from './plain.ts'

export type Printer = {
  readonly json: boolean
  /** Text for people; silent with `--json`. */
  say(text: string): Promise<void>
  /** An object for programs; silent without `--json`. */
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

/** Still the same JSON; without what a terminal would act on, should somebody look at it there. */
function escaped(json: string): string {
  return json.replace(acted, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const acted = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Names to the left, values to the right, wrapped to the columns that are left. What is undefined is left out. */
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

/** Paragraphs stay; long words are cut; nothing in the text reaches the terminal as anything but text. */
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
