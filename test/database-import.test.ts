/** `database import` moves the records of a data directory into a database, all of them or none. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runDatabase } from '../src/database/cli.ts'
import { commandOf } from './bundle.ts'
import { chainOf, recordsPath } from './disk.ts'
import { type Server, until, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { insert, noHead, rowsAfter } from './postgres/rows.ts'
import { database } from './postgres/said.ts'
import { openStoreOn } from './postgres/worlds.ts'
import { scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { acceptedVectors, put, stored, storeIn } from './records.ts'
import { saidTo } from './said.ts'

const options = { skip: withoutServer }
let server: Server

before(async () => {
  if (!withoutServer) server = await preparedServer()
})
after(async () => server?.stop())

const owner = () => server.url('postgres')
const run = (root: string) => database('import', root, '--owner', owner())

const empty = async (): Promise<void> => {
  await server.sql('TRUNCATE civic.association, civic.record, civic.latest')
  await server.sql('UPDATE civic.state SET importing = false')
}
const state = async () =>
  (
    await server.sql(
      `SELECT importing, (SELECT count(*)::int FROM civic.record) AS records,
         (SELECT count(*)::int FROM civic.latest) AS files FROM civic.state`,
    )
  )[0]

/** Makes a data directory with Scenarios of one association and the Vital Signs of one participant. */
async function treeOf(narratives: readonly string[], root = scratchDir()): Promise<string> {
  const store = storeIn(root)
  for (const narrative of narratives) await stored(store, scn01({ narrative }))
  await stored(store, vs01())
  await store.close()
  return root
}

test(
  'all vectors: the database holds the same bytes, and a receiver continues from them',
  options,
  async () => {
    await empty()
    const root = scratchDir()
    const files = storeIn(root)
    const deadline = performance.now() + 60_000
    for (const record of acceptedVectors()) assert.ok((await files.put(record, deadline)).ok)
    const first = await stored(files, scn01({ narrative: 'first' }))
    await files.close()

    const { exit, out, err } = await run(root)
    assert.equal(exit, 0, `${out}${err}`)
    assert.match(out, /Receivers may store\./)

    const rows = await server.sql('SELECT DISTINCT addon, slug FROM civic.record')
    assert.ok(rows.length > 0)
    for (const { addon, slug } of rows) {
      const there = await server.sql(
        'SELECT line FROM civic.record WHERE addon = $1 AND slug = $2 ORDER BY sequence',
        [addon, slug],
      )
      assert.deepEqual(
        there.map(({ line }) => String(line)),
        chainOf(recordsPath(root, String(slug), String(addon))),
      )
    }
    const bodies = await server.sql('SELECT addon, slug, participant_id, body FROM civic.latest')
    assert.ok(bodies.length > 10)
    for (const { addon, slug, participant_id, body } of bodies) {
      const path = join(root, String(addon), String(slug), `${participant_id}.json`)
      assert.equal(String(body), readFileSync(path, 'utf8'))
    }

    const store = openStoreOn([server.url()])
    const again = await stored(store, scn01({ narrative: 'first' }))
    assert.deepEqual(again, { ...first, outcome: 'duplicate' })
    const next = await stored(store, scn01({ narrative: 'next' }))
    assert.equal(next.previous_sha256, first.record_sha256)
    await store.close()
  },
)

test('a database that holds anything is refused and left as it is', options, async () => {
  await empty()
  const store = openStoreOn([server.url()])
  await stored(store, vs01())
  await store.close()
  const { exit, err } = await run(await treeOf(['one']))
  assert.equal(exit, 1)
  assert.match(err, /the database holds records/)
  assert.deepEqual(await state(), { importing: false, records: 0, files: 1 })
})

test(
  'of a directory in which one association is torn, altered or refused, nothing is imported',
  options,
  async () => {
    await empty()
    const harm: ((path: string) => void)[] = [
      (path) => truncateSync(path, readFileSync(path).length - 9),
      (path) =>
        writeFileSync(path, readFileSync(path, 'utf8').replace('"narrative":"two"', '"narrative":"2"')),
      (path) => writeFileSync(join(path, '..', '.refused.json'), '{}\n', { mode: 0o640 }),
    ]
    for (const damage of harm) {
      const root = await treeOf(['one', 'two', 'three'])
      damage(recordsPath(root))
      const { exit, err } = await run(root)
      assert.equal(exit, 1)
      assert.match(err, /nothing was imported/)
      assert.deepEqual(await state(), { importing: false, records: 0, files: 0 })
    }
  },
)

