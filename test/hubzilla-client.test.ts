/** The PHP client against the real receiver: every file parses, and every envelope and every vector gets the right verdict. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'

import {
  address,
  type ClientAnswer,
  client,
  fixtures,
  full,
  hubzilla,
  loopback,
  php,
  place,
  type Site,
  type Status,
  skip,
} from './hubzilla-site.ts'
import { allVectors, bodyOf } from './vectors.ts'

/** The token whose hash is in the vectors. */
const token = 'civic-orchestrator-test-vectors-token'

async function startedForVectors(site: Site): Promise<void> {
  writeFileSync(join(site.dir, 'token'), token)
  await site.start({ NODE_TOKEN: token })
}

const phpFilesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) =>
    name.endsWith('.php') ? [join(folder, name)] : [],
  )

test('every PHP file parses, and so does the PHP in the README', { skip }, (t) => {
  const { dir } = place(t)
  const files = [...phpFilesIn(client), ...phpFilesIn(fixtures)]
  const readme = readFileSync(join(client, 'README.md'), 'utf8')
  for (const [index, [, block]] of [...readme.matchAll(/```php\n([\s\S]*?)```/g)].entries()) {
    writeFileSync(join(dir, `${index}.php`), block!.startsWith('<?php') ? block! : `<?php\n${block}`)
    files.push(join(dir, `${index}.php`))
  }
  assert.ok(files.length >= 20)
  for (const file of files) assert.match(String(execFileSync(php, ['-l', file])), /^No syntax errors/)
})

test('the files of the client are indented with tabs and hold to the namespace of their version', () => {
  for (const file of phpFilesIn(client)) {
    const text = readFileSync(file, 'utf8')
    assert.doesNotMatch(text, /^ +[^ *]/m, file)
    if (/civic_receiver\/[A-Z]/.test(file)) assert.match(text, /^namespace CivicReceiver\\V2;$/m, file)
  }
})

test('an older copy that another addon has loaded does not take the place of this one', {
  skip,
}, async (t) => {
  const site = place(t)
  await site.start()
  const [classes] = await site.eval<string[]>(`
    eval('final class CivicReceiver { function submit() { return "the old one"; } }');
    eval('namespace CivicReceiver\\\\V1; final class Client {}');
    require '${client}/civic_receiver.php';
    $say([get_class($civic), $civic->submit(['addon' => 'vs01'])['result']]);
  `)
  assert.deepEqual(classes, ['CivicReceiver\\V2\\Client', 'refused'])
})

test('the envelopes of the addons are stored, in a Hubzilla too, where z_post_url is never called', {
  skip,
}, async (t) => {
  const site = place(t)
  await site.start()
  const names = readdirSync(join(fixtures, 'envelopes'))
  const envelopes = names.map((name) => JSON.parse(readFileSync(join(fixtures, 'envelopes', name), 'utf8')))
  for (const answer of await site.submit(...envelopes)) assert.equal(answer.result, 'stored', answer.detail)
  site.env = hubzilla(site)
  for (const [index, answer] of (await site.submit(...envelopes)).entries()) {
    assert.equal(answer.result, 'stored', answer.detail)
    const again = names[index]!.startsWith('scn01') ? 'duplicate' : 'replaced'
    assert.equal(answer.receipt?.outcome, again, names[index])
  }
  assert.deepEqual(site.waiting(), [])
  const arrays = site.records('heron-ridge-condominium').find((record) => record.narrative === 'x')!
  assert.deepEqual([arrays.vs_snapshot, arrays.dsc_snapshot], [{}, {}])
})

test('each vector gets its verdict when PHP encodes it', { skip }, async (t) => {
  const site = place(t)
  await startedForVectors(site)
  const child = site.drive('submit')
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  for (const vector of allVectors) {
    if (vector.body !== undefined) continue
    const sent = vector.envelope as JsonObject
    child.stdin.write(`${JSON.stringify(sent)}\n`)
    const { value } = await answers.next()
    const answer = JSON.parse(value) as ClientAnswer
    // The client corrects two slips of PHP before the receiver sees them: a channel id that is an integer, and
    // pins that are no list of different ids. Pointers then count in the corrected list.
    const mended = Number.isInteger(sent?.association_channel_id)
    const refusal = vector.verdict === 'refused' ? vector : undefined
    const pointers = refusal?.pointers?.filter((at) => !mended || at !== '/association_channel_id')
    if (!refusal || pointers?.length === 0) {
      assert.equal(answer.result, 'stored', `${vector.name}: ${answer.detail}`)
      if (vector.verdict === 'accepted')
        assert.deepEqual(storedAs(site, vector.record, answer), vector.record, vector.name)
    } else {
      assert.deepEqual([answer.result, answer.status], ['refused', refusal.status], vector.name)
      const pins = /\/pinned_scenario_ids\/.*/
      const plain = (at: string) => (Array.isArray(sent?.pinned_scenario_ids) ? at : at.replace(pins, ''))
      const found = (answer.errors ?? []).map((error) => plain(error.pointer)).sort()
      assert.deepEqual(found, (pointers ?? []).map(plain).sort(), vector.name)
    }
  }
  child.stdin.end()
  assert.equal(site.waiting().length, 0)
})

