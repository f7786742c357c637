/** A newcomer with an old Node gets a sentence, and npm checks the version before it loads code that an old Node cannot read. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { scratchDir } from './receiver.ts'

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
const check = scripts.prestart as string

/** Runs the check in a process that pretends to be this version of Node (`npm run test:nodes` uses a real Node 18). */
function checkOn(version: string) {
  const preload = join(scratchDir(), 'version.cjs')
  const versions = `{ value: { ...process.versions, node: '${version}' } }`
  writeFileSync(preload, `Object.defineProperty(process, 'versions', ${versions})`)
  const [, ...args] = check.split(' ')
  return spawnSync(process.execPath, ['--require', preload, ...args], { encoding: 'utf8' })
}

test('an older Node is told which one is needed, before npm start and before npm test', () => {
  assert.equal(scripts.pretest, check)
  for (const [version, short] of [
    ['18.20.8', '18.20'],
    ['20.16.0', '20.16'],
  ] as const) {
    const { status, stderr } = checkOn(version)
    assert.equal(stderr, `civic-orchestrator: needs Node 20.17 or later, this is ${short}\n`)
    assert.equal(status, 1)
  }
})

test('a Node that is new enough is told nothing', () => {
  for (const version of ['20.17.0', '20.20.2', '22.0.0', process.versions.node]) {
    const { status, stdout, stderr } = checkOn(version)
    assert.deepEqual([status, stdout + stderr], [0, ''], version)
  }
})

test('CONTRIBUTING has every command of npm in its table', () => {
  const table = readFileSync('CONTRIBUTING.md', 'utf8')
  for (const name of Object.keys(scripts).filter((script) => !script.startsWith('pre'))) {
    const command = name === 'start' || name === 'test' ? `npm ${name}` : `npm run ${name}`
    assert.ok(
      table.split('\n').some((row) => row.startsWith('| `npm') && row.includes(`\`${command}\``)),
      command,
    )
  }
})
