/** Receipts are kept and go to witnesses, one submission is one record, and the addon is told what became of it. */
import assert from 'node:assert/strict'
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from './bound.ts'
import {
  address,
  type ClientAnswer,
  hubzilla,
  narratives,
  place,
  type Site,
  scn,
  skip,
  told,
  vs,
} from './hubzilla-site.ts'
import { audit } from './said.ts'

const receiptsOf = (site: Site, name: string) =>
  readFileSync(join(site.spool, 'receipts', name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

test('the receipt of everything that is stored is kept, by the web and by cron, as verify --receipts takes it', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(scn('by cron'), vs('by cron'))
  await site.start()
  await site.run()
  await site.submit(scn('by the web'), scn('elsewhere', 'elm-court'))
  const kept = receiptsOf(site, 'scn01-heron-ridge.jsonl')
  assert.deepEqual(
    kept.map(({ sequence, stored_by }) => [sequence, stored_by]),
    [
      [1, 'cron'],
      [2, 'web'],
    ],
  )
  assert.deepEqual(readdirSync(join(site.spool, 'receipts')).sort(), [
    'scn01-elm-court.jsonl',
    'scn01-heron-ridge.jsonl',
    'vs01-heron-ridge.jsonl',
  ])
  assert.equal(statSync(join(site.spool, 'receipts/scn01-heron-ridge.jsonl')).mode & 0o022, 0)
  const all = join(site.dir, 'all.jsonl')
  for (const name of readdirSync(join(site.spool, 'receipts')))
    appendFileSync(all, readFileSync(join(site.spool, 'receipts', name)))
  const files = ['--receipts', all]
  const whole = await audit('verify', '--data', site.data, '--copy', ...files)
  assert.equal(whole.exit, 0, whole.out)
  assert.match(whole.out, /WHOLE/)

  const records = join(site.data, 'scn01/elm-court/records.json')
  writeFileSync(records, readFileSync(records, 'utf8').replace('elsewhere', 'elsewhen '))
  assert.equal((await audit('verify', '--data', site.data, '--copy', ...files)).exit, 1)
})

test('the latest receipts are the heads, as the auditor prints them', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  await site.submit(scn('1'), scn('2'), scn('3', 'elm-court'), vs('no head'))
  await site.submit(scn('2')) // at another time: another record, or a duplicate
  const [heads] = await site.eval<string[]>('$say($civic->heads());')
  const printed = await audit('heads', '--data', site.data)
  assert.deepEqual(heads, printed.out.trimEnd().split('\n'))
})

test('what became of a submission can be asked by its reference, and the addon is called back', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  site.env = hubzilla(site)
  const ask = async (answer?: ClientAnswer) =>
    (
      await site.eval<{ state: string; by?: string; at?: string; detail?: string; cause?: string }>(
        `$say($civic->outcome('${answer?.reference}'));`,
      )
    )[0]!
  const [good, bad] = await site.submit(scn('good'), { ...scn('bad'), standing: 'none' })
  assert.deepEqual([(await ask(good)).state, (await ask(good)).cause], ['waiting', 'not reached'])
  await site.start()
  site.env = hubzilla(site)
  await site.run()
  const stored = await ask(good)
  assert.deepEqual([stored.state, stored.by], ['stored', 'cron'])
  assert.match(stored.at!, /^\d{4}-\d\d-\d\dT/)
  const refused = await ask(bad)
  assert.equal(refused.state, 'refused')
  assert.match(refused.detail!, /does not follow its contract/)
  const hooks = told(site).filter(([kind]) => kind === 'hook') as [
    string,
    [string, Record<string, unknown>],
  ][]
  assert.deepEqual(
    hooks.map(([, [name, outcome]]) => [name, outcome.state, outcome.reference, outcome.participant_id]),
    [
      ['civic_receiver_outcome', 'stored', good?.reference, address],
      ['civic_receiver_outcome', 'refused', bad?.reference, address],
    ],
  )
  const [web] = await site.submit(vs('at once'))
  assert.deepEqual([(await ask(web)).state, (await ask(web)).by], ['stored', 'web'])
  await site.submit({ ...vs('later'), standing: 'none' })
  assert.equal(
    (await site.eval<{ state: string }>("$say($civic->outcome('../../token'));"))[0]?.state,
    'gone',
  )
})

const form = (nonce: string, narrative: string) => `
  $say($civic->submit($civic->envelopeOnce('${nonce}', 'scn01', [
    'association_slug' => 'heron-ridge', 'association_channel_id' => '118', 'participant_id' => '${address}',
    'standing' => 'participant', 'pinned_scenario_ids' => ['DSC-01-S03'], 'narrative' => '${narrative}',
    'vs_snapshot' => [], 'dsc_snapshot' => [],
  ])));`

test('a reload or a double click of one form is one record; other answers in it are another', {
  skip,
}, async (t) => {
  const site = place(t)
  await site.start()
  // Two clicks come at once, then a reload two seconds later by the clock of the form.
  const clicks = await Promise.all([
    site.eval<ClientAnswer>(form('n1', 'once')),
    site.eval<ClientAnswer>(form('n1', 'once')),
  ])
  for (const [answer] of clicks) assert.equal(answer?.result, 'stored', answer?.detail)
  const forms = join(site.spool, 'forms')
  const [first] = readdirSync(forms)
  writeFileSync(join(forms, first!), '2026-01-02T03:04:05+00:00') // as if the envelope had been built long ago
  await site.eval(form('n1', 'once'))
  await site.eval(form('n1', 'once'))
  assert.deepEqual(narratives(site), ['once', 'once'], 'the altered time is one record more, and only one')
  await site.eval(form('n1', 'mended'))
  await site.eval(form('n2', 'once'))
  assert.equal(site.records().filter(({ narrative }) => narrative === 'mended').length, 1)
  assert.equal(readdirSync(forms).length, 3)
  for (const name of readdirSync(forms))
    assert.match(
      readFileSync(join(forms, name), 'utf8'),
      /^[0-9T:+-]{25}$/,
      'nothing that was said is kept there',
    )
})

test('a version of its contract is the choice of the addon; the first one is the default', {
  skip,
}, async (t) => {
  const site = place(t)
  const [first, chosen] = await site.eval<{ contract_version: string }>(`
    $say(CivicReceiver\\V2\\Client::envelope('scn01', []));
    $say(CivicReceiver\\V2\\Client::envelope('scn01', ['contract_version' => '1.1']));
  `)
  assert.deepEqual([first?.contract_version, chosen?.contract_version], ['1.0', '1.1'])
})
