/** The Ğ1 side, online: a loopback endpoint that replays recorded real blocks and a labelled synthetic chain. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { run } from '../src/audit/cli.ts'
import { openChain } from '../src/audit/g1/chain.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { blake2b256 } from '../src/audit/g1/hash.ts'
import { bytesFromHex } from '../src/audit/g1/hex.ts'
import { connect, EndpointError, endpointUrl } from '../src/audit/g1/rpc.ts'
import { findExtrinsic } from '../src/audit/g1/search.ts'
import {
  answer,
  chainAround,
  type Respond,
  type SyntheticChain,
  serve,
  serveChain,
  timeOf,
  vectors,
} from './fixtures/g1/chain.ts'

const folder = mkdtempSync(join(tmpdir(), 'audit-g1-'))
after(() => rmSync(folder, { recursive: true }))

const quick = { timeoutMs: 1_000, maxBytes: 200_000, pauseMs: 0 }
/** For endpoints that are not meant to fail: a busy machine is no finding. */
const patient = { ...quick, timeoutMs: 30_000, maxBytes: 20_000_000 }
const minute = 60_000
const withComment = vectors.extrinsics.find(({ note }) => note?.startsWith('batchAll'))!

const record: JsonObject = { addon: 'scn01', participant_id: '22c@5sb-8hm-54v', narrative: 'x' }

function bound(): { hex: string; hash: string } {
  const from = Buffer.from('a3'.repeat(32), 'latin1').toString('hex')
  const to = Buffer.from(contentDigest(record).slice(2), 'latin1').toString('hex')
  const hex = withComment.extrinsic_hex.replace(from, to)
  return { hex, hash: blake2b256(bytesFromHex(hex)!) }
}

const synthetic: SyntheticChain = {
  name: 'synthetic chain for tests',
  start: Date.UTC(2026, 2, 8),
  head: 5_000,
  extrinsics: new Map([[2_500, [withComment.extrinsic_hex, bound().hex]]]),
}

async function audit(url: string, about: JsonObject, more: readonly string[] = []) {
  const file = join(folder, 'record.json')
  writeFileSync(file, JSON.stringify(about))
  const lines: string[] = []
  const io = {
    out: async (text: string | Uint8Array) => void lines.push(String(text)),
    err: () => {},
    columns: 100,
    watched: false,
  }
  const exit = await run(['g1', '--record', file, '--rpc', url, '--json', '--pause', '0', ...more], io)
  const found = lines.map((line) => JSON.parse(line) as { type: string; online?: Record<string, unknown> })
  return { exit, online: found.find(({ type }) => type === 'record')?.online, lines }
}

const at = (number: number): string => new Date(timeOf(synthetic, number)).toISOString()

test('bound: the extrinsic stands in a finalized block and names this record', async () => {
  await using server = await serveChain(synthetic)
  const { exit, online } = await audit(server.url, {
    ...record,
    submitted_at: at(2_520),
    g1_tx_hash: bound().hash,
  })
  assert.equal(online?.verdict, 'bound')
  assert.deepEqual(online?.block, {
    number: 2_500,
    hash: `0x${(2_500).toString(16).padStart(64, '0')}`,
    time: at(2_500),
    index: 2,
  })
  assert.equal(exit, 0)
})

test('paid, not bound: the extrinsic stands there and names another record', async () => {
  await using server = await serveChain(synthetic)
  const { exit, online } = await audit(server.url, {
    ...record,
    submitted_at: at(2_520),
    g1_tx_hash: withComment.extrinsic_hash,
  })
  assert.equal(online?.verdict, 'paid, not bound')
  assert.equal(exit, 1)
})

test('not found in window: never called a forgery, and the window can be widened', async () => {
  await using server = await serveChain(synthetic)
  const late = { ...record, submitted_at: at(2_900), g1_tx_hash: bound().hash }
  const { exit, online } = await audit(server.url, late)
  assert.equal(online?.verdict, 'not found in window')
  assert.match(String(online?.meaning), /not evidence of forgery/)
  assert.equal(exit, 1)
  assert.equal((await audit(server.url, late, ['--before', '60'])).online?.verdict, 'bound')
})

