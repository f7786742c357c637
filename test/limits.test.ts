/** Limits, tested exactly at the limit: connections, keep-alive, the size of a file, inodes, free space, a torn end. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Hono } from 'hono'
import type { Platform } from '../src/http/app.ts'
import { createHttpServer } from '../src/server/http-server.ts'
import { Health } from '../src/storage/files/health.ts'
import { chainOf, recordsPath, tornOf } from './disk.ts'
import { isRoot } from './needs.ts'
import { scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { put, stored, storeIn } from './records.ts'
import { head, request, wire } from './wire.ts'

const mostConnections = 100
const needsRoot = { skip: !isRoot && 'needs root' }

/** Runs `work` on a small file system of its own, so that nobody else changes its free space. */
async function onTmpfs(options: string, work: (root: string) => Promise<void>): Promise<void> {
  const root = scratchDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'civic-test', root])
  try {
    await work(root)
  } finally {
    execFileSync('umount', [root])
  }
}

test('a connection is kept for 75 s when a valid token has come on it, and the sender is told', async () => {
  const receiver = await startReceiver()
  const line = await wire(receiver.url)
  line.send(request(vs01()))
  assert.equal((await line.answer()).headers['keep-alive'], 'timeout=75')
  // This also holds for a later request without the token.
  line.send(head({ 'x-node-token': null }, 'GET /health HTTP/1.1'))
  assert.equal((await line.answer()).headers['keep-alive'], 'timeout=75')
  line.socket.destroy()
  await receiver.stop()
})

test('connections (4): when there is no room a stranger is ended, never a connection on which a valid token has come', async () => {
  const app = new Hono<{ Bindings: Platform }>()
    .get('/', (c) => c.text('here'))
    .get('/known', (c) => {
      if (c.env.visit) c.env.visit.isKnown = true
      return c.text('known')
    })
  const { server } = createHttpServer(app, () => {}, mostConnections)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const sockets: Socket[] = []
  const another = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }
  const answerTo = async (socket: Socket, path = '/'): Promise<string> => {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    const [data] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])])
    return String(data)
  }
  try {
    const known = await another()
    assert.match(await answerTo(known, '/known'), /known$/)
    const first = await another()
    const ended = once(first, 'close')
    for (let n = 2; n < mostConnections; n++) await another()
    assert.match(await answerTo(await another()), /here$/)
    // One after the other, all strangers are ended.
    for (let n = 0; n < mostConnections; n++) await another()
    assert.match(await answerTo(known), /here$/)
    const open = await promisify(server.getConnections.bind(server))()
    // Connections that were told to come again may still be open beside them.
    assert.ok(open <= mostConnections + mostConnections / 16, `${open} are open`)
    // Awaited last, because a stranger is also ended after 5 s without a request.
    await ended
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
})

test('a limit of the size of files is a full disk, and does not end the receiver', async () => {
  const receiver = await startReceiver()
  const limit = 'prlimit'
  execFileSync(limit, ['--pid', String(receiver.process.pid), '--fsize=65536:65536'])
  const large = 'x'.repeat(100_000)
  assert.equal((await receiver.post(vs01({ fields: { large } }))).status, 507)
  assert.equal((await receiver.post(scn01({ narrative: large }))).status, 507)
  assert.equal((await receiver.post(vs01())).status, 201)
  assert.equal((await receiver.post(scn01())).status, 201)
  assert.equal(await receiver.stop(), 0)
})

test('exactly MIN_FREE_BYTES is enough, and one byte less is not', needsRoot, () =>
  onTmpfs('size=1m', async (root) => {
    const { bavail, bsize } = statfsSync(root)
    assert.equal(new Health(root, bavail * bsize).hasRoom(), true)
    assert.equal(new Health(root, bavail * bsize + 1).hasRoom(), false)
    assert.deepEqual(await new Health(root, bavail * bsize + 1).reasons(), [
      { kind: 'disk-full', text: 'the disk is full, or has less free space than MIN_FREE_BYTES' },
    ])
  }),
)

test('without a free inode there is no room, whatever space is left', needsRoot, () =>
  onTmpfs('size=1m,nr_inodes=4', async (root) => {
    assert.equal(new Health(root, 0).hasRoom(), true)
    for (const name of ['a', 'b', 'c']) writeFileSync(join(root, name), '')
    assert.equal(statfsSync(root).ffree, 0)
    assert.equal(new Health(root, 0).hasRoom(), false)
  }),
)

test(
  'when the inodes run out, posts are refused with 507, every acknowledged record is there, and room is used at once',
  needsRoot,
  () =>
    onTmpfs('size=8m,nr_inodes=40', async (root) => {
      const receiver = await startReceiver({ DATA_DIR: root })
      const post = async (n: number): Promise<number> =>
        (await receiver.post(vs01({ participant_id: `SASE${n}-22c-at-5sb-8hm-54v` }))).status
      let stored = 0
      let status = 201
      for (; status === 201; stored++) status = await post(stored)
      assert.equal(status, 507)
      assert.ok(--stored > 10, String(stored))
      assert.equal((await receiver.post(scn01())).status, 507)
      assert.equal((await fetch(`${receiver.url}/ready`)).status, 503)
      // A replaced file needs an inode as well.
      assert.equal(await post(0), 507)
      const directory = join(root, 'vs01/heron-ridge')
      assert.equal(readdirSync(directory).length, stored)
      for (const name of readdirSync(directory)) JSON.parse(readFileSync(join(directory, name), 'utf8'))
      rmSync(join(directory, readdirSync(directory)[0] as string))
      for (const name of readdirSync(directory).slice(0, 8)) rmSync(join(directory, name))
      assert.equal(await post(1_000), 201)
      assert.equal((await receiver.post(scn01())).status, 201)
      assert.equal(await receiver.stop(), 0)
    }),
)

test('a torn end of 8 MiB is cut off and kept, a longer one is left alone', async () => {
  const tear = 8 * 1024 * 1024
  for (const [size, isMended] of [
    [tear, true],
    [tear + 1, false],
  ] as const) {
    const root = scratchDir()
    const store = storeIn(root)
    await stored(store, scn01())
    await store.close()
    const path = recordsPath(root)
    const whole = readFileSync(path).length
    truncateSync(path, whole - 3)
    appendFileSync(path, Buffer.alloc(size, ',\n{"narrative":"half a record '))
    const again = storeIn(root)
    const outcome = await put(again, scn01({ narrative: 'next' }))
    await again.close()
    assert.equal(outcome.ok, isMended, String(size))
    if (isMended) {
      assert.equal(chainOf(path).length, 2)
      assert.equal(tornOf(path)[0]?.length, size)
    } else {
      assert.deepEqual(outcome, { ok: false, fault: 'damaged' })
      assert.equal(readFileSync(path).length, whole - 3 + size)
    }
  }
})
