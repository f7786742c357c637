/** What deploy/pull refuses: versions that do not agree, older versions, copies that were damaged on the host. */
import assert from 'node:assert/strict'
import { appendFileSync, copyFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { sign } from '../src/backup/signature.ts'
import { repack } from './deploy/host.ts'
import { makeSmallHost, type SmallHost } from './deploy/small-host.ts'
import { scratchDir } from './receiver.ts'

describe('pull', () => {
  let small: SmallHost

  before(async () => {
    small = await makeSmallHost()
  })
  after(() => small.close())

  test('an archive whose name, directory and VERSION are not of one version is refused', async () => {
    const replayed = join(scratchDir(), 'civic-orchestrator-0.0.9.tar.gz')
    copyFileSync(small.archive('0.0.1'), replayed)
    sign(replayed, small.publisher.key, 'civic-orchestrator-release')
    await small.refused([replayed], /is not a release of version 0\.0\.9/)
    repack(replayed, (directory) => {
      renameSync(directory, join(directory, '../civic-orchestrator-0.0.9'))
      symlinkSync('civic-orchestrator-0.0.9', directory)
    })
    sign(replayed, small.publisher.key, 'civic-orchestrator-release')
    await small.refused([replayed], /is not a release of version 0\.0\.9/)
    const named = join(scratchDir(), 'latest.tar.gz')
    copyFileSync(small.archive('0.0.3'), named)
    await small.refused([named], /the name of an archive is civic-orchestrator-<version>\.tar\.gz/)
    const saysOther = join(scratchDir(), basename(small.archive('0.0.3')))
    copyFileSync(small.archive('0.0.3'), saysOther)
    repack(saysOther, (directory) => writeFileSync(join(directory, 'VERSION'), `0.0.8 ${'0'.repeat(40)}\n`))
    sign(saysOther, small.publisher.key, 'civic-orchestrator-release')
    await small.refused([saysOther], /the name says version 0\.0\.3, the file VERSION in it says: 0\.0\.8/)
  })

  test('a release older than the one in service needs --older; a rollback does not', async () => {
    for (const version of ['0.0.1', '0.0.2-rc.1'])
      await small.refused(
        [small.archive(version)],
        new RegExp(`${version} is older than 0\\.0\\.2, which is in service`),
      )
    await small.inService('0.0.1')
    const back = await small.host.run('pull', ['rollback'])
    assert.equal(back.code, 0, back.output)
    assert.equal(small.host.current(), '0.0.2')
    assert.equal((await small.host.run('pull', ['rollback', '0.0.1'])).code, 0)
    assert.equal((await small.host.run('pull', [small.archive('0.0.2')])).code, 0)
  })

  test('a copy that was damaged, or has no sums, is replaced, in service or not; a rollback takes neither', async () => {
    const withoutSums = (version: string): void => rmSync(join(small.release(version), 'SHA256SUMS'))
    const altered = (version: string): void => appendFileSync(join(small.release(version), 'server.cjs'), ' ')
    for (const [version, damage] of [
      ['0.0.2', altered],
      ['0.0.1', withoutSums],
    ] as const) {
      damage(version)
      if (version === '0.0.1')
        await small.refused(['rollback', version], /a file of 0\.0\.1 is not as its SHA256SUMS has it/)
      const { code, output } = await small.host.run('pull', ['--older', small.archive(version)])
      assert.equal(code, 0, output)
      assert.match(output, /altered, or is not whole: it is replaced/)
    }
    await small.inService('0.0.2')
    await small.refused(['rollback', '9.9.9'], /no such release/)
    assert.ok(await small.answers())
  })
})
