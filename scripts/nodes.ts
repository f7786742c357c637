/** `npm run test:nodes`: the tests on other Node versions. The npm registry brings the binaries; nothing is installed. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

const usage = `Usage: npm run test:nodes -- [VERSION ...] [--file TEST]

Runs the tests on each Node version (default: 22 24 26).
  --file TEST   only this test file; may be repeated
  --help        this text

Exit code: 0 all passed, 1 a version failed, 2 a version could not be had.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { file: { type: 'string', multiple: true }, help: { type: 'boolean' } },
})

if (values.help) {
  console.log(usage)
  process.exit(0)
}

const versions = positionals.length > 0 ? positionals : ['22', '24', '26']
const allTests = readdirSync('test').filter((name) => name.endsWith('.test.ts'))
const files = values.file ?? allTests.map((name) => join('test', name))
const codes = versions.map(testOn)
process.exit(Math.max(...codes))

function testOn(version: string): number {
  const directory = mkdtempSync(join(tmpdir(), 'civic-node-'))
  // a test runs a program as somebody else
  chmodSync(directory, 0o755)
  try {
    const node = fetchNode(version, directory)
    if (!node) {
      console.error(`Node ${version} could not be had from the npm registry`)
      return 2
    }
    console.log(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim())
    // receivers that a test starts with `node` or `npm` run on this version, too
    const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` }
    const args = ['--import', 'tsx', '--test', '--test-concurrency=4', '--test-timeout=240000', ...files]
    return spawnSync(node, args, { env, stdio: 'inherit' }).status === 0 ? 0 : 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function fetchNode(version: string, directory: string): string | undefined {
  const name = `node-${process.platform}-${process.arch}`
  const args = ['install', '--no-save', '--no-package-lock', '--prefix', directory, `${name}@${version}`]
  spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const node = join(directory, 'node_modules', name, 'bin', 'node')
  return existsSync(node) ? node : undefined
}