test('the window reaches from 30 minutes before submitted_at to 5 minutes after, both ends included', async () => {
  await using server = await serveChain(synthetic)
  const time = timeOf(synthetic, 2_500)
  const verdicts: unknown[] = []
  for (const submitted of [
    time + 30 * minute,
    time + 30 * minute + 1_000,
    time - 5 * minute,
    time - 5 * minute - 1_000,
  ]) {
    const about = { ...record, submitted_at: new Date(submitted).toISOString(), g1_tx_hash: bound().hash }
    verdicts.push((await audit(server.url, about)).online?.verdict)
  }
  assert.deepEqual(verdicts, ['bound', 'not found in window', 'bound', 'not found in window'])
})

test('endpoint lacks the blocks: pruned before the window, or not yet at its end', async () => {
  const about = { ...record, submitted_at: at(2_900), g1_tx_hash: `0x${'0'.repeat(64)}` }
  await using pruned = await serveChain({ ...synthetic, oldest: 2_700 })
  const { exit, online } = await audit(pruned.url, about)
  assert.equal(online?.verdict, 'endpoint lacks the blocks')
  assert.equal(exit, 2)
  await using behind = await serveChain({ ...synthetic, head: 2_905 })
  assert.equal((await audit(behind.url, about)).online?.verdict, 'endpoint lacks the blocks')
  await using empty = await serveChain({ ...synthetic, oldest: 5_001 })
  assert.equal((await audit(empty.url, about)).online?.verdict, 'endpoint lacks the blocks')
})

test('a chain that began inside the window does not lack what was never there', async () => {
  await using server = await serveChain(synthetic)
  const about = { ...record, submitted_at: at(20), g1_tx_hash: `0x${'0'.repeat(64)}` }
  assert.equal((await audit(server.url, about)).online?.verdict, 'not found in window')
})

for (const number of [789_629, 18_468_942]) {
  test(`finds every signed extrinsic of the recorded real block ${number}`, async () => {
    const chain = chainAround(number)
    await using server = await serveChain(chain)
    const open = await openChain(connect(new URL(server.url), patient))
    const time = timeOf(chain, number)
    const recorded = vectors.extrinsics.filter(({ block }) => block === number)
    for (const [index, { extrinsic_hash }] of recorded.entries()) {
      const found = await findExtrinsic(open, extrinsic_hash, { from: time - minute, until: time + minute })
      assert.equal(found.verdict, 'found')
      assert.deepEqual(
        [found.verdict === 'found' && found.found.block.time, found.verdict === 'found' && found.found.index],
        [time, index],
      )
    }
  })
}

test('asks politely: batches of 8 at most, one request at a time, a logarithm of the chain to begin with', async () => {
  let open = 0
  await using server = await serve((body, response) => {
    assert.equal(++open, 1)
    setTimeout(() => {
      open--
      response.end(JSON.stringify(answer(synthetic, body)))
    }, 1)
  })
  const chain = await openChain(connect(new URL(server.url), patient))
  await findExtrinsic(chain, `0x${'0'.repeat(64)}`, {
    from: timeOf(synthetic, 2_000),
    until: timeOf(synthetic, 2_015),
  })
  const sizes = server.bodies.map((body) => [JSON.parse(body)].flat().length)
  assert.equal(Math.max(...sizes), 8)
  assert.ok(server.bodies.length <= 4 + 2 * 13 + 2 * 3, `${server.bodies.length} requests`)
})

test('an endpoint that refuses batches is asked one call at a time', async () => {
  await using server = await serve((body, response) => {
    const refused = {
      jsonrpc: '2.0',
      id: null,
      error: { code: -32005, message: 'batches are not supported' },
    }
    response.end(JSON.stringify(body.startsWith('[') ? refused : answer(synthetic, body)))
  })
  const about = { ...record, submitted_at: at(2_510), g1_tx_hash: bound().hash }
  assert.equal((await audit(server.url, about, ['--before', '2'])).online?.verdict, 'bound')
  assert.equal(server.bodies.filter((body) => body.startsWith('[')).length, 1)
})

