/**
 * The engine of the page, bundled as the page bundles it, has the findings of `audit verify` on every damaged directory.
 *
 * A browser does not show links, modes, or an empty folder in the place of a file to a page, so the page cannot find them. These
 * variants are named here. The page must not call them whole either without saying what it did not check.
 */
import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { browserBuild } from '../scripts/page/browser-build.ts'
import type * as engine from '../src/audit/page/engine.ts'
import type { Opened } from '../src/audit/page/opened-directory.ts'
import { verify } from './audit-build.ts'
import { scratchDir } from './receiver.ts'
import { type Variant, variants, wholeDirectory } from './variants.ts'

const bundleDirectory = scratchDir()
let page: typeof engine

before(async () => {
  const outfile = join(bundleDirectory, 'engine.mjs')
  const options = browserBuild(process.cwd(), 'src/audit/page/engine.ts')
  await build({ ...options, outfile, format: 'esm', minify: false, write: true })
  page = (await import(pathToFileURL(outfile).href)) as typeof engine
})

/** The files that a browser gives of a folder, with their paths. It leaves out links, special files and empty folders. */
function filesIn(root: string, directory = root): Opened[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry): Opened[] => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return filesIn(root, path)
    if (!entry.isFile()) return []
    const file = new Blob([readFileSync(path)])
    return [{ path: relative(root, path), file, changedMs: lstatSync(path).mtimeMs }]
  })
}

const byPage = (root: string, heads: readonly string[]) => checked(filesIn(root), heads)

async function checked(opened: readonly Opened[], heads: readonly string[], chosen?: string) {
  const kept = page.keptFrom(heads.length > 0 ? [{ name: '--expect', text: heads.join('\n') }] : [])
  const { files, outside, stamps } = await page.placed(opened, chosen)
  const now = new Date()
  const options = {
    kept,
    outside,
    stamps,
    now,
    version: 'test',
    progress: () => {},
    judge: page.judgeIn(files),
  }
  return page.check(files, options)
}

/** The findings of the tool, without those about modes, which a browser does not show. */
async function byTool(root: string, heads: readonly string[]) {
  const { told } = await verify(root, '--copy', ...heads.flatMap((head) => ['--expect', head]))
  const summary = told.at(-1) as { verdict?: unknown }
  const findings = told.slice(0, -1).map(({ type, ...finding }) => ({ level: type, ...finding }))
  return { verdict: summary.verdict, findings }
}

/** Makes both sources equal: the tool counts its `--expect` arguments, the page counts the lines of a file. */
const sameSource = (text: string): string => text.replaceAll(/--expect( line \d+)?/g, '--expect')

/** These variants consist of things that a browser does not show when a folder is opened. */
const notShown: ReadonlySet<string> = new Set([
  'a link in place of the records',
  'a directory in place of the records',
  'a link in place of an association',
])

async function inBoth(
  variant: Pick<Variant, 'tamper'>,
  compare: (root: string, heads: readonly string[]) => Promise<void>,
) {
  const scratch = scratchDir()
  const root = join(scratch, 'data')
  mkdirSync(root)
  const whole = wholeDirectory(root)
  variant.tamper(whole)
  await compare(root, [])
  await compare(root, whole.heads)
}

for (const { name, tamper } of [{ name: 'nothing changed', tamper: () => {} }, ...variants]) {
  if (notShown.has(name)) continue
  test(`the page has the findings of verify, with ${name}`, async () => {
    await inBoth({ tamper }, async (root, heads) => {
      const [ours, tools] = [await byPage(root, heads), await byTool(root, heads)]
      const told = (found: object): unknown => JSON.parse(sameSource(JSON.stringify(found)))
      assert.deepEqual(told(ours.findings), told(tools.findings))
      assert.equal(ours.verdict, tools.verdict)
    })
  })
}

test('a directory with changes that a browser does not show is never called whole: the page says what it did not check', async () => {
  for (const { tamper } of variants.filter(({ name }) => notShown.has(name)))
    await inBoth({ tamper }, async (root, heads) => {
      const { verdict, findings, not_checked } = await byPage(root, heads)
      const isTold = verdict !== 'whole' || findings.some(({ kind }) => kind === 'foreign')
      assert.ok(isTold || not_checked.some((text) => text.startsWith('links, modes and owners')))
    })
})

test('the data directory is found in a folder around it, and a folder with two of them has to be chosen from', async () => {
  const scratch = scratchDir()
  const whole = ['first', 'second'].map((name) => {
    const root = join(scratch, name)
    mkdirSync(root)
    return wholeDirectory(root)
  })
  writeFileSync(join(scratch, 'letter.txt'), 'To whom it may concern')
  const opened = filesIn(scratch)
  assert.deepEqual((await page.placed(opened)).choices, ['first/', 'second/'])
  const { files, outside, choices } = await page.placed(opened, 'second/')
  assert.deepEqual(choices, [])
  assert.ok(files.some(({ path }) => path === relative(whole[1]!.root, whole[1]!.records)))
  assert.equal(outside, opened.length - files.length)
  const { not_checked } = await checked(opened, [], 'second/')
  assert.ok(
    not_checked.some((text) => text.startsWith(`${outside} opened files outside of the data directory`)),
  )
})

test('single files get their places by their content: a records file with its head file, and the file of an address', async () => {
  const scratch = scratchDir()
  const { directory, vs01 } = wholeDirectory(scratch)
  const opened = [...filesIn(directory), ...filesIn(join(vs01, '..'))]
  const { files } = await page.placed(opened)
  const paths = files.map(({ path }) => path).sort()
  assert.deepEqual(paths, [
    'scn01/plum-grove-21/.records.head.json',
    'scn01/plum-grove-21/records.json',
    'vs01/plum-grove-21/22c@5sb-8hm-54v.json',
  ])
})
