/** The commands of OPERATORS.md that send the backups off the machine and bring them back, with a real restic. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { dataWith, fileAt, recordsAt, store, workplace } from './backup-tools.ts'
import { commandOf } from './bundle.ts'
import { isRoot, lacking } from './needs.ts'
import { scn01 } from './receiver.ts'

const backing = (await commandOf('scripts/backup.ts')).join(' ')

/** The five lines of OPERATORS.md, with the paths, the repository and the backup of this test. */
function guided(names: Readonly<Record<string, string>>): readonly string[] {
  const text = readFileSync('deploy/OPERATORS.md', 'utf8')
  const found = /^ {4}\(umask 077[\s\S]*?(?=\n\n)/m.exec(text)?.[0]
  assert.ok(found, 'OPERATORS.md has no block for restic')
  return Object.entries(names)
    .reduce((block, [name, here]) => {
      assert.ok(block.includes(name), name)
      return block.replaceAll(name, here)
    }, found)
    .split('\n')
    .map((line) => line.trim())
}

test('backups sent away and brought back hold what the last run had, and restore checks them as it does the ones at home', {
  skip: lacking('restic') ? 'restic is not installed' : false,
}, async () => {
  const { key, at, bring, check } = workplace()
  const data = await dataWith(2, 1)
  const [kept, returned] = [at('kept'), at('returned')]
  mkdirSync(kept, { mode: 0o700 })
  const [password, settings, init, send, fetch] = guided({
    'sftp:backup@elsewhere:civic': at('elsewhere'),
    '/etc/civic-orchestrator/restic': at('password'),
    'systemctl start civic-orchestrator-backup': `${backing} ${kept} --data ${data} --key ${key}`,
    '/var/backups/civic-orchestrator': kept,
    '/root/returned': returned,
  }) as [string, string, string, string, string]
  const run = (line: string): void => {
    const env = { ...process.env, XDG_CACHE_HOME: at('cache') }
    execFileSync('sh', ['-e', '-c', `${settings}\n${line}`], { env, stdio: 'pipe' })
  }
  run(password)
  assert.equal(statSync(at('password')).mode & 0o777, 0o600)
  run(init)
  run(send)
  await store(data, scn01({ narrative: 'after the first backup' }))
  run(send)
  const [records, replaced] = [readFileSync(recordsAt(data)), readFileSync(fileAt(data, 1))]
  rmSync(data, { recursive: true })
  rmSync(kept, { recursive: true })

  run(fetch)
  const from = join(returned, kept)
  // on the new machine the user of the backup has another number
  if (isRoot) execFileSync('chown', ['-R', '65534:65534', returned])
  assert.equal((await check(from)).exit, 0)
  assert.equal((await bring(from, at('new'))).exit, 0)
  assert.deepEqual(readFileSync(recordsAt(at('new'))), records)
  assert.deepEqual(readFileSync(fileAt(at('new'), 1)), replaced)
})
