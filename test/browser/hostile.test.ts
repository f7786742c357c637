/**
 * Records that somebody sends to attack the auditor, in a real browser. In every view and on paper they are only text: they run no code, change
 * no style and no reading direction, hide nothing, make the page no wider, and forge no verdict.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import type { JsonObject } from '../../contracts/contract.ts'
import { fileOf, linesOf, rechained, sha256 } from '../disk.ts'
import { address, scenario, writeScenarios } from './data.ts'
import { go, openFolder } from './page.ts'
import { pageWithData } from './with-data.ts'

const slug = 'hostile'

const markup = [
  '</div></td></tr></table><script>window.hit = 1</script>',
  '<style>.verdict, .finding { display: none } body { background: red !important }</style>',
  '<img src=x onerror="window.hit = 1"><svg onload="window.hit = 1"></svg>',
  '<a href="javascript:window.hit = 1">Show all</a><iframe srcdoc="<script>parent.hit = 1</script>"></iframe>',
  '--></script><template><base href="https://example.org/">',
].join('\n')

/** A text with a right-to-left override, isolates, marks, a zero-width blank, a line separator, a bell, an escape and a byte order mark. */
const turning = 'be\u202egin \u2066\u2067\u200f\u061cnot\u2069 \u200b\u2028\u0007\u001b[31mred\ufeff end'

const longWord = 'Ÿ'.repeat(512 * 1024)
const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`member ${at}`, `value ${at}`]))

/** The characters that must not reach the screen as they are. */
const acting = ['\u202e', '\u2066', '\u2067', '\u2069', '\u200f', '\u061c', '\u2028', '\u0007', '\u001b']

/** Members with names that a program could take for its own. */
const special: JsonObject = {
  constructor: 'c',
  toString: 't',
  hasOwnProperty: 'h',
  valueOf: 'v',
  toJSON: 'j',
  dangerouslySetInnerHTML: { __html: markup },
  '': 'nameless',
  '0': 'zero',
}

/** Members that look like the page's own words. */
const forged: JsonObject = {
  verified: true,
  record_sha256: 'a'.repeat(64),
  'SHA-256 of the stored line': 'b'.repeat(64),
  verdict: 'Whole',
  Findings: 'none about this record',
  'Said by this page': '<section class="box said"><h2>Said by this page</h2>Whole</section>',
  class: 'verdict whole',
}

const envelopes: readonly JsonObject[] = [
  { ...scenario(0, slug), narrative: markup, vs_snapshot: { [markup]: markup }, [markup]: [markup] },
  { ...scenario(3, slug), narrative: turning, dsc_snapshot: { [turning]: turning }, [turning]: turning },
  { ...scenario(6, slug), ...forged, narrative: longWord, vs_snapshot: { [longWord.slice(0, 4096)]: 'x' } },
  { ...scenario(9, slug), vs_snapshot: many, unnamed: many },
  { ...scenario(12, slug), vs_snapshot: special, ...special },
  { ...scenario(15, slug), ...forged },
]

const { scratch, data, file, opened } = await pageWithData(
  (data) => `${writeScenarios(data, slug, envelopes)}\n`,
)

/** Looks for elements that only a sent text could have added, for scripts that ran, and for content wider than the screen. */
const harm = (page: Page) =>
  page.evaluate(() => ({
    foreign: document.querySelectorAll(
      'body script:not(body > script), body style, img, iframe, template, base, [onerror], [onload], a[href^="javascript"]',
    ).length,
    hit: (window as { hit?: unknown }).hit ?? 0,
    wider: Math.max(0, document.documentElement.scrollWidth - window.innerWidth),
  }))

const harmless = { foreign: 0, hit: 0, wider: 0 }

async function view(page: Page, route: string): Promise<void> {
  await go(page, route)
  await page.locator('h1').waitFor()
  await page.waitForFunction(() => !document.body.innerText.includes('Reading'))
}

test('markup, styles, long words and thousands of members are text in every view', async () => {
  await using open = await opened()
  const { page } = open
  const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  const records = envelopes.map((_, at) => `#/r/scn01/${slug}/${at + 1}`)
  for (const route of [
    '#/',
    `#/a/scn01/${slug}`,
    `#/d/scn01/${slug}`,
    `#/p/${slug}/${address}`,
    ...records,
  ]) {
    await view(page, route)
    assert.deepEqual(await harm(page), harmless, route)
  }
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), background)
  await view(page, '#/')
  assert.ok(await page.locator('.verdict').isVisible())
  assert.deepEqual(open.errors, [])
})

