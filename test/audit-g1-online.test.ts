/** The commands for Ğ1 with an endpoint: a server on loopback replays recorded real blocks and a synthetic chain that is labelled as such. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { blake2b256 } from '../src/audit/g1/blake2b.ts'
import { openChain } from '../src/audit/g1/chain.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { birthOf, checkpoint } from '../src/audit/g1/facts.ts'
import { bytesFromHex } from '../src/audit/g1/hex.ts'
import { connect, EndpointError } from '../src/audit/g1/rpc.ts'
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
import { audit as command } from './said.ts'

const folder = mkdtempSync(join(tmpdir(), 'audit-g1-'))
after(() => rmSync(folder, { recursive: true }))

const quick = { timeoutMs: 1_000, maxBytes: 200_000, pauseMs: 0 }
/** Long limits, for endpoints that must not fail on a busy machine. */
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
  const { exit, out } = await command('g1', '--record', file, '--rpc', url, '--json', '--pause', '0', ...more)
  const lines = out.split('\n').filter((line) => line !== '')
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

test('a chain that began inside the window does not lack blocks that never existed', async () => {
  await using server = await serveChain(synthetic)
  const about = { ...record, submitted_at: at(20), g1_tx_hash: `0x${'0'.repeat(64)}` }
  assert.equal((await audit(server.url, about)).online?.verdict, 'not found in window')
})

/** The constructed extrinsics are signed for a genesis block of this hash, spec version 1000, transaction version 1. */
const ofVectors = {
  hashes: new Map([[0, `0x${'11'.repeat(32)}`]]),
  runtime: { specVersion: 1_000, transactionVersion: 1 },
}
const paid = { ...record, submitted_at: at(2_520), g1_tx_hash: withComment.extrinsic_hash }
type Proved = { signature: { verdict: string }; warning: string | null }

test('the signature is verified with the facts of the chain, and an unknown spec version is reported', async () => {
  await using server = await serveChain({ ...synthetic, ...ofVectors })
  const proof = (await audit(server.url, paid)).online?.proof as Proved
  assert.deepEqual([proof.signature.verdict, proof.warning], ['valid', null])
  await using later = await serveChain({
    ...synthetic,
    ...ofVectors,
    runtime: { specVersion: 1_200, transactionVersion: 1 },
  })
  const other = (await audit(later.url, paid)).online?.proof as Proved
  assert.equal(other.signature.verdict, 'not valid')
  assert.match(other.warning ?? '', /^spec version 1200: .* may mean something else/)
  await using silent = await serveChain(synthetic)
  const untold = (await audit(silent.url, paid)).online?.proof as Proved
  assert.equal(untold.signature.verdict, 'not checked')
})

test('the chain of an endpoint is distinguished from Ğ1 by the block that the makers of Ğ1 published', async () => {
  const long = { ...synthetic, start: synthetic.start, head: checkpoint.number + 10 }
  const about = { ...record, submitted_at: at(2_520), g1_tx_hash: bound().hash }
  const seen = async (chain: SyntheticChain): Promise<[unknown, number]> => {
    await using server = await serveChain(chain)
    const { exit, lines } = await audit(server.url, about)
    return [(JSON.parse(lines[0] as string) as { identity: string }).identity, exit]
  }
  const hashes = new Map([[checkpoint.number, checkpoint.hash]])
  assert.deepEqual(await seen({ ...long, hashes }), ['Ğ1', 0])
  assert.deepEqual(await seen(long), ['another chain', 1])
  assert.deepEqual(await seen(synthetic), ['cannot be told', 0])
})

test('a chain with another genesis block than the named one is refused', async () => {
  await using server = await serveChain({ ...synthetic, ...ofVectors })
  assert.equal((await audit(server.url, paid, ['--genesis', '11'.repeat(32)])).exit, 1)
  assert.equal((await audit(server.url, paid, ['--genesis', '22'.repeat(32)])).exit, 2)
})

