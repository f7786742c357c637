/**
 * Makes small mistakes by rule in all of `src/`: a comparison turned around, a limit off by one, a statement left out, an `await` forgotten.
 * A sample takes the mistakes whose hash with the seed is lowest, so a change of one file does not change the sample of the others.
 */
import { hash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { parseSync } from 'oxc-parser'

export type Generated = {
  readonly file: string
  readonly start: number
  readonly end: number
  readonly line: number
  readonly replace: string
  /** The change, the changed line, and its number among equal lines. It stays the same as long as the line does. */
  readonly name: string
}

type Node = { readonly type: string; readonly start: number; readonly end: number } & Readonly<
  Record<string, unknown>
>

const turned: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '&&': '||',
  '||': '&&',
}

type Edit = { readonly start: number; readonly end: number; readonly replace: string; readonly what: string }

function editsOf(node: Node, text: string): Edit[] {
  const { start, end } = node
  if (node.type === 'BinaryExpression' || node.type === 'LogicalExpression') {
    const operator = node.operator as string
    const to = turned[operator]
    const from = text.indexOf(operator, (node.left as Node).end)
    return to ? [{ start: from, end: from + operator.length, replace: to, what: `${operator} is ${to}` }] : []
  }
  if (node.type === 'Literal' && typeof node.value === 'number')
    return [{ start, end, replace: String(node.value + 1), what: `${node.value} is one more` }]
  if (node.type === 'Literal' && typeof node.value === 'boolean')
    return [{ start, end, replace: String(!node.value), what: `${node.value} is ${!node.value}` }]
  if (node.type === 'IfStatement') {
    const test = node.test as Node
    return [{ start: test.start, end: test.end, replace: 'false', what: 'if is never so' }]
  }
  if (node.type !== 'ExpressionStatement' || node.directive) return []
  const { type, argument } = node.expression as Node & { argument?: Node }
  const dropped = { start, end, replace: ';', what: 'statement left out' }
  if (type !== 'AwaitExpression' || !argument) return [dropped]
  return [dropped, { start, end: argument.start, replace: 'void ', what: 'await left out' }]
}

function visit(node: unknown, each: (node: Node) => void): void {
  if (Array.isArray(node)) for (const part of node) visit(part, each)
  else if (typeof node === 'object' && node !== null && 'type' in node) {
    const { type } = node as Node
    // Types are gone before the program runs, so a mistake in them changes nothing.
    if (type.startsWith('TS') && !type.endsWith('Expression')) return
    each(node as Node)
    for (const part of Object.values(node)) visit(part, each)
  }
}

export function mutantsOf(file: string, text: string): Generated[] {
  const { program, errors } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file} cannot be parsed`)
  const seen = new Map<string, number>()
  const found: Generated[] = []
  visit(program, (node) => {
    for (const { what, ...edit } of editsOf(node, text)) {
      const lineStart = text.lastIndexOf('\n', edit.start - 1) + 1
      const written = text.slice(lineStart, text.indexOf('\n', lineStart)).trim()
      const like = `${file}: ${what}: ${written}`
      const nth = (seen.get(like) ?? 0) + 1
      seen.set(like, nth)
      const line = text.slice(0, edit.start).split('\n').length
      found.push({ file, line, ...edit, name: nth === 1 ? like : `${like} (${nth})` })
    }
  })
  return found
}

/** A sample of `count` mistakes, always the same for one seed. */
export function sample(all: readonly Generated[], count: number, seed: string): Generated[] {
  const ranked = all.map((each) => ({ each, rank: hash('sha256', `${seed} ${each.name}`) }))
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1))
  return ranked.slice(0, count).map(({ each }) => each)
}

/** `most` mistakes of every group, a file or a directory: first one of each group, then a second one of each group, and so on. */
export function spread(
  all: readonly Generated[],
  groupOf: (mutant: Generated) => string,
  most: number,
  seed: string,
): Generated[] {
  const groups = new Map<string, Generated[]>()
  for (const each of all) groups.set(groupOf(each), [...(groups.get(groupOf(each)) ?? []), each])
  const ranked = [...groups.values()].map((own) => sample(own, most, seed))
  return Array.from({ length: most }, (_, at) => ranked.flatMap((own) => own.slice(at, at + 1))).flat()
}

export function sourcesIn(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => normalize(join(entry.parentPath, entry.name)).slice(normalize(`${root}/`).length))
    .sort()
}

/** All files that each test file imports, directly or indirectly. */
export function importsOf(root: string, tests: readonly string[]): Map<string, ReadonlySet<string>> {
  const direct = new Map<string, string[]>()
  const importedBy = (file: string): string[] => {
    const known = direct.get(file)
    if (known) return known
    const text = readFileSync(join(root, file), 'utf8')
    const names = [...text.matchAll(/(?:from|import\() ?'(\.[^']+\.tsx?)'/g)]
    // A program that a test writes as a text has imports as well, which lead elsewhere.
    const found = names
      .map(([, name]) => normalize(join(dirname(file), name as string)))
      .filter((name) => existsSync(join(root, name)))
    direct.set(file, found)
    return found
  }
  return new Map(
    tests.map((test) => {
      const all = new Set<string>()
      const add = (file: string): void => {
        if (all.has(file)) return
        all.add(file)
        importedBy(file).forEach(add)
      }
      add(test)
      return [test, all]
    }),
  )
}

/** The test files that should notice a mistake in a file: first the test with its name, then the tests that import least. */
export function testsFor(
  file: string,
  imports: ReadonlyMap<string, ReadonlySet<string>>,
  most: number,
): string[] {
  const named = `test/${basename(file, '.ts')}.test.ts`
  const rank = (test: string, all: ReadonlySet<string>): number => (test === named ? 0 : all.size)
  return [...imports]
    .filter(([, all]) => all.has(file))
    .sort(([a, x], [b, y]) => rank(a, x) - rank(b, y) || (a < b ? -1 : 1))
    .slice(0, most)
    .map(([test]) => test)
}
