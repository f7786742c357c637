/** No submission waits for ever in silence: a spool that cannot be used, or that holds foreign files, is reported as a problem in words. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from './bound.ts'
import {
  hubzilla,
  loopback,
  noteOf,
  php,
  place,
  type Site,
  type Status,
  scn,
  skip,
  store,
  text,
  vs,
} from './hubzilla-site.ts'
import { isRoot, lacking } from './needs.ts'

const asRoot = skip || (isRoot ? false : 'it needs root, to be two users')
const nobody = 65534

/** Runs the client as another user, who can read the token and the code. */
async function as<T>(site: Site, user: number, command: string[], ...lines: unknown[]): Promise<T[]> {
  const drive = join(site.dir, 'deploy-copy', 'test/fixtures/hubzilla/drive.php')
  const child = site.program(
    'setpriv',
    ...[`--reuid=${user}`, `--regid=${user}`, '--clear-groups', php, drive, ...command],
  )
  const out = text(child.stdout)
  child.stdin.end(lines.map((line) => JSON.stringify(line)).join('\n'))
  await new Promise((resolve) => child.once('close', resolve))
  assert.equal(child.exitCode, 0, site.log.join(''))
  return (await out).split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as T]))
}

/** A site whose spool belongs to the user nobody, as Hubzilla's belongs to www-data, with code that this user can read. */
function ofNobody(t: TestContext): Site {
  const site = place(t)
  for (const folder of ['deploy/hubzilla', 'test/fixtures/hubzilla']) {
    mkdirSync(join(site.dir, 'deploy-copy', folder), { recursive: true })
    execFileSync('cp', ['-r', `${folder}/.`, join(site.dir, 'deploy-copy', folder)])
  }
  execFileSync('chmod', ['-R', 'a+rX', join(site.dir, 'deploy-copy'), join(site.dir, 'token')])
  chmodSync(site.dir, 0o755)
  chownSync(site.spool, nobody, nobody)
  return site
}

test("root's cron posts nothing from the spool of another user, leaves nothing in it, and says so", {
  skip: asRoot,
}, async (t) => {
  const site = ofNobody(t)
  site.at(await freePort())
  const [kept] = await as<{ kept: boolean }>(site, nobody, ['submit'], scn('x'))
  assert.equal(kept?.kept, true)
  const before = readdirSync(site.spool).sort()
  const [status] = await site.say<Status>(['run', 'force'])
  assert.match(
    status!.problem,
    /belongs to nobody and this runs as root: only its owner works in it\. Run Hubzilla's cron as the user of the web server/,
  )
  assert.deepEqual(readdirSync(site.spool).sort(), before)
  assert.match(site.log.join(''), /the spool: .*belongs to nobody/)
})

test('root does not make a spool that the web server could not use', { skip: asRoot }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  rmSync(site.spool, { recursive: true })
  const [answer] = await site.submit(scn('x'))
  assert.deepEqual([answer?.result, answer?.kept], ['not_reached', false])
  assert.match((await site.status()).problem, /root does not make it.*install -d -m 0700 -o HUBZILLAS_USER/)
  assert.equal(existsSync(site.spool), false)
})

test('locks and directories that root made are reported, with the command that corrects them', {
  skip: asRoot,
}, async (t) => {
  const site = ofNobody(t)
  await site.start()
  for (let n = 0; n < 256; n++)
    writeFileSync(join(site.spool, `lock-${n.toString(16).padStart(2, '0')}`), '', { mode: 0o644 })
  writeFileSync(join(site.spool, 'lock-run'), '', { mode: 0o644 })
  const [run] = await as<Status>(site, nobody, ['run', 'force'])
  assert.match(
    run!.problem,
    /lock-run is not a regular file of nobody .* run as root: chown -R nobody: \/tmp\//,
  )
  const [direct] = await as<{ result: string }>(site, nobody, ['submit'], vs('posted all the same'))
  assert.equal(direct?.result, 'stored')
  assert.equal(noteOf(site), 'posted all the same')
  execFileSync('chown', ['-R', 'nobody:', site.spool])
  assert.equal((await as<Status>(site, nobody, ['run']))[0]?.problem, '', 'the command has mended it')
})

