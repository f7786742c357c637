/** Tests what every store promises, with the same tests for each store. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { AcceptedRecord, Receipt } from '../contracts/record.ts'
import type { Log } from '../src/log.ts'
import { chainOf, recordsPath, sha256 } from './disk.ts'
import { kinds, type World } from './postgres/worlds.ts'
import { scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { acceptedVectors, put, quiet, stored, storeIn } from './records.ts'

const participant = 'SASE1-22c-at-5sb-8hm-54v'

/** The text without the time of arrival and the hashes that depend on it. */
const withoutTimes = (text: string) => text.replace(/"(received_at|previous_sha256)": ?"[^"]*"/g, '')

for (const { name, skip, open } of kinds) {
  describe(`the store of ${name}`, { skip }, () => {
    let world: World
    before(async () => {
      world = await open()
    })
    after(() => world?.end())

    test('stores every accepted vector in the bytes of the file store', async () => {
      const root = scratchDir()
      const [store, files] = [world.store(), storeIn(root)]
      const deadline = performance.now() + 60_000
      const latest = new Map<string, AcceptedRecord>()
      const appended = new Set<string>()
      for (const record of acceptedVectors()) {
        const [here, there] = [await store.put(record, deadline), await files.put(record, deadline)]
        assert.ok(here.ok && there.ok)
        assert.equal(here.receipt.outcome, there.receipt.outcome)
        assert.equal(here.receipt.id, there.receipt.id)
        assert.equal(here.receipt.sequence, there.receipt.sequence)
        if (record.storage === 'append-only') appended.add(record.association_slug)
        else
          latest.set(JSON.stringify([record.addon, record.association_slug, record.participant_id]), record)
      }
      for (const slug of appended) {
        const [here, there] = [await world.lines(slug), chainOf(recordsPath(root, slug))]
        assert.deepEqual(here.map(withoutTimes), there.map(withoutTimes))
      }
      for (const { addon, association_slug, participant_id } of latest.values()) {
        const here = (await world.latest(addon, association_slug, participant_id)) as string
        const there = readFileSync(join(root, addon, association_slug, `${participant_id}.json`), 'utf8')
        assert.equal(withoutTimes(here), withoutTimes(there))
      }
      assert.ok(appended.size > 0 && latest.size > 10, `${appended.size} and ${latest.size} compared`)
      await Promise.all([store.close(), files.close()])
    })

    test('answers an append with the hash of the line that stands there, and a retry with the first receipt', async () => {
      const store = world.store()
      const first = await stored(store, scn01({ association_slug: 'retry', narrative: 'one' }))
      const second = await stored(store, scn01({ association_slug: 'retry', narrative: 'two €\u0000' }))
      const again = await stored(store, scn01({ association_slug: 'retry', narrative: 'one' }))
      assert.deepEqual([first.outcome, second.outcome, again.outcome], ['appended', 'appended', 'duplicate'])
      assert.deepEqual({ ...again, outcome: 'appended' }, first)
      const lines = await world.lines('retry')
      assert.deepEqual(lines.map(sha256), [first.record_sha256, second.record_sha256])
      assert.equal(second.previous_sha256, first.record_sha256)
      await store.close()
      const restarted = world.store()
      const late = await stored(restarted, scn01({ association_slug: 'retry', narrative: 'two €\u0000' }))
      assert.deepEqual({ ...late, outcome: 'appended' }, second)
      await restarted.close()
    })

    test('the same envelope many times at once is stored once', async () => {
      const [one, two] = [world.store(), world.store()]
      const receipts = await Promise.all(
        Array.from({ length: 40 }, (_, at) =>
          stored(at % 2 ? one : two, scn01({ association_slug: 'storm' })),
        ),
      )
      assert.equal(receipts.filter(({ outcome }) => outcome === 'appended').length, 1)
      assert.equal(new Set(receipts.map(({ record_sha256 }) => record_sha256)).size, 1)
      assert.equal((await world.lines('storm')).length, 1)
      await Promise.all([one.close(), two.close()])
    })

    test('a duplicate among new records costs the others nothing', async () => {
      const store = world.store()
      const at = (n: number) => scn01({ association_slug: 'mixed', narrative: `n${n}` })
      await stored(store, at(5))
      await store.close()
      const fresh = world.store()
      await stored(fresh, at(100))
      const receipts = await Promise.all(Array.from({ length: 20 }, (_, n) => stored(fresh, at(n))))
      assert.deepEqual(
        receipts.map(({ outcome }) => outcome),
        Array.from({ length: 20 }, (_, n) => (n === 5 ? 'duplicate' : 'appended')),
      )
      assert.equal((await world.lines('mixed')).length, 21)
      await fresh.close()
    })

    test('two receivers append to one association at once: the chain is whole, and each record is there once', async () => {
      const stores = [world.store(), world.store()]
      const receipts: Receipt[] = []
      await Promise.all(
        Array.from({ length: 16 }, async (_, sender) => {
          for (let n = 0; n < 12; n++) {
            const envelope = scn01({ association_slug: 'two', narrative: `${sender}/${n}` })
            receipts.push(await stored(stores[sender % 2] as (typeof stores)[0], envelope))
          }
        }),
      )
      const lines = await world.lines('two')
      assert.equal(lines.length, 16 * 12)
      for (const { sequence, record_sha256 } of receipts)
        assert.equal(sha256(lines[(sequence as number) - 1] as string), record_sha256)
      await Promise.all(stores.map((store) => store.close()))
    })

    test('the last envelope of a participant is kept, as indented text', async () => {
      const store = world.store()
      const at = (n: number) => vs01({ association_slug: 'latest', fields: { n: String(n) } })
      const receipts = await Promise.all(Array.from({ length: 30 }, (_, n) => stored(store, at(n))))
      assert.deepEqual(
        receipts.map(({ outcome }) => outcome),
        ['created', ...Array(29).fill('replaced')],
      )
      const text = (await world.latest('vs01', 'latest', participant)) as string
      assert.equal(JSON.parse(text).fields.n, '29')
      assert.equal(JSON.parse(text).receipt.received_at, receipts.at(-1)?.received_at)
      const beside = storeIn(scratchDir())
      assert.equal((await stored(beside, at(29))).outcome, 'created')
      assert.match(withoutTimes(text), /^\{\n {2}"addon": "vs01",\n/)
      assert.ok(text.endsWith('"\n  }\n}\n'))
      await Promise.all([store.close(), beside.close()])
    })

    test('two receivers replace the same participants in any order without a refusal', async () => {
      const stores = [world.store(), world.store()]
      const people = ['22c', '22d', '22f', '22g'].map((what) => `SASE1-${what}-at-5sb-8hm-54v`)
      await Promise.all(
        Array.from({ length: 120 }, (_, n) => {
          const who = n % 2 ? people[(n >> 1) % 4] : people[3 - ((n >> 1) % 4)]
          return stored(
            stores[n % 2] as (typeof stores)[0],
            vs01({ association_slug: 'circle', participant_id: who }),
          )
        }),
      )
      await Promise.all(stores.map((store) => store.close()))
    })

    test('a record too long to be read back is refused as `long`, and nothing is stored', async () => {
      const store = world.store()
      const outcome = await put(
        store,
        scn01({ association_slug: 'long', narrative: 'x'.repeat(7.6 * 2 ** 20) }),
      )
      assert.deepEqual(outcome, { ok: false, fault: 'long' })
      assert.deepEqual(await world.lines('long'), [])
      await store.close()
    })

    test('an altered last record refuses its association alone, by a fatal log line and in the readiness', async () => {
      const before = world.store()
      await stored(before, scn01({ association_slug: 'altered' }))
      await before.close()
      await world.damage('altered')
      const fatal: string[] = []
      const log: Log = { ...quiet, fatal: (_fields, message) => void fatal.push(message) }
      const store = world.store(log)
      const refused = await put(store, scn01({ association_slug: 'altered', narrative: 'next' }))
      assert.deepEqual(refused, { ok: false, fault: 'damaged' })
      assert.equal(fatal.length, 1)
      assert.deepEqual((await store.readiness()).refused, ['scn01/altered'])
      await stored(store, scn01({ association_slug: 'beside' }))
      await store.close()
    })

    test('a receiver process answers in the same words', async () => {
      const receiver = await startReceiver(world.env)
      const answers: unknown[] = []
      for (const envelope of [
        scn01({ association_slug: 'wire' }),
        scn01({ association_slug: 'wire' }),
        vs01(),
        {},
      ]) {
        const response = await receiver.post(envelope)
        const { status, outcome, type } = (await response.json()) as Record<string, unknown>
        answers.push([response.status, status, outcome, type])
      }
      assert.deepEqual(answers, [
        [201, 'stored', 'appended', undefined],
        [200, 'stored', 'duplicate', undefined],
        [201, 'stored', 'created', undefined],
        [422, 422, undefined, 'urn:civic-orchestrator:problem:bad-envelope'],
      ])
      assert.equal((await fetch(`${receiver.url}/ready`)).status, 200)
      assert.equal(await receiver.stop(), 0)
    })
  })
}
