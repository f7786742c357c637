/** Opens the page with data, for all tests of a file. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after } from 'node:test'
import type { BrowserContextOptions } from 'playwright-core'
import { scratchDir } from '../receiver.ts'
import { writeData } from './data.ts'
import { type Opened, openFolder, PageFile } from './page.ts'

/** `write` fills the data directory and gives its heads. `opened` opens both in the page, which then says that the data is whole. */
export async function pageWithData(write: (data: string) => string = writeData) {
  const scratch = scratchDir()
  const [data, heads] = [join(scratch, 'data'), join(scratch, 'heads.txt')]
  writeFileSync(heads, write(data))
  const file = await PageFile.make()
  after(() => file[Symbol.asyncDispose]())
  const opened = async (options: BrowserContextOptions = {}): Promise<Opened> => {
    const open = await file.open(options)
    await openFolder(open.page, data)
    await open.page.setInputFiles('#open-receipts', heads)
    await open.page.locator('.verdict.whole').waitFor()
    return open
  }
  return { scratch, data, heads, file, opened }
}
