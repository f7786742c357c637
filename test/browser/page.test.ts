/**
 * auditor.html in a real browser, opened by its `file://` address as a double click does: what a person opens, sees, prints and saves.
 * (test/audit-page-engine.test.ts proves for every damaged directory that the page has the findings of `verify`.)
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { chainIn } from '../disk.ts'
import { audit } from '../said.ts'
import { variants, wholeDirectory } from '../variants.ts'
import { address, scenario, slug, writeScenarios } from './data.ts'
import { accessibilityFaults, go, listening, openFolder, verdictOn } from './page.ts'
import { pageWithData } from './with-data.ts'

const { scratch, data, heads, file, opened } = await pageWithData()
const records = join(data, 'scn01', slug, 'records.json')

async function drop(page: Page, onto: string, path: string): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await page.locator(onto).scrollIntoViewIfNeeded()
  const box = await page.locator(onto).boundingBox()
  assert.ok(box)
  const dragged = { items: [], files: [path], dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x: box.x + 50, y: box.y + 20, data: dragged })
}

test('an untouched copy: cannot be told without a head from outside, and whole with one', async () => {
  await using open = await file.open()
  assert.equal(await openFolder(open.page, data), 'Cannot be told')
  assert.match(
    await open.page.locator('.verdict').innerText(),
    /no receipt and no head from outside was given/,
  )
  await open.page.setInputFiles('#open-receipts', heads)
  await open.page.locator('.verdict.whole').waitFor()
  assert.match(
    await open.page.locator('.verdict').innerText(),
    /^Whole\s+76 records are there as acknowledged/,
  )
  assert.deepEqual(open.errors, [])
})

test('heads are dropped onto their field', async () => {
  await using open = await file.open()
  const { page } = open
  await openFolder(page, data)
  await drop(page, '.receipts', heads)
  await page.locator('.verdict.whole').waitFor()
})

test('heads that are typed in are compared, and a text that is no head is reported in words', async () => {
  await using open = await file.open()
  await openFolder(open.page, data)
  await open.page.fill('#typed-receipts', 'hello')
  await open.page.getByRole('button', { name: 'Compare with these' }).click()
  assert.match(
    await open.page.getByRole('alert').innerText(),
    /typed in line 1: expected ADDON\/SLUG:SEQUENCE:SHA256/,
  )
  // The text is copied from a post, with the words around the heads.
  const post = `heron wrote:\nHeads of today: ${readFileSync(heads, 'utf8').trim().split('\n').join(', ')}. 2 comments`
  await open.page.fill('#typed-receipts', post)
  await open.page.getByRole('button', { name: 'Compare with these' }).click()
  await open.page.locator('.verdict.whole').waitFor()
})

test('an altered record is named in the first sentence, by a word, a sign and a colour', async () => {
  const root = join(scratch, 'altered')
  mkdirSync(root)
  variants.find(({ name }) => name === 'a word changed in a record')?.tamper(wholeDirectory(root))
  await using open = await file.open()
  assert.equal(await openFolder(open.page, root), 'Not as it was left')
  assert.match(
    await open.page.locator('.verdict').innerText(),
    /In scn01\/plum-grove-21, record 3 was altered/,
  )
  assert.equal(await open.page.locator('.verdict.altered svg').count(), 1)
})

test('a folder is dropped, and a zip and single files are chosen: the same answer', async () => {
  await using open = await file.open()
  const { page } = open
  await drop(page, '.drop', data)
  assert.equal(await verdictOn(page), 'Cannot be told')
  assert.match(await page.locator('.scope').innerText(), /2 associations, 76 records/)
  execFileSync('zip', ['-qr', 'data.zip', 'data'], { cwd: scratch })
  await page.getByRole('button', { name: 'Open something else' }).click()
  await page.setInputFiles('#open-files', join(scratch, 'data.zip'))
  assert.equal(await verdictOn(page), 'Cannot be told')
  assert.match(await page.locator('.scope').innerText(), /2 associations, 76 records/)
  await page.getByRole('button', { name: 'Open something else' }).click()
  await page.setInputFiles('#open-files', [records, join(data, 'scn01', slug, '.records.head.json')])
  assert.equal(await verdictOn(page), 'Cannot be told')
  assert.match(await page.locator('.scope').innerText(), /1 association, 64 records/)
})

test('what is dropped onto the page is not opened by the browser in the place of the page', async () => {
  await using open = await file.open()
  const isTaken = (selector: string, type: string): Promise<boolean> =>
    open.page
      .locator(selector)
      .evaluate((element, name) => !element.dispatchEvent(new DragEvent(name, { cancelable: true })), type)
  for (const type of ['dragover', 'drop']) assert.equal(await isTaken('.drop', type), true, type)
  await openFolder(open.page, data)
  for (const type of ['dragover', 'drop']) assert.equal(await isTaken('.receipts', type), true, type)
})

test('a file that is removed while it is read is reported in words, and not as an alteration', async () => {
  const copy = join(scratch, 'copy')
  cpSync(data, copy, { recursive: true })
  await using open = await file.open()
  await openFolder(open.page, copy)
  rmSync(join(copy, 'scn01', slug, 'records.json'))
  await go(open.page, `#/a/scn01/${slug}`)
  assert.equal(
    await open.page.getByRole('alert').innerText(),
    'A file was changed or taken away since it was opened. Open it again.',
  )
})

test('the table is searched and filtered, scrolled to its end, and saved as the very CSV of the tool', async () => {
  await using open = await opened()
  const { page } = open
  await go(page, `#/a/scn01/${slug}`)
  await page.getByText('64 records', { exact: true }).last().waitFor()
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save this table (CSV)' }).click(),
  ])
  const { out } = await audit('export', '--csv', slug, '--data', data)
  assert.equal(readFileSync(await download.path(), 'utf8'), out)
  await page.locator('.scroll').evaluate((box) => {
    box.scrollTop = box.scrollHeight
  })
  await page.getByRole('link', { name: '64', exact: true }).waitFor()
  await page.getByLabel('Search in everything that was sent').fill('“NO PAYMENT method”')
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByText('16 of 64 records').waitFor()
  await page.getByLabel('Standing').selectOption('public')
  await page.getByText(/^[56] of 64 records/).waitFor()
})

test('each filter shows the records with the chosen value', async () => {
  const all = chainIn(readFileSync(records)).records as unknown as Record<string, string & string[]>[]
  await using open = await opened()
  const { page } = open
  await go(page, `#/a/scn01/${slug}`)
  const until = (name: string, day: string) => (record: (typeof all)[number]) =>
    (record[name] as string).slice(0, 10) <= day
  const filters: [string, string, (record: (typeof all)[number]) => boolean][] = [
    ['Address (Placekey)', address, (record) => record.participant_id === address],
    ['Scenario', 'DSC-02-S01', (record) => record.pinned_scenario_ids?.includes('DSC-02-S01') === true],
    ['Standing', 'professional', (record) => record.standing === 'professional'],
    ['Payment', 'none', (record) => record.g1_tx_hash === null],
    ['Submitted to', '2026-03-05', until('submitted_at', '2026-03-05')],
    ['Submitted from', '2026-03-06', (record) => !until('submitted_at', '2026-03-05')(record)],
  ]
  for (const [label, value, isMeant] of filters) {
    const field = page.getByLabel(label, { exact: true })
    if (/^Submitted/.test(label)) await field.fill(value)
    else await field.selectOption(value)
    const count = all.filter(isMeant).length
    assert.ok(count > 0 && count < all.length, label)
    await page.getByText(`${count} of ${all.length} records`, { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Show all' }).click()
    await page.getByText(`${all.length} records`, { exact: true }).last().waitFor()
  }
})

test('a filter belongs to its association: the next one shows all its records', async () => {
  await using open = await opened()
  const { page } = open
  await go(page, `#/a/scn01/${slug}`)
  await page.getByLabel('Standing').selectOption('public')
  await page.getByText('21 of 64 records', { exact: true }).waitFor()
  await go(page, '#/a/scn01/plum-grove-21')
  await page.getByText('12 records', { exact: true }).last().waitFor()
  assert.equal(await page.getByLabel('Standing').inputValue(), '')
})

test('more addresses than a list holds are suggested while one is typed in', async () => {
  const root = join(scratch, 'many')
  const letters = '23456789bcdf'
  const participant = (index: number): string =>
    `2${letters[Math.floor(index / 12)]}${letters[index % 12]}@5sb-8hm-54v`
  writeScenarios(
    root,
    'many',
    Array.from({ length: 101 }, (_, index) => ({
      ...scenario(index, 'many'),
      participant_id: participant(index),
    })),
  )
  await using open = await file.open()
  await openFolder(open.page, root)
  await go(open.page, '#/a/scn01/many')
  const field = open.page.getByLabel('Address (Placekey)', { exact: true })
  await field.waitFor()
  assert.equal(await field.evaluate((element) => (element as HTMLInputElement).list?.options.length), 101)
  await field.fill(participant(100))
  await open.page.getByText('1 of 101 records', { exact: true }).waitFor()
})

test('two records of an address stand side by side: how many vital signs are different', async () => {
  await using open = await opened()
  const { page } = open
  await go(page, `#/p/${slug}/${address}`)
  const compared = page.locator('section', { has: page.locator('#compare-title') })
  await compared.getByText('3 of 3 vital signs are different.', { exact: true }).waitFor()
  assert.deepEqual(
    await compared.locator('tr', { hasText: 'ho_monthly_fee' }).locator('td').allInnerTexts(),
    ['310', '385', 'changed'],
  )
  await compared.getByLabel('Compared with').selectOption('0')
  await compared.getByText('No vital sign is different.', { exact: true }).waitFor()
})

test('a record with a payment names the comment that a wallet may put into the transfer', async () => {
  await using open = await opened()
  const { page } = open
  const said = page.locator('.box.said')
  await go(page, `#/r/scn01/${slug}/2`)
  const { out } = await audit('g1', slug, '--sequence', '2', '--data', data)
  const comment = /scn01:[0-9a-f]{64}/.exec(out)?.[0]
  assert.ok(comment, out)
  await said.getByText(comment, { exact: true }).waitFor()
  await go(page, `#/r/scn01/${slug}/1`)
  await page.getByRole('heading', { name: 'Record 1', exact: false }).first().waitFor()
  assert.doesNotMatch(await said.innerText(), /scn01:|Comment that a wallet/)
})

test('an address with more records than its view shows: all are counted, and the view says where the others are', async () => {
  const root = join(scratch, 'talkative')
  writeScenarios(
    root,
    'talkative',
    Array.from({ length: 502 }, (_, index) => ({
      ...scenario(index, 'talkative'),
      participant_id: address,
    })),
  )
  await using open = await file.open()
  await openFolder(open.page, root)
  await go(open.page, `#/p/talkative/${address}`)
  await open.page.getByRole('heading', { name: 'What this address said: 502 records' }).waitFor()
  await open.page.getByText(/^Only the first 500 of them are here/).waitFor()
})

test('a report is saved as JSON: verdict, findings, what it was compared with, what was not checked', async () => {
  await using open = await opened()
  const [download] = await Promise.all([
    open.page.waitForEvent('download'),
    open.page.getByRole('button', { name: 'Save the report (JSON)' }).click(),
  ])
  const report = JSON.parse(readFileSync(await download.path(), 'utf8'))
  assert.deepEqual([report.verdict, report.findings, report.source], ['whole', [], 'data'])
  assert.deepEqual(report.heads, readFileSync(heads, 'utf8').trim().split('\n'))
  assert.deepEqual(report.compared_with, [{ name: 'heads.txt', count: 2 }])
  assert.ok(report.not_checked.length > 0 && report.cannot_be_checked.length > 0)
})

test("a sent text is shown verbatim and cannot look like the page's own words", async () => {
  await using open = await opened()
  const { page } = open
  await go(page, `#/r/scn01/${slug}/7`)
  const unnamed = page.locator('.box.not-named')
  assert.match(
    await unnamed.innerText(),
    /named by no contract, not checked\s+verified\s+true[\s\S]*verdict\s+Whole/,
  )
  assert.doesNotMatch(await page.locator('.box.said').innerText(), /court|Whole/)
  await go(page, `#/r/scn01/${slug}/4`)
  const shown = page.locator('.box.as-sent .sent', { hasText: 'Read this' })
  assert.equal(
    await shown.textContent(),
    'Read this: \\u{202e}gnihton\\u{7} <script>alert(1)</script><img src=x onerror=alert(1)>',
  )
  assert.equal(await page.locator('main script, main img, main style').count(), 0)
  assert.deepEqual(open.errors, [])
})

test('every view keeps the rules of axe, in light and dark, on a phone and at 200 %, and is never wider than the screen', async () => {
  const routes = [
    '#/',
    `#/a/scn01/${slug}`,
    `#/r/scn01/${slug}/7`,
    `#/p/${slug}/${address}`,
    `#/d/scn01/${slug}`,
  ]
  const screens = [
    { colorScheme: 'light', viewport: { width: 1280, height: 900 } },
    { colorScheme: 'dark', viewport: { width: 390, height: 800 } },
    // This is a screen of 1280 pixels at 200 %.
    { colorScheme: 'light', viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 },
  ] as const
  for (const screen of screens) {
    await using start = await file.open(screen)
    assert.deepEqual(await accessibilityFaults(start.page), [])
    await using open = await opened(screen)
    for (const route of routes) {
      await go(open.page, route)
      await open.page.locator('h1').waitFor()
      await open.page.waitForFunction(() => !document.body.innerText.includes('Reading'))
      assert.deepEqual(await accessibilityFaults(open.page), [], `${route} ${JSON.stringify(screen)}`)
      const over = await open.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
      assert.ok(over <= 0, `${route} is ${over} pixels wider than ${screen.viewport.width}`)
    }
  }
})

test('the whole page is walked with the keyboard', async () => {
  await using open = await file.open()
  const { page } = open
  const focused = (): Promise<string> =>
    page.evaluate(() => document.activeElement?.textContent?.trim() ?? '')
  // The driver needs a while before it notices a chooser, so the test asks long before it presses the key.
  const chooser = page.waitForEvent('filechooser')
  const seen: string[] = []
  for (let step = 0; step < 3; step++) {
    await page.keyboard.press('Tab')
    seen.push(await focused())
  }
  assert.deepEqual(seen, ['To the content', 'Choose a folder', 'Choose files or a zip'])
  await page.keyboard.press('Enter')
  await (await chooser).setFiles(records)
  assert.equal(await verdictOn(page), 'Cannot be told')
  assert.equal(await focused(), 'Cannot be told', 'the reader begins at the answer')
  /** Presses Tab until the wanted element has the focus, and checks that the focus is visible at each stop. */
  const tabTo = async (wanted: string): Promise<void> => {
    for (let step = 0; step < 80; step++) {
      await page.keyboard.press('Tab')
      const outline = await page.evaluate(
        () => getComputedStyle(document.activeElement as Element).outlineStyle,
      )
      assert.notEqual(
        outline,
        'none',
        await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 300)),
      )
      if ((await focused()) === wanted) return
    }
    assert.fail(`${wanted} is not reached`)
  }
  await tabTo(slug)
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: '1', exact: true }).waitFor()
  assert.match(await focused(), new RegExp(`^${slug}`), 'the reader begins at the heading')
  await tabTo('1')
  await page.keyboard.press('Enter')
  await page.locator('.box.said').waitFor()
  await tabTo('Print this record')
  await tabTo('The stored line, byte for byte')
  await page.keyboard.press('Enter')
  await page.locator('details[open] pre').waitFor()
})

