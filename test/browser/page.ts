/** Opens the page in a real Chromium, Debian's package, driven over its own protocol. Nothing is downloaded or imitated. */
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { buildPage } from '../../scripts/page/build.ts'
import { isRoot } from '../needs.ts'
import { scratchDir } from '../receiver.ts'

/** The path in Debian; `CHROMIUM` names another one. */
export const chromiumPath = process.env.CHROMIUM ?? '/usr/bin/chromium'
export const hasChromium = existsSync(chromiumPath)

/** The longest wait of a test, enough for a busy machine. */
const patience = 120_000

export type Opened = AsyncDisposable & {
  readonly page: Page
  /** The errors on the console of the page, and its exceptions. */
  readonly errors: readonly string[]
}

export class PageFile implements AsyncDisposable {
  readonly path = join(scratchDir(), 'auditor.html')
  readonly #browser: Browser

  private constructor(html: string, browser: Browser) {
    writeFileSync(this.path, html)
    this.#browser = browser
  }

  static async make(version = 'test'): Promise<PageFile> {
    const { html } = await buildPage({ directory: process.cwd(), version })
    const args = isRoot ? ['--no-sandbox'] : []
    return new PageFile(
      html,
      await chromium.launch({ executablePath: chromiumPath, args, timeout: patience }),
    )
  }

  /** Opens the page by its `file://` address, as a double click does. */
  async open(options: BrowserContextOptions = {}): Promise<Opened> {
    const context = await this.#browser.newContext({ acceptDownloads: true, ...options })
    context.setDefaultTimeout(patience)
    const page = await context.newPage()
    const errors: string[] = []
    page.on('console', (message) => void (message.type() === 'error' && errors.push(message.text())))
    page.on('pageerror', (error) => void errors.push(error.message))
    await page.goto(pathToFileURL(this.path).href)
    return { page, errors, [Symbol.asyncDispose]: () => context.close() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close()
  }
}

/** Chooses a folder and waits for the verdict. */
export async function openFolder(page: Page, folder: string): Promise<string> {
  await page.setInputFiles('#open-folder', folder)
  return verdictOn(page)
}

export async function verdictOn(page: Page): Promise<string> {
  return (await page.locator('#verdict-title').textContent()) ?? ''
}

/** Rules of axe that the page breaks, with the elements that break them. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const found = (await page.evaluate('axe.run()')) as {
    violations: { id: string; nodes: { html: string }[] }[]
  }
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

/** Goes to a view by the part of its address after `#`. */
export async function go(page: Page, route: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash
  }, route)
}

/** A listener on this machine that counts the connections and bytes that reach it. */
export async function listening() {
  const reached = { connections: 0, bytes: 0 }
  const server = createServer((socket) => {
    reached.connections++
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      reached.bytes += bytes.length
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  return { reached, address: `http://127.0.0.1:${port}/`, [Symbol.dispose]: () => void server.close() }
}
