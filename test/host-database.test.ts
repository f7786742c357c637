/** deploy/database on a host without systemd, with a PostgreSQL that the test starts. */
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type HostInService, makeHostInService } from './deploy/host.ts'
import { type Server, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'

describe('deploy/database', { skip: withoutServer }, () => {
  let host: HostInService
  let server: Server

  before(async () => {
    server = await preparedServer()
    host = await makeHostInService()
  })
  after(async () => {
    await host?.close()
    await server?.stop()
  })

  const settings = (): string => readFileSync(join(host.root, 'etc/env_file'), 'utf8')
  const recordsStored = async () =>
    (await server.sql('SELECT count(*)::int AS count FROM civic.record'))[0]?.count

  test('an argument that is no URL is refused, not repeated, and changes nothing', async () => {
    const before = settings()
    for (const url of [
      '/var/lib/secret',
      'postgres://a:sec"ret@b/c',
      'postgres://a:sec\nret@b/c',
      'mysql://secret@b/c',
    ]) {
      const { code, output } = await host.run('database', [url])
      assert.equal(code, 1, output)
      assert.match(output, /this is no URL of a database/)
      assert.doesNotMatch(output, /sec|ret@/)
    }
    assert.equal((await host.run('database')).code, 2)
    assert.equal(settings(), before)
  })

  test('without a standby the receiver is not ready, and it is said why', async () => {
    const { code, output } = await host.run('database', [server.url()], { env: { CIVIC_READY_SECONDS: '5' } })
    assert.equal(code, 1, output)
    assert.match(
      output,
      /the receiver is not ready.*synchronous_standby_names is empty, and REQUIRE_STANDBY is set/,
    )
    assert.match(settings(), new RegExp(`^DATABASE_URL=${server.url()}\\nREQUIRE_STANDBY=1$`, 'm'))
  })

  test('with REQUIRE_STANDBY=0 records go into the database; run again, it changes nothing', async () => {
    const token = host.token()
    appendFileSync(join(host.root, 'etc/env_file'), 'REQUIRE_STANDBY=0\n')
    const first = await host.run('database', [server.url()])
    assert.equal(first.code, 0, first.output)
    assert.match(first.output, /the receiver is ready, on the database/)
    assert.equal(await host.post(token), 201)
    assert.equal(await recordsStored(), 1)
    const before = settings()
    const again = await host.run('database', [server.url()])
    assert.equal(again.code, 0, again.output)
    assert.equal(settings(), before)
    assert.match(before, /^# a comment stays$/m)
    assert.equal(before.match(/^DATABASE_URL=/gm)?.length, 1)
  })

  test('while there are records in files it refuses, and the receiver goes on with them', async () => {
    const other = await makeHostInService()
    try {
      assert.equal(await other.post(other.token()), 201)
      const { code, output } = await other.run('database', [server.url()])
      assert.equal(code, 1, output)
      assert.match(output, /there are records in .*database\.cjs import/)
      assert.equal(await other.post(other.token()), 201)
      assert.equal(await recordsStored(), 1)
    } finally {
      await other.close()
    }
  })
})