test('a directory that changes while it is read leaves a database that takes nothing', options, async () => {
  await empty()
  const root = await treeOf(['one'])
  let err = ''
  const watched = {
    watched: true,
    err: (text: string) => {
      err += text
      // At this line `verify` is still at work, and nothing has been read for the database yet.
      if (text.includes('1 record,')) utimesSync(recordsPath(root), 0, 0)
    },
  }
  const { exit } = await saidTo(watched, runDatabase, 'import', root, '--owner', owner())
  assert.equal(exit, 1, err)
  assert.match(err, /the directory changed while it was read/)
  assert.equal((await state())?.importing, true)
})

test(
  'when an import is killed, receivers are refused until the next import, which begins anew',
  options,
  async () => {
    await empty()
    const root = await treeOf(['one', 'two'])
    // The import waits where the bodies begin, until this test releases its lock.
    await server.sql(
      'CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$',
    )
    await server.sql(
      'CREATE TRIGGER hold BEFORE INSERT ON civic.latest FOR EACH ROW EXECUTE FUNCTION public.hold()',
    )
    await server.asOwner(async (client) => {
      await client.query('SELECT pg_advisory_lock(7)')
      const [program, ...args] = await commandOf('scripts/database.ts')
      const child = spawn(program, [...args, 'import', root, '--owner', owner()], { stdio: 'ignore' })
      const waiting = async () =>
        (await server.sql(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`)).length > 0
      await until(waiting)
      const second = await run(root)
      assert.equal(second.exit, 1)
      assert.match(second.err, /another import is under way/)
      child.kill('SIGKILL')
      await once(child, 'exit')
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`,
      )
    })
    await server.sql('DROP TRIGGER hold ON civic.latest')
    await server.sql('DROP FUNCTION public.hold')
    assert.deepEqual(await state(), { importing: true, records: 2, files: 0 })

    const store = openStoreOn([server.url()])
    assert.deepEqual(await put(store, scn01()), { ok: false, fault: 'paused' })
    assert.deepEqual(await put(store, vs01()), { ok: false, fault: 'paused' })
    // The import that comes next removes this record, and may have another directory.
    assert.deepEqual(await put(store, scn01({ narrative: 'one' })), { ok: false, fault: 'paused' })
    await store.close()
    const receiver = await startReceiver({ DATABASE_URL: server.url() })
    const ready = await fetch(`${receiver.url}/ready`)
    assert.equal(ready.status, 503)
    assert.match(await ready.text(), /an import is under way or was broken off/)

    const again = await run(root)
    assert.equal(again.exit, 0, again.err)
    assert.match(again.out, /What an earlier import had left was removed first/)
    assert.deepEqual(await state(), { importing: false, records: 2, files: 1 })
    assert.equal((await receiver.post(scn01({ narrative: 'three' }))).status, 201)
    assert.equal(await receiver.stop(), 0)
  },
)

test('while an import holds rows, a receiver is refused and does not wait for them', options, async () => {
  await empty()
  await server.sql('UPDATE civic.state SET importing = true')
  const store = openStoreOn([server.url()])
  await server.asOwner(async (client) => {
    await client.query('BEGIN')
    await insert(client, rowsAfter(noHead, ['one']))
    await client.query(
      `INSERT INTO civic.latest VALUES ('vs01', 'heron-ridge', 'SASE1-22c-at-5sb-8hm-54v', '{}')`,
    )
    assert.deepEqual(await put(store, scn01()), { ok: false, fault: 'paused' })
    assert.deepEqual(await put(store, vs01()), { ok: false, fault: 'paused' })
    await client.query('ROLLBACK')
  })
  await store.close()
})

test('a database that cannot be used is refused with the reason, and stays as it was', options, async () => {
  await empty()
  const root = await treeOf(['one'])
  await server.sql('UPDATE civic.state SET version = version + 1')
  const { exit, err } = await run(root)
  await server.sql('UPDATE civic.state SET version = version - 1')
  assert.equal(exit, 1)
  assert.match(err, /the database cannot be used: its tables are of another version of this program/)
  assert.deepEqual(await state(), { importing: false, records: 0, files: 0 })
})
