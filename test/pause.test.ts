/** Whatever stands at the name `.paused`, the receiver is closed, goes on answering, and says why. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pauseCheck } from '../src/server/pause.ts'
import { type Receiver, scratchDir, startReceiver, vs01 } from './receiver.ts'

const inNewDirectory = (): string => join(scratchDir(), '.paused')

/** The largest resident memory so far, in MB. */
function mostMemory({ process: { pid } }: Receiver): number {
  const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(found?.[1]) / 1024
}

function reasonOf(text: string): string | undefined {
  const path = inNewDirectory()
  writeFileSync(path, text)
  return pauseCheck(path)()
}

test('the reason is the first line, without control characters, and not longer than 200 characters', () => {
  assert.equal(pauseCheck(inNewDirectory())(), undefined)
  assert.equal(reasonOf('moving\thouse\nback at ten\n'), 'moving house')
  for (const none of ['', '\n', ' \n text', '\0\0']) assert.equal(reasonOf(none), 'no reason was given')
  assert.equal(reasonOf('x'.repeat(200)), 'x'.repeat(200))
  assert.equal(reasonOf('x'.repeat(5_000)), 'x'.repeat(200))
})

test('a reason is cut between characters, never inside one', () => {
  assert.equal(reasonOf(`a${'😀'.repeat(300)}`), `a${'😀'.repeat(199)}`)
  assert.ok(reasonOf(`   ${'😀'.repeat(300)}`)?.isWellFormed())
})

test('an unreadable .paused closes the receiver: a dangling link, a link to itself, a directory', () => {
  const [dangling, loop, directory] = [inNewDirectory(), inNewDirectory(), inNewDirectory()]
  symlinkSync('not-there', dangling)
  symlinkSync('.paused', loop)
  mkdirSync(directory)
  for (const path of [dangling, loop, directory])
    assert.equal(pauseCheck(path)(), 'the pause file cannot be read')
})

test('the receiver looks for the file once in each turn of the event loop', async () => {
  const path = inNewDirectory()
  const reason = pauseCheck(path)
  assert.equal(reason(), undefined)
  writeFileSync(path, 'now')
  assert.equal(reason(), undefined)
  await nextTurn()
  await nextTurn()
  assert.equal(reason(), 'now')
})

test('a device without end and a FIFO that nobody writes to stop neither the receiver nor its answers', async () => {
  const receiver = await startReceiver()
  const path = join(receiver.dataDir, '.paused')
  const refusal = async (): Promise<string> => {
    const response = await receiver.post(vs01())
    assert.equal(response.status, 503)
    return ((await response.json()) as { detail: string }).detail
  }
  assert.equal((await receiver.post(vs01())).status, 201)
  const before = mostMemory(receiver)
  symlinkSync('/dev/zero', path)
  assert.match(await refusal(), /no reason was given/)
  assert.ok(mostMemory(receiver) - before < 64, 'only its beginning was read')
  execFileSync('rm', [path])
  execFileSync('mkfifo', [path])
  assert.match(await refusal(), /no reason was given/)
  execFileSync('rm', [path])
  assert.equal((await receiver.post(vs01())).status, 200)
  await receiver.stop()
})

test('the pause file is closed after each look', async () => {
  const path = inNewDirectory()
  writeFileSync(path, 'a move')
  const reason = pauseCheck(path)
  const openNow = (): number => readdirSync('/proc/self/fd').length
  const before = openNow()
  for (let looks = 0; looks < 50; looks++) {
    assert.equal(reason(), 'a move')
    await nextTurn()
    await nextTurn()
  }
  assert.ok(openNow() < before + 10, `${openNow()} after ${before}`)
})