test('when refused/ belongs to another user, a refused submission stays in the spool, is reported as kept, and is shown', {
  skip: asRoot,
}, async (t) => {
  const site = ofNobody(t)
  await site.start()
  mkdirSync(join(site.spool, 'refused'), { mode: 0o700 })
  const [answer] = await as<{ result: string; kept: boolean }>(
    site,
    nobody,
    ['submit'],
    vs('x', { standing: 'none' }),
  )
  assert.deepEqual([answer?.result, answer?.kept], ['refused', true])
  const [status] = await as<Status>(site, nobody, ['status'])
  assert.match(status!.problem, /refused is not a directory of nobody\. Run as root: chown -R nobody: /)
  assert.deepEqual([status!.waiting, status!.waits[0]?.cause], [1, 'refused'])
  execFileSync('chown', ['-R', 'nobody:', site.spool])
  const [mended] = await as<Status>(site, nobody, ['run', 'force'])
  assert.deepEqual([mended!.waiting, mended!.refused_count, mended!.problem], [0, 1, ''])
})

test('when flock fails at once, this is reported and not mistaken for a held lock', {
  skip: skip || (lacking('strace') ? 'strace is not installed' : false),
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(vs('waits'))
  const [program, ...args] = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=flock']
  const inject = ['-e', 'inject=flock:error=ENOLCK', php, 'drive.php', 'run', 'force']
  const child = site.program(
    program!,
    ...args,
    ...inject.map((word) =>
      word === 'drive.php' ? join(process.cwd(), 'test/fixtures/hubzilla/drive.php') : word,
    ),
  )
  const out = text(child.stdout)
  child.stdin.end()
  const { waiting, problem } = JSON.parse(await out) as Status
  assert.equal(waiting, 1)
  assert.match(problem, /cannot be locked: is it on a network file system.*util\/config civic_receiver spool/)
})

test('files dated in the future are a problem in words, and are posted', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(scn('x'))
  const [name] = site.waiting()
  const later = `${Number(name!.slice(0, 16)) + 86_400_000_000}${name!.slice(16)}`
  renameSync(join(site.spool, name!), join(site.spool, later))
  assert.match(
    (await site.status()).problem,
    /1 submissions are dated in the future, because the clock was set back/,
  )
  await site.start()
  const status = await site.run()
  assert.deepEqual([status.waiting, status.problem], [0, ''])
  assert.equal(site.records().length, 1)
})

test('a FIFO, a link and a file of somebody else in the spool are neither opened nor posted, and are named', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await freePort())
  await site.submit(scn('honest'))
  const [name] = site.waiting()
  const planted = (n: number) => `${Number(name!.slice(0, 16)) + n}${name!.slice(16)}`
  const secret = join(site.dir, 'secret')
  writeFileSync(secret, JSON.stringify(scn('a secret of somebody')))
  execFileSync('mkfifo', [join(site.spool, planted(1))])
  symlinkSync(secret, join(site.spool, planted(2)))
  mkdirSync(join(site.spool, planted(3)))
  for (const [n, file] of ['lock-run', 'breaker', `refused/${planted(4)}`].entries()) {
    rmSync(join(site.spool, file), { force: true })
    if (n === 0) symlinkSync(secret, join(site.spool, file))
    else execFileSync('mkfifo', [join(site.spool, file)])
  }
  const strange = await site.status()
  for (const file of [planted(1), planted(2), planted(3), 'breaker', 'lock-run'])
    assert.ok(strange.problem.includes(file), file)
  assert.equal(strange.waiting, 1)
  await site.start()
  await site.cron()
  rmSync(join(site.spool, 'lock-run'))
  const status = await site.run()
  assert.equal(status.waiting, 0)
  assert.deepEqual(
    site.records().map(({ narrative }) => narrative),
    ['honest'],
  )
  assert.match(readFileSync(secret, 'utf8'), /a secret of somebody/)
})

test('a link in the place of refused/ or receipts/ is not followed', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const elsewhere = join(site.dir, 'elsewhere')
  mkdirSync(elsewhere)
  for (const name of ['refused', 'receipts', 'forms']) symlinkSync(elsewhere, join(site.spool, name))
  assert.equal((await site.submit(scn('x')))[0]?.result, 'stored')
  const [refused] = await site.submit({ ...scn('y'), standing: 'none' })
  assert.deepEqual([refused?.result, refused?.kept], ['refused', true])
  assert.deepEqual(readdirSync(elsewhere), [])
  for (const name of ['refused', 'receipts', 'forms'])
    assert.match((await site.status()).problem, new RegExp(`${name} is not a directory of`))
})

test('a file of another site is not posted, and is said to be there', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  site.env = { CIVIC_SITE: 'one.example' }
  await site.submit(vs('of one'))
  await site.start()
  site.env = { CIVIC_SITE: 'two.example' }
  const status = await site.run()
  assert.equal(status.waiting, 0)
  assert.match(status.problem, /1 submissions of another site lie in .*Give each site a spool of its own/)
  assert.equal((await site.submit(vs('of two')))[0]?.result, 'stored')
  site.env = { CIVIC_SITE: 'one.example' }
  assert.equal((await site.run()).waiting, 0)
  assert.equal(noteOf(site), 'of one')
})

