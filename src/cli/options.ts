/** Parses the options of a command, and those that every command has. */
import { statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { CannotRun } from './io.ts'

type Spec = { readonly [name: string]: { readonly type: 'string' | 'boolean'; readonly multiple?: boolean } }

export type Parsed = {
  readonly data: string
  readonly json: boolean
  readonly positionals: readonly string[]
  text(name: string): string | undefined
  texts(name: string): readonly string[]
  flag(name: string): boolean
  /** A whole number of at least `least`, or undefined when the option is absent. */
  number(name: string, least?: number): number | undefined
}

const everywhere: Spec = { data: { type: 'string' }, json: { type: 'boolean' } }

export function parse(args: readonly string[], spec: Spec = {}, positionals = 0): Parsed {
  const found = parsed(args, { ...everywhere, ...spec })
  if (found.positionals.length > positionals) throw new CannotRun('more arguments than this command takes')
  const text = (name: string): string | undefined => found.values[name] as string | undefined
  return {
    data: text('data') ?? process.env.DATA_DIR ?? './data',
    json: found.values.json === true,
    positionals: found.positionals,
    text,
    texts: (name) => (found.values[name] as string[] | undefined) ?? [],
    flag: (name) => found.values[name] === true,
    number: (name, least = 0) => wholeNumber(name, text(name), least),
  }
}

function parsed(args: readonly string[], options: Spec) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new CannotRun((error as Error).message)
  }
}

function wholeNumber(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined
  const number = Number(text)
  if (!/^\d{1,15}$/.test(text) || number < least)
    throw new CannotRun(`--${name} takes a whole number of at least ${least}`)
  return number
}

/** Refuses a data directory that does not exist, because an empty answer about it would look like a clean one. */
export function dataDirectory(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path
  throw new CannotRun(`there is no data directory at ${path}; name it with --data DIR`)
}
