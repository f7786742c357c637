/** Time stamps beside the data, in a real browser: the page says that it did not check them, and shows a command that checks them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Keys, makeKeys, stampFile } from '../authority.ts'
import { scratchDir } from '../receiver.ts'
import { writeData } from './data.ts'
import { openFolder, PageFile } from './page.ts'

const scratch = scratchDir()
const stick = join(scratch, 'stick')
const stamps = join(stick, 'stamps')
let keys: Keys
let file: PageFile

before(async () => {
  mkdirSync(stamps, { recursive: true })
  writeFileSync(join(stamps, 'heads-2026-07-01.txt'), writeData(join(stick, 'data')))
  keys = makeKeys(scratch, 'own')
  await stampFile(keys, join(stamps, 'heads-2026-07-01.txt'), 'own')
  file = await PageFile.make()
})

after(async () => {
  await file?.[Symbol.asyncDispose]()
})

test('stamps beside the data are named as not checked, vouch for nothing, and the command that is shown checks them', async () => {
  await using open = await file.open()
  const { page } = open
  assert.equal(await openFolder(page, stick), 'Cannot be told')
  const shown = page.locator('.stamps')
  assert.match(await shown.innerText(), /^Time stamps: not checked here\s+1 time stamp of heads lies/)
  assert.match(await shown.innerText(), /stick\/stamps\/heads-2026-07-01\.own\.tsr/)
  assert.match(
    await page.locator('.scope').innerText(),
    /1 time stamp beside the data: this page cannot check them, and the tool can/,
  )
  const command = await shown.locator('pre').innerText()
  copyFileSync(keys.root, join(scratch, 'ROOT.pem'))
  const here = command.replace('node audit.cjs', `node ${process.cwd()}/scripts/audit.mjs`)
  const { status, stdout } = spawnSync('sh', ['-c', here], { cwd: scratch, encoding: 'utf8' })
  assert.equal(status, 0, stdout)
  assert.match(stdout, /heads-2026-07-01\.own\.tsr\. Signed under ROOT\.pem/)
  assert.match(stdout, /result\s+WHOLE/)
  assert.deepEqual(open.errors, [])
})

test('a name that a shell would act on is shown as text and is not put into the command', async () => {
  const bad = join(scratch, 'other')
  cpSync(join(stick, 'data'), join(bad, 'data'), { recursive: true })
  const folder = join(bad, '$(touch hit);\u202e<b>')
  mkdirSync(folder)
  copyFileSync(join(stamps, 'heads-2026-07-01.own.tsr'), join(folder, 'heads-1.own.tsr'))
  await using open = await file.open()
  await openFolder(open.page, bad)
  const shown = open.page.locator('.stamps')
  assert.equal(
    await shown.locator('pre').innerText(),
    'node audit.cjs verify --data other/data --stamps STAMPS --authority ROOT.pem',
  )
  assert.equal(await shown.locator('li').innerText(), 'other/$(touch hit);\\u{202e}<b>/heads-1.own.tsr')
})

test('a stamp that is given in the place of its heads is refused with words, and the heads beside it are taken', async () => {
  await using open = await file.open()
  await openFolder(open.page, join(stick, 'data'))
  assert.equal(await open.page.locator('.stamps').count(), 0)
  await open.page.setInputFiles('#open-receipts', join(stamps, 'heads-2026-07-01.own.tsr'))
  assert.match(
    await open.page.getByRole('alert').innerText(),
    /heads-2026-07-01\.own\.tsr belongs to a time stamp, which this page cannot check/,
  )
  await open.page.setInputFiles('#open-receipts', join(stamps, 'heads-2026-07-01.txt'))
  await open.page.locator('.verdict.whole').waitFor()
})