/** Faults begin after the four requests that open the chain, so that the verdict is what reports them. */
const faults: Record<string, Respond> = {
  'HTTP 500': (_body, response) => void response.writeHead(500).end('{}'),
  garbage: (_body, response) => void response.end('<html>'),
  'another JSON': (_body, response) => void response.end('{"jsonrpc":"2.0","id":99,"result":"0x"}'),
  'a JSON-RPC error': (body, response) => {
    const { id } = [JSON.parse(body)].flat()[0] as { id: number }
    response.end(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -1, message: '\u001b[2Jgone' } }))
  },
  silence: () => {},
  'a body that drips': (_body, response) => void setInterval(() => response.write(' '), 20).unref(),
  'a huge body': (_body, response) => {
    const chunk = 'x'.repeat(65_536)
    const pump = (): void => {
      while (!response.destroyed && response.write(chunk));
      if (!response.destroyed) response.once('drain', pump)
    }
    pump()
  },
  'a redirect': (_body, response) => void response.writeHead(307, { location: 'http://127.0.0.1:9/' }).end(),
  'a closed connection': (_body, response) => void response.destroy(),
}

for (const [name, fault] of Object.entries(faults)) {
  test(`endpoint error: ${name}`, async () => {
    await using server = await serve((body, response, count) => {
      if (count > 4) fault(body, response, count)
      else response.end(JSON.stringify(answer(synthetic, body)))
    })
    const chain = await openChain(connect(new URL(server.url), quick))
    const began = performance.now()
    await assert.rejects(
      findExtrinsic(chain, bound().hash, { from: synthetic.start, until: timeOf(synthetic, 9) }),
      EndpointError,
    )
    assert.ok(performance.now() - began < 20_000)
  })
}

test('endpoint errors are a verdict with exit status 2, in words without escape sequences', async () => {
  await using server = await serve((body, response, count) => {
    const { id } = [JSON.parse(body)].flat()[0] as { id: number }
    const error = { jsonrpc: '2.0', id, error: { message: '\u001b[2Jgone' } }
    response.end(JSON.stringify(count > 4 ? error : answer(synthetic, body)))
  })
  const file = join(folder, 'record.json')
  writeFileSync(file, JSON.stringify({ ...record, submitted_at: at(2_520), g1_tx_hash: bound().hash }))
  let text = ''
  const io = {
    out: async (more: string | Uint8Array) => {
      text += more
    },
    err: () => {},
    columns: 100,
    watched: false,
  }
  assert.equal(await run(['g1', '--record', file, '--rpc', server.url], io), 2)
  assert.match(text, /endpoint error/)
  assert.match(text, /trusted/)
  assert.equal(text.includes('\u001b'), false)
})

test('a block without a time, and another block than asked, are endpoint errors', async () => {
  const odd: Record<string, object> = {
    'no timestamp': { header: { number: '0x1' }, extrinsics: [] },
    'another number': { header: { number: '0x7' }, extrinsics: [vectors.g1_timestamp_inherent.bare_v4] },
  }
  for (const block of Object.values(odd)) {
    await using server = await serve((body, response) => {
      const { id, method } = JSON.parse(body) as { id: number; method: string }
      const sent =
        method === 'chain_getBlock'
          ? { jsonrpc: '2.0', id, result: { block } }
          : answer({ ...synthetic, head: 1 }, body)
      response.end(JSON.stringify(sent))
    })
    const chain = await openChain(connect(new URL(server.url), patient))
    await assert.rejects(findExtrinsic(chain, bound().hash, { from: 0, until: Date.now() }), EndpointError)
  }
})

test('only http and https addresses without a password are asked', () => {
  assert.notEqual(endpointUrl('https://node.example/rpc'), undefined)
  for (const text of [
    'ws://node.example',
    'file:///etc/passwd',
    'http://user:secret@node.example/',
    'node.example',
  ]) {
    assert.equal(endpointUrl(text), undefined)
  }
})

test('reads the time of a block from the constructed Ğ1 inherent, version 4 and 5', async () => {
  const { bare_v4, bare_v5, ms } = vectors.g1_timestamp_inherent
  for (const inherent of [bare_v4, bare_v5]) {
    const chain: SyntheticChain = {
      ...synthetic,
      head: 1,
      start: ms,
      extrinsics: new Map([[1, [inherent]]]),
    }
    await using server = await serveChain(chain)
    const [block] = await (await openChain(connect(new URL(server.url), patient))).blocks([1])
    assert.equal(block?.time, ms)
  }
})
