/** Files in the place of a token's file: a reload accepts none of them, the old token stays in force, and the receiver goes on. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { scrape } from './prometheus.ts'
import { scratchDir, startReceiver, token, vs01 } from './receiver.ts'

const other = 'another-token-'.padEnd(40, 'o')

/** Each function puts something at the path that is no token. */
const kinds: Readonly<Record<string, (path: string) => void>> = {
  'no file': () => {},
  'an empty file': (path) => writeFileSync(path, ''),
  'a line feed': (path) => writeFileSync(path, '\n'),
  'a short token': (path) => writeFileSync(path, other.slice(0, 31)),
  'a token with a second line': (path) => writeFileSync(path, `${other}\n${other}\n`),
  'a token with a NUL': (path) => writeFileSync(path, `${other}\0`),
  'a token in UTF-16': (path) => writeFileSync(path, other, 'utf16le'),
  'a token behind a byte order mark': (path) => writeFileSync(path, `\u{FEFF}${other}`),
  'a file of 9,000 bytes': (path) => writeFileSync(path, 'abcdefghi'.repeat(1_000)),
  'a directory': (path) => mkdirSync(path),
  'a FIFO': (path) => execFileSync('mkfifo', [path]),
  'a device without an end': (path) => symlinkSync('/dev/zero', path),
  'a link that leads nowhere': (path) => symlinkSync(`${path}-nowhere`, path),
  'a socket': (path) => createServer().listen(path).unref(),
}

test('the old token stays in force, whatever stands in the place of the file at a reload', async () => {
  const path = join(scratchDir(), 'token')
  writeFileSync(path, token)
  const receiver = await startReceiver({ METRICS: '1', NODE_TOKEN: '', NODE_TOKEN_FILE: path })
  const reload = async (areRefused: number): Promise<void> => {
    receiver.process.kill('SIGHUP')
    while ((await scrape(receiver.url)).get('civic_tokens_refused') !== areRefused);
  }
  for (const [kind, put] of Object.entries(kinds)) {
    rmSync(path, { recursive: true, force: true })
    put(path)
    await reload(1)
    assert.ok((await receiver.post(vs01())).ok, kind)
    assert.equal((await receiver.post(vs01(), { 'x-node-token': other })).status, 401, kind)
    rmSync(path, { recursive: true, force: true })
    writeFileSync(path, token)
    await reload(0)
  }
  writeFileSync(path, `${other}\r\n`)
  receiver.process.kill('SIGHUP')
  while (!(await receiver.post(vs01(), { 'x-node-token': other })).ok);
  assert.equal((await receiver.post(vs01())).status, 401)
  assert.doesNotMatch(receiver.output(), /another-token|test-token/)
  assert.equal(await receiver.stop(), 0)
})
