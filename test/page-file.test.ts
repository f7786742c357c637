/** The auditors' page is one small file with the same bytes each time, and its own policy lets it load nothing. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { buildPage } from '../scripts/page/build.ts'
import { headCommit, packed } from './packed.ts'

const source = { directory: process.cwd(), version: 'test' }
let html: string

before(async () => {
  html = (await buildPage(source)).html
})

test('the page is the same, bit by bit, when it is made again, and names nothing of the machine that made it', async () => {
  assert.equal((await buildPage(source)).html, html)
  assert.ok(!html.includes(process.cwd()))
})

test('the page uses no Buffer, which only Node has', () => {
  assert.ok(!/\bBuffer\.(from|alloc|concat|byteLength)/.test(html))
})

test('the page has less than 500 KB', () => {
  assert.ok(Buffer.byteLength(html) < 500_000, String(Buffer.byteLength(html)))
})

test('the policy of the page allows its own program and style by their hashes, and neither loading nor sending', () => {
  const policy = /<meta http-equiv="Content-Security-Policy" content="([^"]*)">/.exec(html)?.[1] ?? ''
  const [script, style] = ['script', 'style'].map((name) => {
    const [, text] = new RegExp(`<${name}>([\\s\\S]*?)</${name}>`).exec(html) as RegExpExecArray
    return createHash('sha256')
      .update(text as string)
      .digest('base64')
  })
  assert.deepEqual(policy.split('; '), [
    "default-src 'none'",
    `script-src 'sha256-${script}'`,
    `style-src 'sha256-${style}'`,
    'worker-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types auditor',
  ])
  assert.ok(html.indexOf('http-equiv') < html.indexOf('<style>'), 'the policy comes before what it is about')
})

test('a release holds the page, which names its version and its commit', async () => {
  const tar = gunzipSync(readFileSync(await packed('0.0.1')))
  assert.ok(tar.includes('civic-orchestrator-0.0.1/auditor.html'))
  assert.ok(tar.includes(`0.0.1 (${headCommit().slice(0, 12)})`))
})
