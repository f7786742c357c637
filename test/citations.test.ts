/** Every section that code, tests and the client cite from the specification or the storage design exists. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const spec = readFileSync('contracts/SPEC.md', 'utf8')
const design = readFileSync('src/storage/DESIGN.md', 'utf8')
const sections = new Map(
  spec.split(/^(?=## )/m).flatMap((text) => {
    const number = /^## (\d+)\. /.exec(text)?.[1]
    return number === undefined ? [] : [[number, text] as const]
  }),
)
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter(
    (name) => /\.(ts|tsx|php|md|sql|yml)$|^(deploy|\.ci)\/[\w-]+$/.test(name) && name !== 'contracts/SPEC.md',
  )

/** Every match in every file, as `[file, match]`. A citation may continue on the next line of a comment. */
function cited(pattern: RegExp): [string, RegExpMatchArray][] {
  return files.flatMap((name) => {
    const text = readFileSync(name, 'utf8').replace(/\n\s*(?:\*|\/\/)?\s*/g, ' ')
    return [...text.matchAll(pattern)].map((found) => [name, found] as [string, RegExpMatchArray])
  })
}

test('every cited section of the specification exists, and so does the cited step or title', () => {
  const all = cited(/\bSPEC(?:,? section)? (\d+)(?:, step (\d+))?(?:, "([^"]+)")?/g)
  assert.ok(all.length > 20, `${all.length} citations`)
  for (const [name, [text, section, step, title]] of all) {
    const found = sections.get(section as string)
    assert.ok(found, `${name}: ${text}`)
    if (step) assert.match(found, new RegExp(`^\\| ${step} \\|`, 'm'), `${name}: ${text}`)
    if (title) assert.ok(found.includes(title), `${name}: ${text}`)
  }
})

test('each section of the specification has an anchor to link to', () => {
  for (const number of sections.keys()) assert.ok(spec.includes(`<a id="spec-${number}"></a>`), number)
  for (const [name, [text, number]] of cited(/SPEC\.md#spec-(\d+)/g))
    assert.ok(sections.has(number as string), `${name}: ${text}`)
})

test('every cited heading of the storage design exists', () => {
  const headings = [...design.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)
  for (const [name, [text, heading]] of cited(/\bDESIGN, "([^"]+)"/g))
    assert.ok(headings.includes(heading as string), `${name}: ${text}`)
  const bare = /\b(?:SPEC(?!(?:,? section)? \d|\.md)|DESIGN(?!, "|\.md))\b/g
  assert.deepEqual(
    cited(bare).filter(([name]) => name !== 'test/citations.test.ts'),
    [],
  )
})