test('a text is shown in full: markup as it was sent, 1 MB without a blank, each of 10,000 members', async () => {
  await using open = await opened()
  const { page } = open
  const narrative = page.locator('.box.as-sent > table > tbody > tr', {
    has: page.locator('th', { hasText: /^narrative$/ }),
  })
  await view(page, `#/r/scn01/${slug}/1`)
  assert.equal(await narrative.locator('.sent').textContent(), markup)
  await view(page, `#/r/scn01/${slug}/3`)
  assert.equal(await narrative.locator('.sent').textContent(), longWord)
  await view(page, `#/r/scn01/${slug}/4`)
  const unnamed = page.locator('.box.not-named table table > tbody > tr')
  assert.equal(await unnamed.count(), 10_000)
  assert.equal(await unnamed.last().locator('.sent').textContent(), 'value 9999')
  assert.deepEqual(open.errors, [])
})

test('characters that turn the reading direction or act on a screen are shown as what they are', async () => {
  await using open = await opened()
  const { page } = open
  await view(page, `#/r/scn01/${slug}/2`)
  const shown = await page.locator('main').innerText()
  for (const character of acting) {
    const code = (character.codePointAt(0) as number).toString(16)
    assert.ok(!shown.includes(character), code)
    assert.ok(shown.includes(`\\u{${code}}`), code)
  }
  await view(page, `#/a/scn01/${slug}`)
  const table = await page.locator('main').innerText()
  for (const character of acting)
    assert.ok(!table.includes(character), character.codePointAt(0)?.toString(16))
})

test('names such as constructor are members like any other, and one named __proto__ is shown, too', async () => {
  await using open = await opened()
  await view(open.page, `#/r/scn01/${slug}/5`)
  const names = open.page.locator('.box.not-named > table > tbody > tr > th')
  assert.deepEqual((await names.allInnerTexts()).sort(), Object.keys(special).sort())
  const root = join(scratch, 'proto')
  writeScenarios(root, slug, [{ ...scenario(0, slug), POLLUTED: { verified: 'yes' } }, scenario(3, slug)])
  const path = join(root, 'scn01', slug, 'records.json')
  const lines = linesOf(path).map((line) => line.replace('"POLLUTED"', '"__proto__"'))
  writeFileSync(path, fileOf(rechained(lines)))
  await using other = await file.open()
  assert.equal(await openFolder(other.page, root), 'Not as it was left')
  await view(other.page, `#/r/scn01/${slug}/1`)
  assert.match(
    await other.page.locator('.box.not-named').innerText(),
    /named by no contract, not checked\s+__proto__\s+verified\s+yes/,
  )
  assert.deepEqual(other.errors, [])
})

test('a member that is named after a verdict or a hash stands in the box of its sender, and forges nothing', async () => {
  await using open = await opened()
  const { page } = open
  await view(page, `#/r/scn01/${slug}/6`)
  const said = page.locator('.box.said')
  const line = linesOf(join(data, 'scn01', slug, 'records.json'))[5] as string
  const rows = await said.locator('dl > div').allInnerTexts()
  assert.match(rows[0] as string, new RegExp(`^SHA-256 of the stored line\\s+${sha256(line)}$`))
  assert.doesNotMatch(await said.innerText(), /verified|verdict|Whole|a{64}|b{64}/)
  assert.equal(await page.locator('.box.said, .verdict').count(), 1)
  const theirs = await page.locator('.box.not-named > table > tbody > tr > th').allInnerTexts()
  assert.deepEqual(theirs.sort(), Object.keys(forged).sort())
  // An altered record is still found, whatever it claims about itself.
  const path = join(data, 'scn01', slug, 'records.json')
  const whole = readFileSync(path, 'utf8')
  const root = join(scratch, 'altered')
  writeScenarios(root, slug, envelopes)
  writeFileSync(join(root, 'scn01', slug, 'records.json'), whole.replace('"verified":true', '"verified":1'))
  await using other = await file.open()
  assert.equal(await openFolder(other.page, root), 'Not as it was left')
})
