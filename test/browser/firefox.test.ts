/**
 * The page in Debian's Firefox, if it is installed: it opens data and shows the same verdicts. A driver cannot use Firefox's folder chooser,
 * so these tests open a zip and single files.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import axe from 'axe-core'
import { sha256 } from '../disk.ts'
import { scratchDir } from '../receiver.ts'
import { variants, wholeDirectory } from '../variants.ts'
import { address, narratives, slug, writeData } from './data.ts'
import { Firefox, hasFirefox } from './firefox.ts'
import { listening } from './page.ts'

const options = hasFirefox ? {} : { skip: 'needs firefox-esr' }
const scratch = scratchDir()
const zip = join(scratch, 'data.zip')
const heads = join(scratch, 'heads.txt')
let firefox: Firefox

before(async () => {
  if (!hasFirefox) return
  writeFileSync(heads, writeData(join(scratch, 'data')))
  execFileSync('zip', ['-qr', zip, 'data'], { cwd: scratch })
  firefox = await Firefox.start()
})

after(async () => {
  await firefox?.[Symbol.asyncDispose]()
})

async function openWhole(): Promise<void> {
  await firefox.open()
  await firefox.choose('#open-files', zip)
  await firefox.text('.verdict', 'Cannot be told')
  await firefox.choose('#open-receipts', heads)
  await firefox.text('.verdict', 'Whole')
}

const go = (route: string): Promise<void> =>
  firefox.run((hash) => {
    location.hash = hash as string
  }, route)

test(
  'in Firefox: a zip is opened, cannot be told without heads, and is whole with them',
  options,
  async () => {
    await openWhole()
    assert.match(await firefox.text('.scope', 'Checked'), /2 associations, 76 records/)
  },
)

test('in Firefox: single files are opened, and an altered record is named', options, async () => {
  const root = join(scratch, 'altered')
  mkdirSync(root)
  const whole = wholeDirectory(root)
  variants.find(({ name }) => name === 'a word changed in a record')?.tamper(whole)
  await firefox.open()
  await firefox.choose('#open-files', whole.records, whole.head)
  assert.match(
    await firefox.text('.verdict', 'Not as it was left'),
    /In scn01\/plum-grove-21, record 3 was altered/,
  )
})

test('in Firefox: table, record, address and two dates show the same as in Chromium', options, async () => {
  await openWhole()
  await firefox.click('a', slug)
  await firefox.text('p[role=status]', '64 records')
  await firefox.fill('#f-payment', 'named')
  await firefox.text('p[role=status]', '32 of 64 records')
  await go(`#/r/scn01/${slug}/4`)
  await firefox.text(
    '.box.as-sent .sent',
    'Read this: \\u{202e}gnihton\\u{7} <script>alert(1)</script><img src=x onerror=alert(1)>',
  )
  await firefox.click('a', 'This address over time')
  await firefox.text('h2', 'What this address said: 22 records')
  await firefox.text('.timeline .sent', narratives[0] as string)
  await go(`#/d/scn01/${slug}`)
  await firefox.text('p[role=status]', 'between the two')
  await firefox.fill('#d-from', '2026-02-01')
  await firefox.fill('#d-to', '2026-02-28')
  await firefox.text('p[role=status]', '9 records between the two')
})

test(
  'in Firefox: each printed sheet has the heading, and sent texts are printed as they were sent',
  options,
  async () => {
    await openWhole()
    await go(`#/p/${slug}/${address}`)
    await firefox.text('button', 'Print this address')
    const pdf = join(scratch, 'address.pdf')
    writeFileSync(pdf, await firefox.print())
    const pages = execFileSync('pdftotext', ['-layout', pdf, '-']).toString().split('\f').slice(0, -1)
    assert.ok(pages.length > 1)
    const records = join(scratch, 'data/scn01', slug, 'records.json')
    for (const text of pages.map((page) => page.replace(/\s/g, '')))
      for (const expected of [
        sha256(readFileSync(records)),
        `scn01/${slug}:64:`,
        'VerdictonthisassociationWhole',
      ])
        assert.ok(text.includes(expected), `${expected}\n${text}`)
    const lines = (narratives[0] as string).split('\n').filter(Boolean)
    for (const line of lines) assert.ok(pages.join('').includes(line.trim()), line)
  },
)

test('in Firefox: every view keeps the rules of axe', options, async () => {
  await openWhole()
  await firefox.run((source) => void new Function(source as string).call(window), axe.source)
  for (const [route, heading] of [
    ['#/', 'Whole'],
    [`#/a/scn01/${slug}`, slug],
    [`#/r/scn01/${slug}/7`, 'Record 7'],
    [`#/p/${slug}/${address}`, address],
    [`#/d/scn01/${slug}`, 'What came between two dates'],
  ] as const) {
    await go(route)
    await firefox.text('h1', heading)
    const found = await firefox.run(async () => {
      const { axe } = window as unknown as {
        axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
      }
      const { violations } = await axe.run()
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    })
    assert.deepEqual(found, [], route)
  }
})

test('in Firefox: nothing is loaded, nothing is sent, and no text becomes markup', options, async () => {
  using listener = await listening()
  await openWhole()
  const innerHtml = await firefox.run(async (address) => {
    const settled: Promise<unknown>[] = [fetch(address as string).catch(() => {})]
    const image = new Image()
    settled.push(new Promise((refused) => image.addEventListener('error', refused)))
    image.src = address as string
    // Firefox refuses these two immediately.
    for (const send of [
      () => new WebSocket((address as string).replace('http', 'ws')),
      () => navigator.sendBeacon(address as string, 'x'),
    ])
      try {
        send()
      } catch {}
    for (const [name, attribute] of [
      ['iframe', 'src'],
      ['link', 'href'],
    ] as const) {
      const element = document.createElement(name)
      element.setAttribute('rel', 'stylesheet')
      element.setAttribute(attribute, address as string)
      document.body.append(element)
    }
    await Promise.all(settled)
    try {
      document.body.innerHTML = '<p>'
      return 'taken'
    } catch {
      return 'refused'
    }
  }, listener.address)
  assert.equal(innerHtml, 'refused')
  assert.deepEqual(listener.reached, { connections: 0, bytes: 0 })
})
