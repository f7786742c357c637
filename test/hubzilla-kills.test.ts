/** Processes of PHP and the receiver are killed at any instant: nothing is lost and nothing is stored twice. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  address,
  type ClientAnswer,
  forward,
  full,
  killed,
  loopback,
  narratives,
  noteOf,
  place,
  type Site,
  scn,
  skip,
  text,
  vs,
} from './hubzilla-site.ts'

test('PHP killed at any instant: every envelope in the spool is stored, once', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const receiver = site.port
  let child: ChildProcess | undefined
  let stage = ''
  const between = await loopback(t, async (q, body, r) => {
    const [poster, its] = [child, stage]
    const at = async (reached: string): Promise<void> => {
      if (poster && its === reached) await killed(poster)
    }
    await at('posted')
    forward(receiver, q, body, async (status, answer, type) => {
      await at('stored')
      r.writeHead(status, { 'content-type': type }).end(answer)
      // The kill comes anywhere in the work that PHP does after the answer.
      if (its === 'answered') await sleep(randomInt(4))
      await at('answered')
    })
  })
  site.at(between)
  const sent = Array.from({ length: full ? 400 : 40 }, (_, index) => scn(`kill ${index}`))
  const tally = { stored: 0, kept: 0, nowhere: 0 }
  for (const [index, envelope] of sent.entries()) {
    stage = ['early', 'posted', 'stored', 'answered'][index % 4] as string
    child = site.drive('submit')
    const [out, ended] = [text(child.stdout as Readable), once(child, 'close')]
    child.stdin?.end(JSON.stringify(envelope))
    if (stage === 'early') {
      await sleep(randomInt(10, 120))
      await killed(child)
    }
    await ended
    const told = (await out) !== ''
    const kept = site.waiting().length > tally.kept
    const stored = site.records().some((record) => record.narrative === envelope.narrative)
    if (kept) tally.kept++
    else if (told || stored) tally.stored++
    else tally.nowhere++
    // The process was killed before the file had its name. The participant was told nothing and sends again.
    stage = ''
    if (!told && !kept && !stored) await site.submit(envelope)
  }
  site.at(receiver)
  assert.equal((await site.run()).waiting, 0)
  assert.deepEqual(narratives(site), sent.map((envelope) => envelope.narrative).sort())
  assert.ok(tally.kept >= sent.length / 2, 'killed after the post, and kept')
  t.diagnostic(`killed ${sent.length}: ${JSON.stringify(tally)}`)
})

test('PHP killed while it posts versions of one address: the last one sent is the one on disk', {
  skip,
}, async (t) => {
  const site = place(t)
  await site.start()
  const rounds = full ? 30 : 4
  for (let round = 0; round < rounds; round++) {
    let last = ''
    for (let version = 0; version < 6; version++) {
      const note = `${round}.${version}`
      const child = site.drive('submit')
      const out = text(child.stdout)
      child.stdin.end(JSON.stringify(vs(note)))
      const cron = version % 2 ? site.drive('run', 'force') : undefined
      await sleep(randomInt(15, 100))
      await killed(child)
      if (cron) await killed(cron)
      const file = join(site.data, 'vs01/heron-ridge', `${address}.json`)
      const reached = (await out) !== '' || holds(site, note) || (existsSync(file) && noteOf(site) === note)
      if (reached) last = note
    }
    assert.equal((await site.run()).waiting, 0)
    if (last) assert.equal(noteOf(site), last)
  }
})

const holds = (site: Site, note: string) =>
  site.waiting().some((name) => readFileSync(join(site.spool, name), 'utf8').includes(`"ho_notes":"${note}"`))

test('the receiver killed again and again: every submission is stored once', { skip }, async (t) => {
  const site = place(t)
  let server = await site.start()
  const sent = Array.from({ length: full ? 600 : 90 }, (_, index) => scn(`number ${index}`))
  const kills = full ? 12 : 3
  const child = site.drive('submit')
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  const results: ClientAnswer[] = []
  let running = true
  const killer = (async () => {
    for (let kill = 0; kill < kills && running; kill++) {
      await sleep(randomInt(20, 120))
      await killed(server)
      server = await site.start()
    }
  })()
  for (const envelope of sent) {
    child.stdin.write(`${JSON.stringify(envelope)}\n`)
    results.push(JSON.parse((await answers.next()).value) as ClientAnswer)
    if (results.at(-1)?.result !== 'stored') await sleep(40)
  }
  running = false
  await killer
  child.stdin.end()
  for (const answer of results) assert.ok(answer.result === 'stored' || answer.kept, answer.detail)
  assert.equal((await site.run()).waiting, 0)
  assert.deepEqual(narratives(site), sent.map((envelope) => envelope.narrative).sort())
  t.diagnostic(`${results.filter((answer) => answer.result === 'stored').length} of ${sent.length} at once`)
})
