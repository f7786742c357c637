/** The example addon in a real Hubzilla. The scenes build on each other: one hub goes through all of them. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '../../contracts/contract.ts'
import { recordsPath } from '../disk.ts'
import { token } from '../hubzilla-site.ts'
import { until } from '../postgres/cluster.ts'
import type { Receiver } from '../receiver.ts'
import { audit } from '../said.ts'
import { adminMail, type Hub } from './hub.ts'
import { fiveMinutes, testPost } from './readme.ts'
import { type Page, textOf, visitor } from './visitor.ts'

const association = 'heron-ridge-condominium'
const page = '/admin/addons/exampleaddon'
let hub: Hub
let receiver: Receiver

type HubScene = readonly [name: string, run: () => Promise<unknown>]

/** The scenes. The text that a scene returns is printed beside its name. */
export async function scenes(made: Hub): Promise<readonly HubScene[]> {
  hub = made
  receiver = await hub.receiver()
  return all
}

const form = (narrative: string, placekey = 'SASE1-22c-at-5sb-8hm-54v') => ({
  association,
  placekey,
  scenario: 'DSC-01-S03',
  narrative,
})

/** Opens the page, fills the form in and sends it, as a member does. */
async function submit(narrative: string): Promise<Page> {
  return hub.member.send(await hub.member.open('/exampleaddon'), 'nonce', form(narrative))
}

const records = (): JsonObject[] => {
  const file = recordsPath(hub.data, association)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
}
const narratives = (): unknown[] => records().map(({ narrative }) => narrative)
const stored = (narrative: string): number => narratives().filter((each) => each === narrative).length
const operatorsPage = async (): Promise<string> => (await hub.admin.open(page)).text.replace(/\s+/g, ' ')

/** Clicks Enable or Disable on the page of the addon. */
async function toggle(): Promise<void> {
  const link = /href="([^"]*a=t[^"]*)"/.exec((await hub.admin.open(page)).html)?.[1]
  assert.ok(link, 'a link that enables or disables')
  await hub.admin.open(link.replaceAll('&amp;', '&'))
}