/** The stored record without the members that the receiver adds, in the form of the vectors. */
function storedAs(site: Site, expected: JsonObject, answer: ClientAnswer): JsonObject {
  const slug = expected.association_slug as string
  if (expected.addon !== 'scn01') {
    const id = expected.participant_id as string
    const { receipt: _, ...record } = site.record(expected.addon as string, id, slug)
    return record
  }
  const { receipt: _, node_token_hash: hash, ...record } = site.records(slug)[answer.receipt!.sequence! - 1]!
  return Object.hasOwn(expected, 'node_token_hash') ? { ...record, node_token_hash: hash! } : record
}

test('each vector gets its verdict byte for byte out of the spool', { skip }, async (t) => {
  const site = place(t)
  await startedForVectors(site)
  await site.status() // makes the directories of the spool
  const own = '00000000'
  const siteName = execFileSync(php, ['-r', 'echo substr(hash("sha256", ""), 0, 8);'], { encoding: 'utf8' })
  // One process of PHP makes all runs, because its start takes longer than a run.
  const child = site.drive('eval')
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  const run = async (): Promise<Status> => {
    child.stdin.write(`${JSON.stringify({ script: '$say($status($civic->run(60, true)));' })}\n`)
    return JSON.parse((await answers.next()).value) as Status
  }
  let time = 1_000_000_000_000_000
  for (const vector of allVectors) {
    if (vector.body === undefined && !full) continue
    const name = `${time++}.${siteName}-${own}-c${'0'.repeat(32)}.json`
    writeFileSync(join(site.spool, name), bodyOf(vector))
    const { waiting, waits, refused } = await run()
    assert.equal(waiting, 0, `${vector.name}: ${waits[0]?.detail}`)
    if (vector.verdict === 'accepted') {
      assert.deepEqual(refused, {}, vector.name)
      continue
    }
    assert.equal(refused[name]?.status, vector.status, vector.name)
    const pointers = (refused[name]?.errors ?? []).map((error) => error.pointer)
    if (vector.status === 422)
      assert.deepEqual(pointers.sort(), [...(vector.pointers ?? [])].sort(), vector.name)
    rmSync(join(site.spool, 'refused', name))
  }
  child.stdin.end()
})

test('a value that json_encode cannot print is refused with its place and never posted', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await loopback(t, () => assert.fail('nothing may be posted')))
  const [bad] = await site.eval<ClientAnswer>(`
    $say($civic->submit(['addon' => 'vs01', 'fields' => ['a/b' => ['ok', "caf\\xe9"], 'n' => NAN, "\\xff" => 1]]));
  `)
  assert.deepEqual([bad?.result, bad?.status], ['refused', 0])
  assert.deepEqual(
    bad?.errors?.map((error) => error.pointer),
    ['/fields/a~1b/1', '/fields/n', '/fields'],
  )
  assert.deepEqual(site.waiting(), [])
})

test('slips of PHP arrays are corrected: empty maps, gaps in pins, an integer as channel id', {
  skip,
}, async (t) => {
  const site = place(t)
  await site.start()
  const [answer] = await site.eval<ClientAnswer>(`
    $say($civic->submit(CivicReceiver\\V2\\Client::envelope('scn01', [
      'association_slug' => 'heron-ridge', 'association_channel_id' => 118, 'participant_id' => '${address}',
      'standing' => 'public', 'narrative' => 'zähe / Fälle', 'vs_snapshot' => [],
      'dsc_snapshot' => ['rate' => 1.0, 'none' => [], 'map' => new stdClass(), '7' => 'seven'],
      'pinned_scenario_ids' => array_unique(['DSC-01-S03', 'DSC-01-S03', 'DSC-06-S11']),
    ])));
  `)
  assert.equal(answer?.result, 'stored', answer?.detail)
  const [record] = site.records()
  assert.deepEqual(record?.pinned_scenario_ids, ['DSC-01-S03', 'DSC-06-S11'])
  assert.deepEqual(record?.vs_snapshot, {})
  assert.deepEqual(record?.dsc_snapshot, { 7: 'seven', rate: 1, none: [], map: {} })
  assert.equal(record?.association_channel_id, '118')
  assert.match(String(record?.submitted_at), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/)
})
