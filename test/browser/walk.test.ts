/**
 * Five questions of an auditor, answered from the first screen on only by what a person can see and press, without a typed address or a
 * terminal. Each answer is compared with the records themselves, and each question takes few steps. The time is printed and not judged,
 * because this machine may be busy.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { chainIn } from '../disk.ts'
import { scratchDir } from '../receiver.ts'
import { type Opened, PageFile } from './page.ts'

const slug = 'heron-ridge-condominium'
/** With more steps nobody would have the answer within a minute. */
const mostSteps = 7

type Scenario = {
  readonly participant_id: string
  readonly narrative: string
  readonly g1_tx_hash: string | null
  readonly vs_snapshot: Readonly<Record<string, string>>
  readonly receipt: { readonly sequence: number; readonly received_at: string }
}

const scratch = scratchDir()
const sample = join(scratch, 'sample')
let file: PageFile
let records: readonly Scenario[]

before(async () => {
  await promisify(execFile)(process.execPath, ['--import', 'tsx', 'scripts/sample.ts', sample])
  const path = join(sample, 'data/scn01', slug, 'records.json')
  records = chainIn(readFileSync(path)).records as unknown as Scenario[]
  file = await PageFile.make()
})

after(async () => {
  await file?.[Symbol.asyncDispose]()
})

/** Counts the steps of a person, and prints how long each step took until its result was visible. */
class Walk {
  readonly #test: TestContext
  readonly page: Page
  #steps = 0

  constructor(test: TestContext, { page }: Opened) {
    this.#test = test
    this.page = page
  }

