/** Runs the commands of README.md, and checks its links and its list of variables. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { scratchDir } from './receiver.ts'

const readme = readFileSync('README.md', 'utf8')
const answers = [...readme.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text]) => JSON.parse(text as string))
const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text as string)

function run(script: string, cwd: string): string {
  const done = spawnSync('bash', ['-euo', 'pipefail', '-c', script], { cwd, encoding: 'utf8' })
  assert.equal(done.status, 0, `${script}\n${done.stdout}\n${done.stderr}`)
  return done.stdout
}

const shapeOf = (answer: object): string[] => Object.keys(answer)

test('the commands of the README do what it says, from the first start to the auditor', async () => {
  const [start, post, chain, reading] = blocks as [string, string, string, string]
  assert.equal(blocks.length, 5)
  assert.equal(start.trim(), 'npm ci && npm start')
  const home = scratchDir()
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    PORT: '0',
    DATA_DIR: join(home, 'data'),
    MIN_FREE_BYTES: '0',
  }
  const npm = spawn('npm', ['start'], { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let output = ''
  try {
    const port = await new Promise<string>((resolve, reject) => {
      npm.once('exit', () => reject(new Error(output)))
      const gather = (chunk: Buffer): void => {
        output += chunk
        const found = /"port":(\d+),"msg":"listening"/.exec(output)
        if (found && output.includes('Then look at')) resolve(found[1] as string)
      }
      npm.stdout.on('data', gather)
      npm.stderr.on('data', gather)
    })

    run((/^ {2}(curl .*)$/m.exec(output) as RegExpExecArray)[1] as string, home)
    assert.ok(existsSync(join(home, 'data/vs01/first-association')), 'the printed command stores a record')

    const here = post.replace('127.0.0.1:8787', `127.0.0.1:${port}`)
    const first = JSON.parse(run(here, home))
    assert.deepEqual(shapeOf(first), shapeOf(answers[0]))
    for (const member of [
      'status',
      'outcome',
      'addon',
      'association_slug',
      'participant_id',
      'id',
      'sequence',
    ])
      assert.deepEqual(first[member], answers[0][member])
    const wrong = here
      .replace('heron-ridge-condominium', 'Heron Ridge')
      .replace(': "participant"', ': "owner"')
    assert.deepEqual({ ...JSON.parse(run(wrong, home)), instance: answers[1].instance }, answers[1])
    assert.equal(JSON.parse(run(here, home)).outcome, 'duplicate')
    for (const text of ['The second.', 'The third.'])
      run(here.replace('The roof has leaked since May.', text), home)

    const pairs = run(chain, home)
      .trim()
      .split('\n')
      .map((line) => line.split('\t'))
    assert.equal(pairs.length, 3)
    assert.equal(pairs[0]?.[0], first.record_sha256)
    for (const [hash, previous] of pairs.slice(0, 2)) assert.equal(hash, previous)

    const lines = run(reading, home).trim().split('\n')
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).n ?? JSON.parse(line)),
      [1, 2, 3, 3],
    )
  } finally {
    process.kill(-(npm.pid as number), 'SIGTERM')
    await once(npm, 'exit')
  }
})

test('the two lines for a first look show what an auditor sees', () => {
  const sample = join(scratchDir(), 'sample')
  const said = run((blocks[4] as string).replaceAll('/tmp/sample', sample), '.')
  assert.match(said, /^scn01 +3 associations, 210 records/m)
  assert.match(said, /^result +WHOLE: .* 0 findings, 0\s+notes$/ms)
})

test('what the README links to is there', () => {
  for (const [, target] of readme.matchAll(/\]\(([^)#]+)\)/g))
    assert.ok(existsSync(target as string), `${target} is missing`)
})

test('every variable of the configuration is in the README', () => {
  const used = new Set(
    readdirSync('src/server')
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => {
        const text = readFileSync(join('src/server', name), 'utf8')
        return [...text.matchAll(/'([A-Z]{2,}(?:_[A-Z]+)*)'/g), ...text.matchAll(/env\.([A-Z_]+)/g)].map(
          ([, found]) => found as string,
        )
      }),
  )
  const known = [...used].filter((name) =>
    /^(NODE_TOKEN|DATA|SOCKET|HOST|PORT|MAX|MIN|LOG|METRICS|REQUIRE)/.test(name),
  )
  assert.ok(known.length >= 8)
  for (const name of known) assert.ok(readme.includes(name), `${name} is not in the README`)
})