/** Tries to reach an address in every way that loads or sends, and gives the verdict of the policy on each. */
const attempts = async (address: string): Promise<string[]> => {
  const refused: string[] = []
  const all = new Promise<void>((done) => {
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
      if (refused.push(effectiveDirective) === 5) done()
    })
  })
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: address })
  document.head.append(link)
  new Image().src = address
  navigator.sendBeacon(address, 'x')
  void fetch(address).catch(() => {})
  try {
    new WebSocket(address.replace('http', 'ws'))
  } catch {}
  await all
  return refused
}

/** Tries to navigate by a frame and by a form. The policy refuses both. */
const navigations = async (address: string): Promise<string[]> => {
  const refused: string[] = []
  const both = new Promise<void>((done) => {
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
      if (refused.push(effectiveDirective) === 2) done()
    })
  })
  document.body.append(Object.assign(document.createElement('iframe'), { src: address }))
  const form = Object.assign(document.createElement('form'), { action: address, method: 'post' })
  document.body.append(form)
  form.submit()
  await both
  return refused
}

test('nothing is loaded and nothing is sent, whatever is tried; and no link leads out of the page', async () => {
  using listener = await listening()
  await using open = await opened()
  const { page } = open
  for (const route of ['#/', `#/a/scn01/${slug}`, `#/r/scn01/${slug}/4`, `#/p/${slug}/${address}`]) {
    await go(page, route)
    await page.locator('h1').waitFor()
    assert.equal(await page.locator('a:not([href^="#/"]), form[action], iframe').count(), 0, route)
  }
  const innerHtml = await page.evaluate(() => {
    try {
      document.body.innerHTML = '<p>'
      return 'taken'
    } catch {
      return 'refused'
    }
  })
  assert.equal(innerHtml, 'refused')
  const refused = await page.evaluate(attempts, listener.address)
  assert.deepEqual(refused.sort(), ['connect-src', 'connect-src', 'connect-src', 'img-src', 'style-src-elem'])
  assert.deepEqual(listener.reached, { connections: 0, bytes: 0 })
  // Before a navigation Chromium opens a connection before it asks the policy, but sends nothing on it.
  const navigated = await page.evaluate(navigations, listener.address)
  assert.deepEqual(navigated.sort(), ['form-action', 'frame-src'])
  assert.equal(listener.reached.bytes, 0)
})