  async step(what: string, act: () => Promise<unknown>): Promise<void> {
    const began = performance.now()
    await act()
    this.#steps++
    this.#test.diagnostic(`${this.#steps}. ${what}: ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }

  end(): void {
    assert.ok(this.#steps <= mostSteps, `${this.#steps} steps`)
  }
}

/** The first two steps of every question except the first one. */
async function toAssociation(walk: Walk): Promise<void> {
  const { page } = walk
  await walk.step('choose the folder', async () => {
    await page.setInputFiles('#open-folder', join(sample, 'data'))
    await page.locator('#verdict-title').waitFor()
  })
  await walk.step('open the association', async () => {
    await page.getByRole('link', { name: slug }).click()
    await page.getByText(`${records.length} records`, { exact: true }).last().waitFor()
  })
}

const of = (address: string): Scenario[] => records.filter(({ participant_id }) => participant_id === address)

/** The vital signs that differ between the first and the last Scenario. */
function changes(theirs: readonly Scenario[]): string[] {
  const [first, last] = [theirs[0] as Scenario, theirs.at(-1) as Scenario]
  return Object.keys({ ...first.vs_snapshot, ...last.vs_snapshot }).filter(
    (name) => first.vs_snapshot[name] !== last.vs_snapshot[name],
  )
}

/** The Placekey of an address whose vital signs changed. */
function moved(): string {
  const found = records.find(({ participant_id }) => changes(of(participant_id)).length > 0)
  assert.ok(found, 'the sample has such an address')
  return found.participant_id
}

test('1. is this copy whole?', async (t) => {
  await using open = await file.open()
  const walk = new Walk(t, open)
  const { page } = walk
  await walk.step('choose the folder', async () => {
    await page.setInputFiles('#open-folder', join(sample, 'data'))
    await page.locator('#verdict-title').waitFor()
  })
  assert.match(await page.locator('.verdict').innerText(), /^Cannot be told/)
  await walk.step('give the heads and receipts that others kept', async () => {
    const kept = ['heads-2026-07-01.txt', 'receipts.jsonl'].map((name) => join(sample, name))
    await page.setInputFiles('#open-receipts', kept)
    await page.locator('.verdict.whole').waitFor()
  })
  assert.match(await page.locator('.verdict').innerText(), /^Whole\s+210 records are there as acknowledged/)
  walk.end()
})

test('2. what did this address say, and what were its vital signs then?', async (t) => {
  await using open = await file.open()
  const walk = new Walk(t, open)
  const { page } = walk
  const address = moved()
  const theirs = of(address)
  await toAssociation(walk)
  await walk.step('choose the address', async () => {
    await page.getByLabel('Address (Placekey)').selectOption(address)
    await page.getByText(`${theirs.length} of ${records.length} records`).waitFor()
  })
  await walk.step('open it', async () => {
    await page.getByRole('link', { name: address }).first().click()
    await page.getByRole('heading', { name: `What this address said: ${theirs.length} records` }).waitFor()
  })
  for (const [at, { narrative, vs_snapshot }] of theirs.entries()) {
    const moment = page.locator('.timeline > li').nth(at)
    assert.equal(await moment.locator('.sent').first().textContent(), narrative)
    const signs = await moment.locator('.members').innerText()
    for (const [name, value] of Object.entries(vs_snapshot))
      assert.ok(
        signs.replace(/\s+/g, ' ').includes(`vs_snapshot / ${name} ${value}`.replace(/\s+/g, ' ').trim()),
        name,
      )
  }
  const told = (await page.locator('.compare tr.changed th').allInnerTexts()).filter((name) =>
    name.startsWith('vs_snapshot'),
  )
  assert.deepEqual(
    told,
    changes(theirs).map((name) => `vs_snapshot / ${name}`),
  )
  assert.equal(await page.getByText('No history, no protection against change.').count(), 2)
  walk.end()
})

test('3. which records carry a payment?', async (t) => {
  await using open = await file.open()
  const walk = new Walk(t, open)
  const { page } = walk
  const paid = records.filter(({ g1_tx_hash }) => g1_tx_hash !== null)
  await toAssociation(walk)
  await walk.step('choose those with a payment', async () => {
    await page.getByLabel('Payment').selectOption('named')
    await page.getByText(`${paid.length} of ${records.length} records`).waitFor()
  })
  const numbers = page.locator('.records tbody th a')
  await numbers.nth(paid.length - 1).waitFor()
  assert.deepEqual(
    await numbers.allInnerTexts(),
    paid.map(({ receipt }) => String(receipt.sequence)),
  )
  walk.end()
})

test('4. what changed between two dates?', async (t) => {
  await using open = await file.open()
  const walk = new Walk(t, open)
  const { page } = walk
  const [from, to] = ['2025-03-01', '2025-05-31']
  const day = ({ receipt }: Scenario): string => receipt.received_at.slice(0, 10)
  const between = records.filter((record) => day(record) >= from && day(record) <= to)
  const paid = between.filter(({ g1_tx_hash }) => g1_tx_hash !== null)
  await toAssociation(walk)
  await walk.step('open the two dates', () => page.getByRole('link', { name: 'Compare two dates' }).click())
  await page.getByText(`${records.length} records between the two`).waitFor()
  await walk.step('fill in the first', () => page.getByLabel('From (this day counts)').fill(from))
  await walk.step('fill in the second', async () => {
    await page.getByLabel('To (this day counts)').fill(to)
    await page.getByText(`${between.length} records between the two`).waitFor()
  })
  const before = records.filter((record) => day(record) < from).length
  const after = records.length - before - between.length
  await page.getByText(`${paid.length} of them with a payment; ${before} before, ${after} after.`).waitFor()
  await page
    .locator('.records tbody th a')
    .nth(between.length - 1)
    .waitFor()
  assert.deepEqual(
    await page.locator('.records tbody th a').allInnerTexts(),
    between.map(({ receipt }) => String(receipt.sequence)),
  )
  walk.end()
})

test('5. print it', async (t) => {
  await using open = await file.open()
  const walk = new Walk(t, open)
  const { page } = walk
  const record = records[11] as Scenario
  await toAssociation(walk)
  await walk.step('open the record', async () => {
    await page.getByRole('link', { name: '12', exact: true }).click()
    await page.locator('.box.said').waitFor()
  })
  await page.evaluate(() => {
    window.print = () => document.body.setAttribute('data-printed', '')
  })
  await walk.step('press its button', async () => {
    await page.getByRole('button', { name: 'Print this record' }).click()
    await page.locator('body[data-printed]').waitFor()
  })
  const pdf = join(scratch, 'record.pdf')
  writeFileSync(pdf, await page.pdf({ preferCSSPageSize: true, displayHeaderFooter: false }))
  const text = execFileSync('pdftotext', ['-layout', pdf, '-']).toString().replace(/\s/g, '')
  assert.ok(text.includes(record.narrative.replace(/\s/g, '')))
  assert.match(text, /page1of/)
  walk.end()
})
