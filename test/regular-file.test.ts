/** Opening a name where somebody else may have put anything: only a regular file is read; the code never waits for or follows anything else. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { NotRegular, openRegular, readRegularSync, TooLong } from '../src/storage/files/regular-file.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'

describe('a regular file', () => {
  const root = scratchDir()
  const at = (name: string): string => join(root, name)
  const both = async (path: string): Promise<Error[]> => {
    const errors: unknown[] = [await openRegular(path).catch((error) => error)]
    try {
      readRegularSync(path, 100)
    } catch (error) {
      errors.push(error)
    }
    assert.equal(errors.length, 2)
    return errors as Error[]
  }

  test('is opened and read, up to its end and not beyond the limit', async () => {
    writeFileSync(at('file'), 'twelve bytes')
    const file = await openRegular(at('file'))
    assert.equal(await file.readFile('utf8'), 'twelve bytes')
    await file.close()
    assert.equal(readRegularSync(at('file'), 12).toString(), 'twelve bytes')
    assert.throws(() => readRegularSync(at('file'), 11), TooLong)
    writeFileSync(at('empty'), '')
    assert.equal(readRegularSync(at('empty'), 0).length, 0)
  })

  test('is read to its end when the reported size is too small', () => {
    // Files of /proc report a size of 0, as a file can that grows while it is read.
    assert.match(readRegularSync('/proc/self/status', 100_000).toString(), /Uid:/)
    assert.throws(() => readRegularSync('/proc/self/status', 20), TooLong)
  })

  test('is neither a FIFO, nor a link, nor a device behind one, nor a directory, nor a socket', async () => {
    execFileSync('mkfifo', [at('fifo')])
    symlinkSync('/dev/zero', at('zero'))
    writeFileSync(at('target'), 'text')
    symlinkSync(at('target'), at('link'))
    symlinkSync(at('nowhere'), at('dangling'))
    mkdirSync(at('directory'))
    const server = createServer().listen(at('socket'))
    const kinds: [string, string][] = [
      [at('fifo'), 'a special file'],
      ['/dev/zero', 'a special file'],
      [at('zero'), 'a symbolic link'],
      [at('link'), 'a symbolic link'],
      [at('dangling'), 'a symbolic link'],
      [at('directory'), 'a directory'],
      [at('socket'), 'a special file'],
    ]
    for (const [path, kind] of kinds) {
      for (const error of await both(path)) {
        assert.ok(error instanceof NotRegular, `${path}: ${error}`)
        assert.equal(error.kind, kind, path)
      }
    }
    server.close()
    for (const error of await both(at('absent')))
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT')
  })

  test("keeps the auditor's commands from waiting for a FIFO in the place of a records file", async () => {
    const data = scratchDir()
    mkdirSync(join(data, 'scn01/heron-ridge'), { recursive: true })
    execFileSync('mkfifo', [join(data, 'scn01/heron-ridge/records.json')])
    const commands: [exit: number, ...args: string[]][] = [
      [1, 'list'],
      [1, 'list', 'heron-ridge'],
      [2, 'snapshot', 'heron-ridge'],
      [1, 'heads'],
      [1, 'export', '--csv'],
    ]
    for (const [exit, ...args] of commands) {
      const told = await audit(...args, '--data', data)
      assert.equal(told.exit, exit, args.join(' '))
      assert.match(told.err, /records\.json(:| is) a special file/, args.join(' '))
    }
    const { err } = await audit('snapshot', 'heron-ridge', '--data', data)
    assert.match(err, /a special file, not a regular file; it was not read/)
  })
})
