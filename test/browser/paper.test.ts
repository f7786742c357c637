/**
 * The printed views as the text of a PDF: one record, one address, one association. Each sheet names its source and the verdict, so that a
 * single sheet is enough, and shows every value as it was sent.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { linesOf, sha256 } from '../disk.ts'
import { address, narratives, slug } from './data.ts'
import { go, type Opened } from './page.ts'
import { pageWithData } from './with-data.ts'

const { scratch, data, heads, opened } = await pageWithData()
const records = join(data, 'scn01', slug, 'records.json')

/** Opens a view, presses its button, and gives the pages that a printer would get. */
async function printed({ page }: Opened, route: string, button: string): Promise<string[]> {
  await go(page, route)
  await page.evaluate(() => {
    window.print = () => document.body.setAttribute('data-printed', '')
  })
  await page.getByRole('button', { name: button }).click()
  await page.locator('body[data-printed]').waitFor()
  return pagesOf(page)
}

async function pagesOf(page: Page): Promise<string[]> {
  const pdf = join(scratch, 'print.pdf')
  writeFileSync(pdf, await page.pdf({ preferCSSPageSize: true, displayHeaderFooter: false }))
  return execFileSync('pdftotext', ['-layout', pdf, '-']).toString().split('\f').slice(0, -1)
}

/** The text without blanks, because a long hash continues on the next line of the paper. */
const unbroken = (text: string): string => text.replace(/\s/g, '')

function headed(pages: readonly string[], checked: string): void {
  const [head] = readFileSync(heads, 'utf8').split('\n')
  for (const [index, text] of pages.entries()) {
    for (const expected of [
      `Sourcedata,scn01/${slug}/records.json`,
      `SHA-256ofthefile${sha256(readFileSync(records))}`,
      `Checked${checked},auditor.htmltest`,
      `Head${head}`,
      'VerdictonthisassociationWhole',
    ])
      assert.ok(unbroken(text).includes(expected), `page ${index + 1}: ${expected}\n${text}`)
    assert.match(text, new RegExp(`page ${index + 1} of ${pages.length}`))
  }
}

/** Checks that the paper shows the sent text with its words and its line breaks. The paper is narrow and adds line breaks of its own. */
function verbatim(pages: readonly string[], sent: string): void {
  const word = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const lines = sent.split(/\n+/).map((line) => line.trim().split(/\s+/).map(word).join('\\s+'))
  assert.match(pages.join(''), new RegExp(lines.join('\\s*\\n\\s*')))
}

/** The time of the check as the page shows it. */
async function checkedAt({ page }: Opened): Promise<string> {
  const scope = await page.locator('.scope').innerText()
  return (/\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(scope) as RegExpExecArray)[0]
}

test('one record on paper: its heading on each page, its own hash, and everything that was sent', async () => {
  await using open = await opened()
  const checked = await checkedAt(open)
  const pages = await printed(open, `#/r/scn01/${slug}/1`, 'Print this record')
  headed(pages, checked)
  const line = linesOf(records)[0] as string
  assert.ok(unbroken(pages.join('')).includes(`SHA-256ofthisline${sha256(line)}`))
  verbatim(pages, narratives[0] as string)
  const text = unbroken(pages.join(''))
  for (const [name, value] of Object.entries(JSON.parse(line)))
    assert.ok(text.includes(typeof value === 'string' ? `${name}${unbroken(value)}` : name), name)
  for (const name of ['Print this record', 'The stored line, byte for byte', 'Nothing leaves'])
    assert.ok(!pages.join('').includes(name), name)
})

test("a record that wants to look verified is apart from the page's own words on paper, too", async () => {
  await using open = await opened()
  const text = (await printed(open, `#/r/scn01/${slug}/7`, 'Print this record')).join('\n')
  const said = text.slice(text.indexOf('Said by this page'), text.indexOf('Written by the receiver'))
  assert.doesNotMatch(said, /verified|court|Whole/)
  assert.match(text, /named by no contract, not checked[\s\S]*record_sha256\s+verified by the court/)
})

test('one address on paper: every record with its vital signs as they were, and the state now with its warning', async () => {
  await using open = await opened()
  const checked = await checkedAt(open)
  const pages = await printed(open, `#/p/${slug}/${address}`, 'Print this address')
  assert.ok(pages.length > 1)
  headed(pages, checked)
  for (const page of pages) assert.ok(unbroken(page).includes(`Address${address}`))
  for (const narrative of narratives.slice(0, 2)) verbatim(pages, narrative)
  const whole = pages.join('\n')
  assert.equal(whole.match(/^ *\d{4}-\d\d-\d\d \d\d:\d\d, record \d+$/gm)?.length, 22)
  assert.match(whole, /vs_snapshot \/ ho_monthly_fee\s+310/)
  assert.equal(whole.match(/No history, no protection against change/g)?.length, 2)
})

test('one association on paper: the records that pass the filter, each with everything that was sent', async () => {
  await using open = await opened()
  const checked = await checkedAt(open)
  await go(open.page, `#/a/scn01/${slug}`)
  await open.page.getByLabel('Received to').fill('2026-01-31')
  await open.page.getByText('10 of 64 records').waitFor()
  await open.page.evaluate(() => {
    window.print = () => document.body.setAttribute('data-printed', '')
  })
  await open.page.getByRole('button', { name: 'Print these records' }).click()
  await open.page.locator('body[data-printed]').waitFor()
  const pages = await pagesOf(open.page)
  headed(pages, checked)
  const text = pages.join('\n')
  const lines = linesOf(records)
  assert.deepEqual(
    [...text.matchAll(/^ *Record (\d+)$/gm)].map(([, number]) => Number(number)),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  )
  for (const line of lines.slice(0, 10)) assert.ok(unbroken(text).includes(sha256(line)))
  assert.ok(!unbroken(text).includes(sha256(lines[10] as string)))
  for (const narrative of narratives.slice(0, 3)) verbatim(pages, narrative)
  assert.doesNotMatch(text, /more records/)
})
