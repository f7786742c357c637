/** The mirror as a process: it is killed, and it follows a database that comes and goes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { commandOf } from './bundle.ts'
import { chainOf, recordsPath } from './disk.ts'
import { attachStandby, type Server, until, withoutServer } from './postgres/cluster.ts'
import { readableServer } from './postgres/prepared.ts'
import { database } from './postgres/said.ts'
import { fillServer, openStoreOn } from './postgres/worlds.ts'
import { scratchDir, vs01 } from './receiver.ts'
import { stored } from './records.ts'

const options = { skip: withoutServer }
let server: Server

before(async () => {
  if (withoutServer) return
  server = await readableServer()
  process.env.DATABASE_URL = server.url('civic_reader')
})
after(async () => server?.stop())

const [program, ...args] = await commandOf('scripts/database.ts')
const mirror = (root: string, ...more: readonly string[]) => database('mirror', root, ...more)
const fill = (narratives: readonly string[], slug?: string) => fillServer(server, narratives, slug)

test('killed at any moment it goes on where the tree ends', options, async () => {
  const root = scratchDir()
  const narratives = Array.from({ length: 60 }, (_, n) => `${n} ${'x'.repeat(n * 400)}`)
  for (let slug = 0; slug < 3; slug++) {
    await fill(narratives.slice(slug), `a${slug}`)
    const child = spawn(program, [...args, 'mirror', root], { stdio: 'ignore' })
    const path = recordsPath(root, `a${slug}`)
    await until(() => existsSync(path) || child.exitCode !== null)
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  const { exit, err } = await mirror(root)
  assert.equal(exit, 0, err)
  for (let slug = 0; slug < 3; slug++)
    assert.equal(chainOf(recordsPath(root, `a${slug}`)).length, narratives.length - slug)
  assert.match((await mirror(root, '--check')).out, /0 findings; 0 not yet in the tree/)
})

test('follows a standby, as a role that may only read, until SIGTERM', options, async () => {
  const standby = await attachStandby(server)
  const root = scratchDir()
  const child = spawn(program, [...args, 'mirror', root, '--follow'], {
    stdio: 'inherit',
    env: { ...process.env, DATABASE_URL: standby.url('civic_reader') },
  })
  const has = (count: number) => () =>
    existsSync(recordsPath(root)) && chainOfWhole(recordsPath(root)) === count
  try {
    await fill(['one', 'two'])
    await until(has(2))
    await fill(['three'])
    const store = openStoreOn([server.url()])
    await stored(store, vs01())
    await store.close()
    await until(has(3))
    await until(() => existsSync(join(root, 'vs01/heron-ridge/SASE1-22c-at-5sb-8hm-54v.json')))
    // The standby goes away and comes back.
    await standby.kill()
    await fill([])
    await standby.start()
    await fill(['four'])
    await until(has(4))
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
  } finally {
    child.kill('SIGKILL')
    await server.sql(`ALTER SYSTEM SET synchronous_standby_names = ''`)
    await server.sql('SELECT pg_reload_conf()')
    await standby.kill()
  }
})

test('a complaint that lasts is said once, and the exit status tells of it', options, async () => {
  const root = scratchDir()
  await fill(['one', 'two'], 'lasting')
  assert.equal((await mirror(root)).exit, 0)
  const path = recordsPath(root, 'lasting')
  writeFileSync(path, readFileSync(path, 'latin1').replace('"one"', '"One"'), 'latin1')
  await fill(['three'], 'lasting')
  const child = spawn(program, [...args, 'mirror', root, '--follow'], { stdio: ['ignore', 'ignore', 'pipe'] })
  try {
    let said = ''
    child.stderr.on('data', (text) => {
      said += text
    })
    for (const slug of ['next', 'later']) {
      await fill(['one'], slug)
      await until(() => existsSync(recordsPath(root, slug)))
    }
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    assert.deepEqual(await ended, [1, null])
    assert.equal(said.match(/scn01\/lasting: /g)?.length, 1, said)
  } finally {
    child.kill('SIGKILL')
  }
})

/** The number of records, or undefined while an append is under way, because the file then does not end in its closing. */
function chainOfWhole(path: string): number | undefined {
  return readFileSync(path, 'latin1').endsWith('\n]\n') ? chainOf(path).length : undefined
}