test('the state of a spool of any size fits into the memory of PHP, and the newest fifty are shown', {
  skip,
}, async (t) => {
  const site = place(t)
  site.at(await loopback(t, (_q, body, r) => store(r, body)))
  await site.status()
  const siteName = '00000000'
  const own = execFileSync(php, ['-r', 'echo substr(hash("sha256", ""), 0, 8);'], { encoding: 'utf8' })
  const name = (n: number) =>
    `${1_700_000_000_000_000 + n}.${own}-${siteName}-c${n.toString(16).padStart(32, '0')}.json`
  for (const [folder, most] of [
    ['', 60_000],
    ['refused', 15_000],
  ] as const) {
    const first = join(site.spool, folder, name(0))
    writeFileSync(first, JSON.stringify(scn('x')))
    for (let n = 1; n < most; n++) linkSync(first, join(site.spool, folder, name(n)))
  }
  const [program, args] = [
    php,
    ['-d', 'memory_limit=16M', join(process.cwd(), 'test/fixtures/hubzilla/drive.php')],
  ]
  const child = site.program(program, ...args, 'status')
  const out = text(child.stdout)
  const status = JSON.parse(await out) as Status
  assert.deepEqual([status.waiting, status.refused_count], [60_000, 15_000])
  assert.deepEqual([status.waits.length, Object.keys(status.refused).length], [50, 50])
  assert.equal(`${status.waits[0]?.reference}.json`, name(59_999))
  const posting = site.program(program, ...args, 'submit')
  const answer = text(posting.stdout)
  posting.stdin.end(JSON.stringify(vs('y')))
  assert.equal(JSON.parse(await answer).result, 'stored')
})

test('the spool is not used where others could read it', { skip }, async (t) => {
  const site = place(t)
  site.at(await freePort())
  const inside = join(site.dir, 'home/web/store/[data]/spool')
  mkdirSync(inside, { recursive: true })
  site.spool = inside
  site.env = hubzilla(site)
  assert.match((await site.status()).problem, /inside the web root/)
  assert.equal((await site.submit(vs('x')))[0]?.kept, false)
  site.spool = 'store/spool'
  site.env = hubzilla(site)
  assert.match((await site.status()).problem, /not absolute/)

  site.spool = ''
  site.env = {}
  assert.equal((await site.submit(vs('x')))[0]?.kept, false)

  site.spool = join(site.dir, 'odd [name] *')
  mkdirSync(site.spool, { mode: 0o755 })
  site.env = hubzilla(site)
  assert.equal((await site.submit(vs('x')))[0]?.kept, true)
  assert.equal((await site.status()).waiting, 1)
  assert.equal(statSync(site.spool).mode & 0o777, 0o700)
})

test('on a full disk a submission is stored if the receiver answers; otherwise the caller learns that it is kept nowhere', {
  skip,
}, async (t) => {
  const mount = mkdtempSync(join(tmpdir(), 'civic-full-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount]).status === 0
  t.after(() => {
    if (mounted) spawnSync('umount', [mount])
    rmSync(mount, { recursive: true, force: true })
  })
  if (!mounted) return t.skip('no right to mount a tmpfs')
  const spool = join(mount, 'spool')
  mkdirSync(spool, { mode: 0o700 })
  const site = place(t, spool)
  site.at(await freePort())
  await site.submit(vs('old'))
  spawnSync('dd', ['if=/dev/zero', `of=${join(mount, 'ballast')}`, 'bs=1k', 'count=1000'])

  const [nowhere] = await site.submit(vs('n'.repeat(10_000)))
  assert.deepEqual([nowhere?.result, nowhere?.kept], ['not_reached', false])
  assert.match(site.log.join(''), /neither stored nor kept/)
  const torn = readdirSync(site.spool).filter((name) => name.startsWith('.new'))
  assert.deepEqual(torn, [], 'no torn file is left')
  assert.equal(site.waiting().length, 1, 'the older one still waits')

  await site.start()
  const [stored] = await site.submit(vs('n'.repeat(10_000)))
  assert.equal(stored?.result, 'stored')
  assert.deepEqual(site.waiting(), [], 'and is dropped once a newer one is stored')

  const [refused] = await site.submit(vs('n'.repeat(10_000), { standing: 'x' }))
  assert.deepEqual([refused?.result, refused?.kept], ['refused', false])
  rmSync(join(mount, 'ballast'))
  assert.equal((await site.submit(vs('room again')))[0]?.result, 'stored')
})
