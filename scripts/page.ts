/** `npm run page`: makes the auditors' page, one file to open in a browser. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildPage } from './page/build.ts'

const { values } = parseArgs({ options: { out: { type: 'string', default: 'dist/auditor.html' } } })
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
const { html } = await buildPage({ directory: process.cwd(), version })
const path = resolve(values.out)
mkdirSync(dirname(path), { recursive: true })
writeFileSync(path, html)
const sha256 = createHash('sha256').update(html).digest('hex')
console.log(`${path}\n  version  ${version}\n  bytes    ${Buffer.byteLength(html)}\n  sha256   ${sha256}`)
