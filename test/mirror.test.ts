/** `database mirror` writes the tree of files that auditors read, from a database. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { chainOf, headPath, recordsPath } from './disk.ts'
import { type Server, withoutServer } from './postgres/cluster.ts'
import { readableServer } from './postgres/prepared.ts'
import { database } from './postgres/said.ts'
import { fillServer, openStoreOn } from './postgres/worlds.ts'
import { scn01, scratchDir, vs01 } from './receiver.ts'
import { acceptedVectors, stored, storeIn } from './records.ts'
import { audit } from './said.ts'

const options = { skip: withoutServer }
let server: Server

before(async () => {
  if (withoutServer) return
  server = await readableServer()
  process.env.DATABASE_URL = server.url('civic_reader')
})
beforeEach(async () => {
  if (!withoutServer) await server.sql('TRUNCATE civic.association, civic.record, civic.latest')
})
after(async () => server?.stop())

const mirror = (root: string, ...more: readonly string[]) => database('mirror', root, ...more)

/** Each path below a directory with its mode and its content. Of a head file the member with the time is left out. */
function treeOf(root: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(root.length + 1)
    if (name === '.civic-orchestrator') continue
    const mode = (statSync(path).mode & 0o7777).toString(8)
    found.set(name, `${mode} ${entry.isFile() ? contentOf(path) : ''}`)
  }
  return found
}

function contentOf(path: string): string {
  const text = readFileSync(path, 'latin1')
  if (!path.endsWith('.records.head.json')) return text
  const { count, size, sha256 } = JSON.parse(text)
  return JSON.stringify({ count, size, sha256 })
}

const fill = (narratives: readonly string[], slug?: string) => fillServer(server, narratives, slug)

test(
  'import and mirror give the same tree: names, bytes, modes, heads; and the tools find nothing',
  options,
  async () => {
    const [root, copy] = [scratchDir(), scratchDir()]
    const files = storeIn(root)
    const deadline = performance.now() + 60_000
    for (const record of acceptedVectors()) assert.ok((await files.put(record, deadline)).ok)
    for (let n = 0; n < 1_100; n += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, at) => stored(files, scn01({ narrative: `${n + at}` }))),
      )
    await files.close()
    const imported = await database('import', root, '--owner', server.url('postgres'))
    assert.equal(imported.exit, 0, imported.err)
    const done = await mirror(copy)
    assert.equal(done.exit, 0, done.err)
    assert.deepEqual(treeOf(copy), treeOf(root))
    assert.equal((await audit('verify', '--data', copy)).exit, 0)
    const again = await mirror(copy)
    assert.equal(again.out, '0 records and 0 files were written.\n')
    const checked = await mirror(copy, '--check')
    assert.match(checked.out, /were compared; 0 findings; 0 not yet in the tree\.\n$/)
    assert.equal(checked.exit, 0)
  },
)

test('only what is new is written: the old bytes and the old file stay', options, async () => {
  const root = scratchDir()
  await fill(['one', 'two'])
  await mirror(root)
  const path = recordsPath(root)
  const [before, { ino }] = [readFileSync(path), statSync(path)]
  await fill(['three', 'four'])
  const store = openStoreOn([server.url()])
  await stored(store, vs01({ fields: { n: '1' } }))
  await stored(store, vs01({ fields: { n: '2' } }))
  await store.close()
  const checked = await mirror(root, '--check')
  assert.match(checked.out, /0 findings; 3 not yet in the tree/)
  const { out } = await mirror(root)
  assert.equal(out, '2 records and 1 file were written.\n')
  const now = readFileSync(path)
  assert.equal(statSync(path).ino, ino)
  assert.deepEqual(now.subarray(0, before.length - 3), before.subarray(0, -3))
  assert.equal(chainOf(path).length, 4)
  assert.equal(JSON.parse(readFileSync(headPath(path), 'utf8')).count, 4)
})

test('more bodies than fit into one page', options, async () => {
  const root = scratchDir()
  for (const slug of ['a', 'b', 'c'])
    await server.sql(
      `INSERT INTO civic.latest SELECT 'vs01', $1, 'p' || n, convert_to(n || '', 'UTF8') FROM generate_series(1, 670) AS n`,
      [slug],
    )
  assert.equal((await mirror(root)).out, '0 records and 2,010 files were written.\n')
  assert.match((await mirror(root, '--check')).out, /2,010 files were compared; 0 findings; 0 not yet/)
})

