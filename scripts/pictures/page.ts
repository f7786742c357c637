/** Takes pictures of the page with the sample, view by view, in a real browser. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { go, openFolder, PageFile } from '../../test/browser/page.ts'

const association = 'scn01/heron-ridge-condominium'
const record = 12
const screen = { width: 1000, height: 680 }

type Shot = (name: string) => Promise<void>

/** `root` is the sample, `to` the directory for the pictures. */
export async function picturesOfPage(root: string, to: string, alter: () => void): Promise<void> {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  await using file = await PageFile.make(version)
  {
    await using open = await file.open({ viewport: screen, colorScheme: 'light' })
    await pictureViews(open.page, root, shotOf(open.page, to))
  }
  alter()
  await using open = await file.open({ viewport: screen, colorScheme: 'light' })
  await openFolder(open.page, join(root, 'data'))
  await shotOf(open.page, to)('page-altered')
}

/** Takes a picture after moving the pointer away, so that nothing looks selected. */
function shotOf(page: Page, to: string): Shot {
  return async (name) => {
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur())
    const path = join(to, `${name}.png`)
    await page.screenshot({ path })
    console.log(`${path}: ${readFileSync(path).length} bytes`)
  }
}

async function pictureViews(page: Page, root: string, shot: Shot): Promise<void> {
  await openFolder(page, join(root, 'data'))
  await page.setInputFiles('#open-receipts', [
    join(root, 'heads-2026-07-01.txt'),
    join(root, 'receipts.jsonl'),
  ])
  await page.locator('.verdict.whole').waitFor()
  await shot('page-whole')
  await go(page, `#/a/${association}`)
  await page.getByRole('link', { name: '12', exact: true }).waitFor()
  await shot('page-association')
  await go(page, `#/r/${association}/${record}`)
  await page.locator('.box.said').waitFor()
  await shot('page-record')
  await page.getByRole('link', { name: 'This address over time' }).click()
  await page.locator('.timeline').waitFor()
  await shot('page-address')
  await go(page, `#/d/${association}`)
  await page.getByLabel('From (this day counts)').fill('2025-03-01')
  await page.getByLabel('To (this day counts)').fill('2025-05-31')
  await page.getByText(/records between the two/).waitFor()
  await page.locator('tbody tr:nth-child(2) th a').waitFor()
  await shot('page-dates')
}
