/** Makes a host with two small releases: 0.0.2 is in service, and 0.0.1 is the one before. Of the archives 0.0.3 starts, and 0.0.4 does not. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Host, makeHost, makePublisher, type Publisher } from './host.ts'

export type SmallHost = {
  readonly host: Host
  readonly publisher: Publisher
  /** The path of an archive. There is also a 0.0.2-rc.1. */
  archive(version: string): string
  /** The path of a release on the host. */
  release(version: string): string
  inService(version: string): Promise<void>
  /** Makes a pull that must end with 1 and say this, while 0.0.2 stays in service. Gives its output. */
  refused(args: readonly string[], says: RegExp, env?: Record<string, string>): Promise<string>
  /** Whether a post gets its receipt. */
  answers(): Promise<boolean>
  close(): Promise<void>
}

export async function makeSmallHost(): Promise<SmallHost> {
  const publisher = makePublisher()
  const host = await makeHost(publisher.signers)
  const archives = new Map<string, string>()
  for (const version of ['0.0.1', '0.0.2-rc.1', '0.0.2', '0.0.3'])
    archives.set(version, publisher.small(version))
  archives.set('0.0.4', publisher.small('0.0.4', 'process.exit(78)\n'))
  const archive = (version: string): string => archives.get(version) as string
  const inService = async (version: string): Promise<void> => {
    const { code, output } = await host.run('pull', ['--older', archive(version)])
    assert.equal(code, 0, output)
    assert.equal(host.current(), version)
  }
  await inService('0.0.1')
  await inService('0.0.2')
  return {
    host,
    publisher,
    archive,
    release: (version) => join(host.root, 'releases', version),
    inService,
    async refused(args, says, env = {}) {
      const { code, output } = await host.run('pull', args, { env })
      assert.equal(code, 1, output)
      assert.match(output, says)
      assert.equal(host.current(), '0.0.2')
      return output
    },
    answers: async () => (await fetch(host.url, { method: 'POST' })).status === 201,
    async close() {
      await host.close()
      rmSync(publisher.directory, { recursive: true })
    },
  }
}