test('--extrinsic with --rpc looks the extrinsic up; without a chain it is no payment', async () => {
  await using server = await serveChain({ ...synthetic, ...ofVectors })
  const proofOf = async (...more: string[]): Promise<[number, Record<string, unknown>]> => {
    const file = join(folder, 'paid.json')
    writeFileSync(file, JSON.stringify(paid))
    const { exit, out } = await command('g1', '--record', file, '--json', ...more)
    return [exit, JSON.parse(out.trim().split('\n').at(-1) as string) as Record<string, unknown>]
  }
  const [online, proof] = await proofOf(
    '--extrinsic',
    withComment.extrinsic_hex,
    '--rpc',
    server.url,
    '--pause',
    '0',
  )
  assert.deepEqual([online, proof.on_chain, proof.signature], [1, 'paid, not bound', { verdict: 'valid' }])
  const [offline, alone] = await proofOf('--extrinsic', withComment.extrinsic_hex)
  assert.deepEqual([offline, alone.on_chain], [1, 'not checked: whether this was ever on the chain'])
  // This extrinsic has the facts of the chain, but a signature of zeros.
  const forged = withComment.extrinsic_hex.replace(/^(0x65038400\w{64}00)\w{128}/, `$1${'0'.repeat(128)}`)
  const facts = ['--genesis', '11'.repeat(32), '--spec-version', '1000', '--transaction-version', '1']
  const [made, up] = await proofOf('--extrinsic', forged, ...facts)
  assert.deepEqual([made, up.signature], [1, { verdict: 'not valid' }])
})

test('an answer of millions of tiny values is refused before it is read as JSON', async () => {
  await using server = await serve((body, response, count) => {
    response.end(count > 4 ? `[${'{},'.repeat(3_000_000)}0]` : JSON.stringify(answer(synthetic, body)))
  })
  const chain = await openChain(connect(new URL(server.url), patient))
  await assert.rejects(chain.blocks([1]), /more than 100000 values/)
})

test('the block in which an era began', () => {
  assert.equal(birthOf({ period: 64, phase: 42 }, 1_000), 938)
  assert.equal(birthOf({ period: 64, phase: 42 }, 1_002), 1_002)
  assert.equal(birthOf({ period: 64, phase: 42 }, 20), 42)
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

test('spares the endpoint: batches of at most 8, one request at a time, a binary search of the chain', async () => {
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

/** The faults begin after the four requests that open the chain, so that the verdict reports them. */
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

test('a redirect is refused, also one to an endpoint that would answer', async () => {
  await using other = await serve((body, response) => response.end(JSON.stringify(answer(synthetic, body))))
  await using server = await serve((body, response, count) => {
    if (count > 4) response.writeHead(307, { location: other.url }).end()
    else response.end(JSON.stringify(answer(synthetic, body)))
  })
  const chain = await openChain(connect(new URL(server.url), patient))
  await assert.rejects(
    findExtrinsic(chain, bound().hash, { from: synthetic.start, until: timeOf(synthetic, 9) }),
    /redirects are refused/,
  )
  assert.deepEqual(other.bodies, [])
})

test('endpoint errors are a verdict with exit status 2, in words without escape sequences', async () => {
  await using server = await serve((body, response, count) => {
    const { id } = [JSON.parse(body)].flat()[0] as { id: number }
    const error = { jsonrpc: '2.0', id, error: { message: '\u001b[2Jgone' } }
    response.end(JSON.stringify(count > 4 ? error : answer(synthetic, body)))
  })
  const file = join(folder, 'record.json')
  writeFileSync(file, JSON.stringify({ ...record, submitted_at: at(2_520), g1_tx_hash: bound().hash }))
  const { exit, out: text } = await command('g1', '--record', file, '--rpc', server.url)
  assert.equal(exit, 2)
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

test('an endpoint that gives an empty text for a hash or a number is refused', async () => {
  for (const [asked, result] of [
    ['chain_getFinalizedHead', ''],
    ['chain_getHeader', { number: '' }],
    ['chain_getBlockHash', ''],
  ] as const) {
    await using server = await serve((body, response) => {
      const { id, method } = JSON.parse(body) as { id: number; method: string }
      const sent = method === asked ? { jsonrpc: '2.0', id, result } : answer(synthetic, body)
      response.end(JSON.stringify(sent))
    })
    await assert.rejects(openChain(connect(new URL(server.url), patient)), EndpointError, asked)
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
