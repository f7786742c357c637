/** A restore puts back everything or nothing, gives the files to the receiver, and distinguishes "cannot check" from "was altered". */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'
import { runRestore } from '../src/backup/cli.ts'
import { restore } from '../src/backup/restore.ts'
import { pauseCheck } from '../src/server/pause.ts'
import { pausedFile } from '../src/storage/files/paths.ts'
import { dataWith, me, newestIn, recordsAt, signAgain, slug, workplace } from './backup-tools.ts'
import { commandOf } from './bundle.ts'
import { isRoot, lacking } from './needs.ts'
import { audit, said } from './said.ts'

const restoring = await commandOf('scripts/restore.ts')

describe('restore', () => {
  const { key, at, save, check, bring } = workplace()
  const from = at('backups')
  let data: string

  before(async () => {
    data = await dataWith(3, 2)
    assert.equal((await save(data, from)).exit, 0)
  })

  /** Every name with its content, without the receiver's own notes beside the records. */
  function treeOf(directory: string): Record<string, string> {
    const files = readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter(
        (entry) => entry.isFile() && !entry.name.startsWith('.') && !entry.parentPath.endsWith('.restoring'),
      )
      .map((entry) => join(entry.parentPath, entry.name))
    return Object.fromEntries(files.map((path) => [path.slice(directory.length), readFileSync(path, 'utf8')]))
  }

  /** Starts `npm run restore` in a process of its own, under another command. */
  function child(command: readonly string[], target: string, env: Record<string, string> = {}) {
    const [program, ...args] = [...command, ...restoring]
    return spawnSync(program as string, [...args, from, target, '--key', `${key}.pub`, '--owner', me], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    })
  }

  test('makes the data directory anew, and takes its own pause away', async () => {
    assert.equal((await bring(from, at('anew'))).exit, 0)
    assert.deepEqual(readdirSync(at('anew')).sort(), ['scn01', 'vs01'])
  })

  test('never restores over anything', async () => {
    const { exit, err } = await bring(from, data)
    assert.equal(exit, 2)
    assert.match(err, /is not empty, and nothing is ever overwritten/)
    const paused = at('paused')
    mkdirSync(paused)
    writeFileSync(join(paused, '.paused'), 'restoring\n')
    assert.equal((await bring(from, paused)).exit, 0)
    assert.deepEqual(readdirSync(paused).sort(), ['.paused', 'scn01', 'vs01'])
    assert.equal(readFileSync(join(paused, '.paused'), 'utf8'), 'restoring\n', "an operator's pause stays")
    assert.equal(statSync(join(paused, 'scn01', slug)).mode & 0o7777, 0o2750)
    assert.equal(statSync(recordsAt(paused)).mode & 0o7777, 0o640)
    assert.deepEqual(treeOf(paused), treeOf(data))
  })

  test('killed at any change of a name, it leaves a receiver that stores nothing; run again, it ends well', async (t) => {
    if (lacking('strace')) return t.skip('strace is not installed')
    let points = 0
    for (const call of ['rename', 'mkdir', 'unlink', 'rmdir']) {
      for (let n = 1; ; n++) {
        const target = at(`cut-${call}-${n}`)
        mkdirSync(target)
        const calls = `?${call},?${call}at,?${call}at2`
        const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=SIGKILL:when=${n}`]
        const strace = ['strace', '-f', '-qq', '-o', at('trace'), ...inject]
        const { status, stderr } = child(strace, target, { TSX_DISABLE_CACHE: '1' })
        if (status === 0) break
        points++
        const point = `${call} ${n}: ${stderr}`
        if (existsSync(join(target, '.paused'))) await storesNothing(target, point)
        else assert.deepEqual(treeOf(target), existsSync(join(target, 'scn01')) ? treeOf(data) : {}, point)
        const { exit, err } = await bring(from, target)
        if (existsSync(join(target, 'scn01')) && exit === 2) assert.match(err, /is not empty/, point)
        else assert.equal(exit, 0, `${point}: ${err}`)
        assert.deepEqual(treeOf(target), treeOf(data), point)
        assert.deepEqual(
          readdirSync(target).filter((name) => name !== '.restoring'),
          ['scn01', 'vs01'],
          point,
        )
      }
    }
    assert.ok(points >= 10, `only ${points} points were reached`)
  })

  /** Checks that a receiver on this directory would store nothing, by the check that it makes for each request. */
  async function storesNothing(target: string, point: string): Promise<void> {
    assert.match(
      pauseCheck(pausedFile(target))() ?? '',
      /a restore into this directory was not finished/,
      point,
    )
  }

  test('when a post comes while it copies, it leaves none of its own files in place', async () => {
    const target = at('met')
    let posts = 0
    const options = { backup: from, target, publicKey: `${key}.pub`, owner: me }
    const meet = (): void => {
      if (posts++ > 0) return
      mkdirSync(join(target, 'vs01', 'somebody-else'), { recursive: true })
      assert.match(
        readFileSync(join(target, '.paused'), 'utf8'),
        /a restore into this directory was not finished/,
      )
    }
    await assert.rejects(restore({ ...options, onProgress: meet }), /vs01 has appeared meanwhile/)
    assert.deepEqual(readdirSync(target), ['vs01'])
    assert.deepEqual(readdirSync(join(target, 'vs01')), ['somebody-else'])
  })

  test('without ssh-keygen, without room for its files, or as a user without a name, it says that it cannot check', async (t) => {
    const path = at('no-ssh-keygen')
    mkdirSync(path)
    for (const program of ['sync', 'getent'])
      symlinkSync(execFileSync('which', [program], { encoding: 'utf8' }).trim(), join(path, program))
    const without = child([], at('cannot'), { PATH: path })
    assert.equal(without.status, 2, without.stderr)
    assert.match(without.stderr, /the signature cannot be checked: .*ssh-keygen ENOENT/)
    const { TMPDIR } = process.env
    process.env.TMPDIR = at('not-there')
    const room = await bring(from, at('cannot'))
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
    assert.equal(room.exit, 2)
    assert.match(room.err, /the signature cannot be checked: .*ENOENT/)
    assert.ok(!existsSync(at('cannot')))
    if (!isRoot) return t.skip('only root can be a user without a name')
    const script = `import('./src/backup/signature.ts').then(({ verdictOn }) => {
      process.setgid(4242); process.setuid(4242)
      try { console.log(verdictOn(Buffer.from('x'), process.env.SIGNATURE, process.env.KEY, 'civic-orchestrator-backup')) }
      catch (error) { console.log(error.name, error.message) } })`
    const signed = readFileSync(join(newestIn(from), 'manifest'), 'utf8')
    const nameless = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
      encoding: 'utf8',
      env: {
        ...process.env,
        TMPDIR: '/tmp',
        SIGNATURE: signed.slice(signed.indexOf('-----BEGIN')),
        KEY: readFileSync(`${key}.pub`, 'utf8').trim(),
      },
    })
    assert.match(nameless.stdout, /^CannotCheck .*No user exists for uid 4242/, nameless.stderr)
  })

  test('a full temporary directory is no altered backup', async (t) => {
    if (!isRoot) return t.skip('only root can mount one')
    const tmp = at('tmp')
    mkdirSync(tmp)
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k,nr_inodes=3', 'tmpfs', tmp]).status !== 0)
      return t.skip('a tmpfs cannot be mounted here')
    try {
      const full = child([], at('cannot'), { TMPDIR: tmp })
      assert.equal(full.status, 2, full.stderr)
      assert.match(full.stderr, /the signature cannot be checked: .*ENOSPC/)
    } finally {
      execFileSync('umount', [tmp])
    }
  })

  test('as root, it gives the data to the owner of the directory or to the --owner; without either it refuses', async (t) => {
    if (!isRoot) return t.skip('only root can give files away')
    const ownersIn = (directory: string): string[] => [
      ...new Set(
        [
          directory,
          ...readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name))),
        ]
          .map((path) => lstatSync(path))
          .map(({ uid, gid }) => `${uid}:${gid}`),
      ),
    ]
    const plain = (target: string, ...more: string[]) =>
      said(runRestore, from, target, '--key', `${key}.pub`, ...more)
    assert.equal((await plain(at('named'), '--owner', '4242:4343')).exit, 0)
    assert.deepEqual(ownersIn(at('named')), ['4242:4343'])
    mkdirSync(at('theirs'))
    chownSync(at('theirs'), 4242, 4343)
    chmodSync(at('theirs'), 0o2750)
    assert.equal((await plain(at('theirs'))).exit, 0)
    assert.deepEqual(ownersIn(at('theirs')), ['4242:4343'])
    assert.equal((await plain(at('x'), '--owner', 'nobody-of-this-name')).exit, 2)
    assert.ok(!existsSync(at('x')))
    if (spawnSync('getent', ['passwd', 'civic-orchestrator']).status === 0) return
    const { exit, err } = await plain(at('nobodys'))
    assert.equal(exit, 2)
    assert.match(err, /files that belong to root, which the receiver cannot read: .*--owner USER:GROUP/)
    assert.ok(!existsSync(at('nobodys')))
  })

  test('as root, it writes nothing through links that the owner of the directory made', async (t) => {
    if (!isRoot) return t.skip('only root writes where others can')
    const outside = at('outside')
    mkdirSync(outside)
    writeFileSync(join(outside, 'precious'), 'precious')
    for (const [name, to] of [
      ['.restoring', outside],
      ['.paused', join(outside, 'precious')],
      ['.paused', join(outside, 'new')],
    ] as const) {
      const target = at('planted')
      mkdirSync(target)
      chownSync(target, 4242, 4242)
      symlinkSync(to, join(target, name))
      await said(runRestore, from, target, '--key', `${key}.pub`)
      assert.deepEqual(readdirSync(outside), ['precious'], name)
      assert.equal(readFileSync(join(outside, 'precious'), 'utf8'), 'precious')
      assert.equal(statSync(join(outside, 'precious')).uid, process.geteuid?.())
      rmSync(target, { recursive: true })
    }
  })

  test('prints no text of the manifest without making it printable', async () => {
    signAgain(newestIn(from), key, (text) =>
      text.replace(
        '"not_held": [',
        '"not_held": [{"association":"a\\u001b]52;c;eA==\\u0007","kind":"kept","what":"\\u001b[2J"}',
      ),
    )
    const { exit, out, err } = await check(from)
    assert.equal(exit, 0, err)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    assert.doesNotMatch(out + err, /[\u0000-\u0009\u000b-\u001f]/)
    assert.match(out, /\\u\{1b\}\[2J/)
    signAgain(newestIn(from), key, (text) =>
      text.replace(/"complete_until": "[^"]*"/, '"complete_until": "\\u001b[2J"'),
    )
    assert.match((await check(from)).err, /has a manifest that this program does not know/)
  })

  test('verify calls the restored directory whole', async () => {
    await save(data, at('again'))
    assert.equal((await bring(at('again'), at('whole'))).exit, 0)
    const { exit, out } = await audit('verify', '--data', at('whole'))
    assert.equal(exit, 0, out)
    assert.ok(existsSync(join(dirname(recordsAt(at('whole'))), '.records.head.json')))
  })
})