test(
  'an association that differs on the server, or is gone there, is left alone and named, and the others are updated',
  options,
  async () => {
    const root = scratchDir()
    await fill(['one', 'two'], 'ahead')
    await fill(['one', 'two'], 'other')
    await fill(['one'], 'gone')
    await mirror(root)
    const before = treeOf(root)
    // One server was promoted without the last record, and one stored another record in its place.
    const cut = async (slug: string) => {
      await server.sql(`DELETE FROM civic.record WHERE slug = $1 AND sequence = 2`, [slug])
      await server.sql(
        `UPDATE civic.association SET count = 1, sha256 = (SELECT encode(sha256(line), 'hex') FROM civic.record WHERE slug = $1)
       WHERE slug = $1`,
        [slug],
      )
    }
    await cut('ahead')
    await cut('other')
    await server.sql(`DELETE FROM civic.association WHERE slug = 'gone'`)
    await server.sql(`DELETE FROM civic.record WHERE slug = 'gone'`)
    await fill(['another two', 'three'], 'other')
    await fill(['one'], 'beside')
    const { exit, err, out } = await mirror(root)
    assert.equal(exit, 1)
    assert.match(err, /scn01\/ahead: the tree has 2 records, and the database does not have the last one/)
    assert.match(err, /scn01\/other: record 2, the last one of the tree, is another one in the database/)
    assert.match(err, /scn01\/gone: the database has no record of this association/)
    assert.equal(out, '1 record and 0 files were written.\n')
    for (const [path, content] of before) assert.equal(treeOf(root).get(path), content, path)
  },
)

const alter = (slug: string, sequence: number) =>
  server.sql(
    `UPDATE civic.record SET line = convert_to(replace(convert_from(line, 'UTF8'), '"narrative":"', '"narrative":"!'), 'UTF8')
     WHERE slug = $1 AND sequence = $2`,
    [slug, sequence],
  )

test(
  'a line altered by a superuser is found by --check, and one that was not mirrored yet never gets into the tree',
  options,
  async () => {
    const root = scratchDir()
    await fill(['one', 'two', 'three'], 'brought')
    await fill(['one', 'two', 'three', 'four'], 'early')
    await fill(['one', 'two'], 'last')
    await alter('early', 2)
    await alter('last', 2)
    const first = await mirror(root)
    assert.equal(first.exit, 1)
    assert.match(
      first.err,
      /scn01\/early: record 2 or the one behind it is not in the database as it was stored/,
    )
    assert.equal(chainOf(recordsPath(root, 'early')).length, 1)
    assert.equal(chainOf(recordsPath(root, 'last')).length, 1)
    await alter('brought', 2)
    const { exit, out } = await mirror(root, '--check')
    assert.equal(exit, 1)
    assert.match(out, /FINDING scn01\/brought, record 2: the database has another one than the tree/)
    assert.match(out, /FINDING scn01\/last, record 2: the database's own head names another one/)
    assert.equal((await audit('verify', '--data', root)).exit, 0)
  },
)

test(
  'a body altered by a superuser, and a file that the database does not have, are found by --check',
  options,
  async () => {
    const root = scratchDir()
    const store = openStoreOn([server.url()])
    await stored(store, vs01())
    await store.close()
    await mirror(root)
    const place = join(root, 'vs01', 'heron-ridge')
    writeFileSync(join(place, '22c@5sb-8hm-54v.json'), '{}\n')
    await server.sql(
      `UPDATE civic.latest SET body = replace(convert_from(body, 'UTF8'), 'condominium', 'cooperative')::bytea`,
    )
    const { exit, out } = await mirror(root, '--check')
    assert.equal(exit, 1)
    assert.match(
      out,
      /FINDING vs01\/heron-ridge\/SASE1-22c-at-5sb-8hm-54v\.json: the database has another form/,
    )
    assert.match(out, /FINDING vs01\/heron-ridge\/22c@5sb-8hm-54v\.json: the database does not have it/)
  },
)

test('a directory with something else in it, and a missing DATABASE_URL, are refused', options, async () => {
  const root = scratchDir()
  writeFileSync(join(root, 'letters.txt'), 'x')
  assert.equal((await mirror(root)).exit, 1)
  const url = process.env.DATABASE_URL
  delete process.env.DATABASE_URL
  assert.equal((await mirror(scratchDir())).exit, 2)
  process.env.DATABASE_URL = url
})
