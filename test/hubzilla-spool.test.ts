/** The spool of the PHP client: which submissions wait, for how long and why, in which order they are posted, and which were refused. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './bound.ts'
import {
  address,
  forward,
  hubzilla,
  killed,
  loopback,
  noteOf,
  otherAddress,
  php,
  place,
  refuse,
  type Status,
  scn,
  skip,
  store,
  token,
  vs,
} from './hubzilla-site.ts'

test('while the receiver is down submissions wait in private files, then are stored oldest first', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  const sent = Array.from({ length: 20 }, (_, index) => scn(`number ${index}`))
  for (const answer of await site.submit(...sent))
    assert.deepEqual([answer.result, answer.kept], ['not_reached', true])
  assert.equal(statSync(site.spool).mode & 0o777, 0o700)
  for (const name of site.waiting()) assert.equal(statSync(join(site.spool, name)).mode & 0o777, 0o600)
  await site.run()
  assert.match(site.log.join(''), /20 submissions wait, the oldest for \d+ s\. No answer from the receiver/)

  await site.start()
  const { waiting } = await site.cron()
  assert.equal(waiting, 0, 'one finds out that it is back, and then nothing waits for its time')
  assert.deepEqual(
    site.records().map((record) => record.narrative),
    sent.map((envelope) => envelope.narrative),
  )
})

test('cron leaves a new file to the process that wrote it, and a file that was put off until it is due', {
  skip,
}, async (t) => {
  const site = place(t)
  let posts = 0
  site.at(
    await loopback(t, (_q, _body, r) => {
      posts++
      refuse(r, 503, 'storage-busy')
    }),
  )
  await site.submit(scn('busy'))
  assert.equal((await site.cron()).waiting, 1)
  assert.equal(posts, 1, 'before its time it is left alone')
  const [name] = site.waiting()
  rmSync(join(site.spool, `${name}.why`)) // so it looks after a kill in the middle of a post
  await site.cron()
  assert.equal(posts, 1)
  utimesSync(join(site.spool, name!), 1, 1)
  await site.cron()
  assert.equal(posts, 2)
})

test('the cause of waiting is kept with the file and shown', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const receiver = site.port
  const cause = async () => {
    const { waits } = await site.status()
    return [waits[0]?.cause, waits[0]?.detail] as const
  }
  writeFileSync(join(site.data, '.paused'), 'backup of the disk\n')
  await site.submit(vs('1'))
  assert.deepEqual((await cause())[0], 'paused')
  assert.match((await cause())[1]!, /\(503\)\. .*backup of the disk/)
  rmSync(join(site.data, '.paused'))
  writeFileSync(join(site.dir, 'token'), 'another-token-than-the-one-of-the-receiver')
  await site.submit(vs('2'))
  assert.deepEqual((await cause())[0], 'token')
  writeFileSync(join(site.dir, 'token'), token)
  site.at(await loopback(t, (_q, _body, r) => refuse(r, 507, 'disk-full')))
  await site.submit(vs('3'))
  assert.deepEqual((await cause())[0], 'disk full')
  site.at(await freePort())
  await site.submit(vs('4'))
  assert.deepEqual((await cause())[0], 'not reached')
  site.at(receiver)
  await site.run()
  assert.deepEqual(
    readdirSync(site.spool).filter((name) => name.includes('.json')),
    [],
    'the cause goes with the file',
  )
})

test('after a corrected token, a pause or another URL no submission waits an hour', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const repairs: (() => void | Promise<void>)[] = []
  writeFileSync(join(site.dir, 'token'), 'another-token-than-the-one-of-the-receiver')
  const [first] = await site.submit(scn('token'), scn('token again'))
  assert.deepEqual([first?.result, first?.status, first?.kept], ['not_reached', 401, true])
  repairs.push(() => writeFileSync(join(site.dir, 'token'), token))
  const due = statSync(join(site.spool, site.waiting()[0]!)).mtimeMs - Date.now()
  assert.ok(due > 3_000_000, 'it would be its time in an hour')
  for (const step of repairs) await step()
  assert.equal((await site.cron()).waiting, 0)

  writeFileSync(join(site.data, '.paused'), 'x')
  await site.submit(scn('paused'), scn('paused again'))
  rmSync(join(site.data, '.paused'))
  assert.equal((await site.cron()).waiting, 0)

  const receiver = site.port
  site.at(await loopback(t, (_q, _body, r) => r.writeHead(404).end('nothing here')))
  await site.submit(scn('URL'), scn('URL again'))
  assert.equal((await site.cron()).waiting, 2, 'a wrong URL is not asked again before its time')
  site.at(receiver)
  assert.equal((await site.cron()).waiting, 0)
  assert.equal(site.records().length, 6)
})

test('a refusal is kept with its reasons, and the operator can put it back', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit({ ...scn('refused at first'), standing: 'none of these' })
  await site.start()
  const { refused, waiting, refused_count } = await site.run()
  const [name] = Object.keys(refused)
  assert.deepEqual([waiting, refused_count], [0, 1])
  assert.deepEqual(
    refused[name!]?.errors?.map((error) => error.pointer),
    ['/standing'],
  )
  const kept = join(site.spool, 'refused', name!)
  assert.equal(statSync(kept).mode & 0o777, 0o600)
  assert.equal(statSync(`${kept}.reasons`).mode & 0o777, 0o600)

  writeFileSync(kept, readFileSync(kept, 'utf8').replace('none of these', 'public'))
  renameSync(kept, join(site.spool, name!))
  assert.deepEqual((await site.run()).refused, {})
  assert.equal(site.records().length, 1)
})

test('a submission whose answer was lost is stored once', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const receiver = site.port
  site.at(await loopback(t, (q, body, r) => forward(receiver, q, body, () => r.destroy())))
  const sent = Array.from({ length: 10 }, (_, index) => scn(`lost ${index}`))
  for (const answer of await site.submit(...sent, vs('lost')))
    assert.deepEqual([answer.result, answer.kept], ['not_reached', true])
  assert.equal(site.records().length, 10)
  site.at(receiver)
  assert.equal((await site.run()).waiting, 0)
  assert.equal(site.records().length, 10)
  assert.deepEqual(site.record('vs01', address).fields, { ho_notes: 'lost' })
})

test('one association out of service does not hold up the others', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const receiver = site.port
  const seen: string[] = []
  const damaged = await loopback(t, (q, body, r) => {
    const { association_slug, narrative } = JSON.parse(String(body))
    seen.push(narrative)
    if (association_slug === 'damaged') refuse(r, 503, 'records-refused')
    else
      forward(receiver, q, body, (status, said, type) =>
        r.writeHead(status, { 'content-type': type }).end(said),
      )
  })
  site.at(await freePort())
  await site.submit(scn('a', 'damaged'), scn('b', 'damaged'), scn('c'), scn('d'))
  site.at(damaged)
  assert.equal((await site.run()).waiting, 2)
  assert.deepEqual(seen, ['a', 'c', 'd'])
})

test('spool (3): of one address only the latest waits, of scn01 all', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  const other = vs('3', { participant_id: otherAddress })
  await site.submit(vs('1'), scn('1'), vs('2'), other, scn('2'), vs('4'))
  assert.equal(site.waiting().length, 4)
  await site.start()
  await site.run()
  assert.deepEqual(site.record('vs01', address).fields, { ho_notes: '4' })
  assert.deepEqual(site.record('vs01', otherAddress).fields, { ho_notes: '3' })
})

test('spool (2): a newer one that is stored directly drops the older one that waits', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(vs('old'))
  const [old] = site.waiting()
  await site.start()
  const [stored] = await site.submit(vs('new'))
  assert.equal(stored?.result, 'stored')
  assert.deepEqual(site.waiting(), [])

  // The clock was set back, so the waiting file has a later time than now.
  const later = `${Number(old!.slice(0, 16)) + 3_600_000_000}${old!.slice(16)}`
  writeFileSync(join(site.spool, later), JSON.stringify(vs('old')))
  await site.submit(vs('newest'))
  assert.deepEqual(site.waiting(), [])
  await site.run()
  assert.equal(noteOf(site), 'newest')
})

test('spool (2): a newer one that is refused leaves the older one to be stored', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(vs('old'))
  await site.start()
  const [refused] = await site.submit(vs('new', { fields: [] }))
  assert.equal(refused?.result, 'refused')
  await site.run()
  assert.equal(noteOf(site), 'old')
})

test('spool (2): cron at work on the old one makes the new one wait its turn', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(vs('old'))
  await site.start()
  const receiver = site.port
  const posts: string[] = []
  let begun = () => {}
  const first = new Promise<void>((resolve) => {
    begun = resolve
  })
  let waits = () => {}
  const newerWaits = new Promise<void>((resolve) => {
    waits = resolve
  })
  site.at(
    await loopback(t, async (q, body, r) => {
      posts.push(JSON.parse(String(body)).fields.ho_notes)
      begun()
      if (posts.length === 1) await newerWaits
      forward(receiver, q, body, (status, answer, type) =>
        r.writeHead(status, { 'content-type': type }).end(answer),
      )
    }),
  )
  const cron = site.run()
  await first
  const newer = site.submit(vs('new'))
  while (site.waiting().length < 2) await sleep(20) // the newer one is in the spool
  const second = site.cron()
  await second
  waits()
  assert.equal((await newer)[0]?.result, 'stored')
  await cron
  assert.deepEqual(posts, ['old', 'new'])
  assert.deepEqual(site.waiting(), [])
  assert.equal(noteOf(site), 'new')
})

test('spool (2): a submission that was superseded while it waited for the lock is not posted', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(vs('makes the lock file'))
  const [name] = site.waiting()
  rmSync(join(site.spool, name!))
  site.at(await loopback(t, () => assert.fail('nothing may be posted')))
  const lock = join(site.spool, `lock-${name!.slice(-7, -5)}`)
  const holder = spawn(php, ['-r', '$h = fopen($argv[1], "c"); flock($h, LOCK_EX); echo 1; sleep(60);', lock])
  t.after(() => killed(holder))
  await once(holder.stdout, 'data')
  const submission = site.submit(vs('older'))
  while (site.waiting().length === 0) await sleep(20)
  rmSync(join(site.spool, site.waiting()[0]!)) // the newer submission removes it once it is stored
  await killed(holder)
  const [answer] = await submission
  assert.deepEqual([answer?.result, answer?.kept], ['not_reached', true])
})

test('two cron runs at once post nothing twice', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  const addresses = Array.from({ length: 15 }, (_, n) => `SASE${n}-22c-at-5sb-8hm-54v`)
  await site.submit(...addresses.map((participant_id) => vs('x', { participant_id })))
  const posts: string[] = []
  site.at(
    await loopback(t, async (_q, body, r) => {
      posts.push(JSON.parse(String(body)).participant_id)
      await sleep(20)
      store(r, body)
    }),
  )
  await Promise.all([site.run(), site.run(), site.run()])
  assert.deepEqual(posts.sort(), addresses.sort())
})

test('spool (2): nothing is posted past an older one in a spool that cannot be used for now', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  site.env = hubzilla(site)
  await site.submit(vs('old'))
  await site.start()
  hubzilla(site)
  const web = join(site.dir, 'home/web')
  rmSync(web, { recursive: true })
  renameSync(site.spool, `${web}`)
  mkdirSync(join(web, 'store'))
  const inside = join(web, 'store/spool')
  mkdirSync(inside, { mode: 0o700 })
  for (const name of readdirSync(web).filter((name) => name !== 'store'))
    renameSync(join(web, name), join(inside, name))
  site.spool = inside
  site.env = hubzilla(site)
  const [newer] = await site.submit(vs('new'))
  assert.deepEqual([newer?.result, newer?.kept], ['not_reached', false])
  assert.match(newer!.detail, /older submission of this address waits/)
  const [other] = await site.submit(vs('other', { participant_id: otherAddress }))
  assert.equal(other?.result, 'stored', other?.detail)
  site.spool = join(site.dir, 'moved')
  renameSync(inside, site.spool)
  site.env = hubzilla(site)
  await site.run()
  assert.equal(noteOf(site), 'old')
})

test('cron removes torn files, but only old ones, and is not fooled by a clock set back', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(scn('x'))
  const [name] = site.waiting()
  const anHourAgo = Date.now() / 1000 - 3601
  for (const torn of ['.new-old', '.new-young']) writeFileSync(join(site.spool, torn), '{"addon"')
  writeFileSync(join(site.spool, '1.json.why'), '{}')
  utimesSync(join(site.spool, '.new-old'), anHourAgo, anHourAgo)
  const tomorrow = Date.now() / 1000 + 86_400
  utimesSync(join(site.spool, name!), tomorrow, tomorrow)
  await site.start()
  await site.cron()
  assert.deepEqual(
    readdirSync(site.spool).filter((file) => /^\.new|why$/.test(file)),
    ['.new-young'],
  )
  assert.equal(site.records().length, 1)
})

test('files of version 1.0 are posted under the names that they have now', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const old = (n: number, hash: string) => `0000000000${n}0000.12345678-${hash.repeat(32)}.json`
  writeFileSync(join(site.spool, old(10, 'a')), JSON.stringify(vs('older')))
  writeFileSync(join(site.spool, old(11, 'b')), JSON.stringify(vs('newer')))
  writeFileSync(join(site.spool, old(12, 'c')), JSON.stringify(scn('kept')))
  const status: Status = await site.run()
  assert.deepEqual([status.waiting, status.problem], [0, ''])
  assert.equal(noteOf(site), 'newer')
  assert.equal(site.records().length, 1)
})
