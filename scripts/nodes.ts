/**
 * `npm run test:nodes`: runs the tests on other versions of Node, which npm fetches from its registry into a directory of this run. Then it runs
 * `npm start` on a Node that is too old, which must say so.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const usage = `Usage: npm run test:nodes -- [VERSION ...] [--file TEST]

Runs the tests on each Node version (default: 22 24 26), and sees that Node 18 is refused with a sentence.
  --file TEST   only this test file; may be repeated
  --help        this text

Exit code: 0 all passed, else that of the last one that did not.`

const tooOld = '18'
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { file: { type: 'string', multiple: true }, help: { type: 'boolean' } },
})

if (values.help) {
  console.log(usage)
  process.exit(0)
}

// A test runs a program as another user, who must be able to read this Node.
const cache = mkdtempSync(join(tmpdir(), 'civic-node-'))
chmodSync(cache, 0o755)
process.once('exit', () => rmSync(cache, { recursive: true, force: true }))

const versions = positionals.length > 0 ? positionals : ['22', '24', '26']
const allTests = readdirSync('test').filter((name) => name.endsWith('.test.ts'))
const files = values.file ?? allTests.map((name) => join('test', name))
for (const version of versions) {
  console.log(`Node ${version}`)
  const args = ['--import', 'tsx', '--test', '--test-concurrency=4', '--test-timeout=900000', ...files]
  const { status } = nodeOf(version, args, 'inherit')
  if (status !== 0) process.exitCode = status ?? 1
}
const refused = nodeOf(tooOld, ['scripts/node-version.cjs'], 'pipe')
const isTold = refused.status === 1 && /needs Node .* or later, this is 18\./.test(refused.stderr)
console.log(`Node ${tooOld} is ${isTold ? 'refused with a sentence' : `not refused: ${refused.stderr}`}`)
if (!isTold) process.exitCode = 1

/** Runs npm on this version of Node. npm puts it first in the PATH, so receivers that a test starts also run on it. */
function nodeOf(version: string, args: readonly string[], stdio: 'inherit' | 'pipe') {
  const name = `node-${process.platform}-${process.arch}@${version}`
  const fetched = ['exec', '--yes', '--cache', cache, `--package=${name}`, '--', 'node']
  return spawnSync('npm', [...fetched, ...args], { stdio, encoding: 'utf8' })
}