const all: readonly HubScene[] = [
  [
    'the five minutes of the README lead to an addon that the administrator can enable',
    async () => {
      fiveMinutes(hub)
      assert.match(testPost(hub), /urn:civic-orchestrator:problem:.*"status":422/)
      hub.setToken('wrong-token-'.padEnd(40, 'w'))
      assert.match(testPost(hub), /"status":401/)
      hub.setToken(token)
    },
  ],
  [
    'the administrator enables the addon on its page, and the page tells how the spool stands',
    async () => {
      assert.match(await operatorsPage(), /Example of a submitting addon .* Enable/)
      await toggle()
      assert.match(await operatorsPage(), /Disable .*0 submissions wait \(0 bytes\).* 0 were refused/)
    },
  ],
  [
    'a stranger gets no form, and nothing from the command',
    async () => {
      const stranger = visitor(hub.root)
      assert.doesNotMatch((await stranger.open('/exampleaddon')).text, /Put on record/)
      assert.equal((await stranger.open('/addon/exampleaddon/civic_receiver/command.php?status')).html, '')
    },
  ],
  [
    'what a member submits by the page is on record, raw, once however often the form is sent',
    async () => {
      const narrative = `Tom & "Jerry" <b>'s café</b>; 1 < 2 &amp; {{$x}}`
      const open = await hub.member.open('/exampleaddon')
      const clicks = [1, 2, 3].map(() => hub.member.send(open, 'nonce', form(narrative)))
      for (const { text } of await Promise.all(clicks))
        assert.match(text, /Your answers are (on record|kept here)/)
      await hub.cron()
      assert.deepEqual(narratives(), [narrative])
    },
  ],
  [
    'what is refused is shown with what was typed, unchanged, and the administrator gets one mail',
    async () => {
      const narrative = '<textarea>& "me" &lt;</textarea>\nline two'
      const open = await hub.member.open('/exampleaddon')
      const again = await hub.member.send(open, 'nonce', form(narrative, 'no placekey'))
      assert.match(again.text, /could not be put on record as they are.*A copy is kept for the operator/s)
      assert.match(await operatorsPage(), /1 were refused.*\/participant_id/)
      const mails = hub.mails().length
      await hub.cron()
      await hub.cron()
      const [mail, ...more] = hub.mails().slice(mails)
      assert.equal(more.length, 0, 'one mail a day')
      assert.match(
        mail ?? '',
        new RegExp(`^To: ${adminMail}.*1 submissions were refused and wait for you`, 's'),
      )
      // The form that came back is sent again with its one mistake corrected.
      const mended = await hub.member.send(again, 'nonce', { placekey: form('').placekey })
      assert.match(mended.text, /Your answers are on record/)
      assert.equal(
        stored(narrative.replace('\n', '\r\n')) + stored(narrative),
        1,
        JSON.stringify(narratives()),
      )
    },
  ],
  [
    'while the receiver is down the submission waits, and cron stores it when it is back',
    async () => {
      hub.logAll()
      await receiver.stop()
      assert.match((await submit('receiver down')).text, /kept here and will be put on record shortly/)
      await hub.cron()
      assert.match(await operatorsPage(), /1 submissions wait/)
      receiver = await hub.receiver()
      await hub.cron()
      assert.deepEqual([stored('receiver down'), hub.waiting()], [1, []])
      assert.match(hub.log(), /exampleaddon: \S+ was stored by cron at /, 'the addon is called back')
    },
  ],
  [
    'a wrong token is named on the operator\'s page, and when it is mended "Post all now" posts all',
    async () => {
      hub.setToken('wrong-token-'.padEnd(40, 'w'))
      await submit('wrong token, 1')
      await submit('wrong token, 2')
      assert.match(await operatorsPage(), /2 submissions wait.*token/)
      hub.setToken(token)
      const operators = await hub.admin.open(page)
      await hub.admin.send(operators, 'heads_channel', { post_all: '1' })
      assert.match(await hub.admin.told(), /All that waits was posted now; 0 submissions still wait/)
      assert.deepEqual([stored('wrong token, 1'), stored('wrong token, 2'), hub.waiting()], [1, 1, []])
    },
  ],
  [
    'a pause is shown with its reason, and after it cron stores what waited',
    async () => {
      const pause = join(hub.data, '.paused')
      writeFileSync(pause, 'the disk is being exchanged\n')
      assert.match((await submit('paused')).text, /kept here/)
      assert.match(await operatorsPage(), /1 submissions wait.*the disk is being exchanged/)
      rmSync(pause)
      await hub.cron()
      assert.deepEqual([stored('paused'), hub.waiting()], [1, []])
    },
  ],
  [
    "root's cron posts nothing, leaves nothing of its own in the spool, and cron of the hub's user goes on",
    async () => {
      await receiver.stop()
      await submit("root's cron")
      receiver = await hub.receiver()
      hub.command('hub', 'util/config', 'civic_receiver', 'told_at', '0')
      const mails = hub.mails().length
      await hub.cron('root')
      assert.equal(hub.waiting().length, 1)
      assert.match(hub.mails()[mails] ?? '', /belongs to www-data and this runs as root.*chown -R/s)
      assert.equal(hub.strangers(), '')
      const said = hub.command('root', 'php', 'addon/exampleaddon/civic_receiver/command.php', 'post')
      assert.equal(said.status, 1)
      assert.match(said.output, /runuser|www-data/)
      await hub.cron()
      assert.deepEqual([stored("root's cron"), hub.waiting()], [1, []])
    },
  ],
  [
    'the heads of the day are a public post of the channel that the operator chose, and verify --heads takes its text',
    async () => {
      const settings = await hub.admin.open(page)
      await hub.admin.send(settings, 'heads_channel', { heads_channel: 'no-such-channel' })
      assert.match(await hub.admin.told(), /no channel of that name/)
      await hub.admin.send(settings, 'heads_channel', { heads_channel: 'operator' })
      const elsewhere = { ...form('elsewhere'), association: 'elm-court' }
      await hub.member.send(await hub.member.open('/exampleaddon'), 'nonce', elsewhere)
      await hub.cron()
      await hub.cron()
      const { html } = await visitor(hub.root).open('/channel/operator')
      const posts = [...html.matchAll(/Heads of the records of [^<]*<br.*?<\/pre>/gs)].map(([post]) =>
        textOf(post),
      )
      assert.equal(posts.length, 1)
      assert.match(
        posts[0]!,
        new RegExp(`^scn01/elm-court:1:\\w{64}\\nscn01/${association}:${records().length}:\\w{64}`, 'm'),
      )
      const copied = join(hub.directory, 'copied.txt')
      writeFileSync(copied, posts[0]!)
      const verified = await audit('verify', '--data', hub.data, '--heads', copied)
      assert.equal(verified.exit, 0, verified.out + verified.err)
      assert.match(verified.out, /WHOLE/)
    },
  ],
  [
    'a receiver that hangs while four workers serve the hub: pages are served, and what was submitted is stored later, once',
    async () => {
      const stranger = visitor(hub.root)
      const usual = await timed(() => stranger.open('/siteinfo'))
      const numbers = Array.from({ length: 16 }, (_, n) => n)
      const forms = await Promise.all(numbers.map(() => hub.member.open('/exampleaddon')))
      receiver.process.kill('SIGSTOP')
      const send = (n: number) => hub.member.send(forms[n]!, 'nonce', form(`hung ${n}`))
      let answered = 0
      const first = numbers.slice(0, 12).map((n) => send(n).finally(() => answered++))
      await until(() => hub.waiting().length >= 4)
      const held = await timed(() => stranger.open('/siteinfo'))
      assert.ok(answered <= 10, 'the page was served while two submissions still waited for the receiver')
      for (const { text } of await Promise.all(first)) assert.match(text, /kept here/)
      const later = numbers.slice(12).map(send)
      const after = await timed(() => stranger.open('/siteinfo'))
      for (const { text } of await Promise.all(later)) assert.match(text, /kept here/)
      assert.match(await operatorsPage(), /twice in a row, so it was not asked again/)
      receiver.process.kill('SIGCONT')
      await hub.cron()
      assert.deepEqual(
        numbers.map((n) => stored(`hung ${n}`)),
        numbers.map(() => 1),
      )
      assert.deepEqual(hub.waiting(), [])
      return `a page takes ${usual} ms, ${held} ms beside the first twelve submissions, ${after} ms beside the next four`
    },
  ],
  [
    'the other commands of the README do what it says',
    async () => {
      const run = (...command: string[]) => hub.command('hub', ...command)
      assert.match(
        run('php', 'addon/exampleaddon/civic_receiver/command.php', 'status').output,
        /"waiting": 0/,
      )
      assert.match(run('util/addons', 'list').output, /^exampleaddon$/m)
      const set = run('util/config', 'civic_receiver', 'url', 'http://127.0.0.1:1/receive')
      assert.equal(set.status, 0, set.output)
      const check = run('php', 'addon/exampleaddon/civic_receiver/command.php', 'check')
      assert.deepEqual([check.status, /No answer from the receiver/.test(check.output)], [1, true])
      run('util/config', 'civic_receiver', 'url', 'unix:/run/civic-orchestrator/http.sock')
    },
  ],
  [
    'when submissions wait, the first click to disable the addon says so, and a second click disables it',
    async () => {
      await receiver.stop()
      await submit('waits while the addon is disabled')
      await toggle()
      assert.match(await hub.admin.told(), /1 submissions wait to be put on record/)
      assert.match(await operatorsPage(), / Disable /)
      await toggle()
      assert.match(await operatorsPage(), / Enable /)
      assert.equal(hub.waiting().length, 1)
      for (const what of ['install', 'uninstall', 'install']) {
        const { status, output } = hub.command('hub', 'util/addons', what, 'exampleaddon')
        assert.equal(status, 0, output)
        if (what === 'uninstall') assert.match(output, /1 submissions wait to be put on record/)
      }
      receiver = await hub.receiver()
      await hub.cron()
      assert.deepEqual([stored('waits while the addon is disabled'), hub.waiting()], [1, []])
    },
  ],
  [
    'PHP has complained of nothing in the files of the addon, and no log or mail holds the token',
    async () => {
      assert.match(hub.log(), /civic_receiver/)
      for (const text of [hub.log(), hub.errors(), ...hub.mails()]) assert.ok(!text.includes(token))
      assert.equal(hub.complaints(), '')
      assert.doesNotMatch(hub.errors(), /exampleaddon|civic_receiver/)
      await receiver.stop()
    },
  ],
]

async function timed(ask: () => Promise<Page>): Promise<number> {
  const began = performance.now()
  const { status } = await ask()
  assert.equal(status, 200)
  return Math.round(performance.now() - began)
}
