/** deploy/witness with authorities that the tests make, over HTTP: which files it keeps, and what it reports when an authority fails. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { build as esbuild } from 'esbuild'
import { association, build } from './audit-build.ts'
import {
  type Authority,
  type Behaviour,
  type Keys,
  makeKeys,
  startAuthority,
  withoutAuthority,
} from './authority.ts'
import { scratchDir } from './receiver.ts'

const options = withoutAuthority === undefined ? {} : { skip: `needs ${withoutAuthority}` }
const scratch = scratchDir()
let [own, other, expired]: (Keys | undefined)[] = []

/** Makes the files as in a release: the script in deploy/, and the auditor's tool beside it as one file. */
before(async () => {
  if (withoutAuthority !== undefined) return
  const outfile = join(scratch, 'audit.cjs')
  const how = { bundle: true, platform: 'node', target: 'node20', format: 'cjs' } as const
  await esbuild({ entryPoints: ['scripts/audit.ts'], outfile, ...how })
  mkdirSync(join(scratch, 'deploy'))
  for (const name of ['witness', 'common.sh']) cpSync(join('deploy', name), join(scratch, 'deploy', name))
  own = makeKeys(scratch, 'own')
  other = makeKeys(scratch, 'other')
  expired = makeKeys(scratch, 'expired', '20250101000000Z')
})

type Host = {
  readonly data: string
  readonly stamps: string
  readonly settings: string
  /** The names in the directory of stamps, with numbers instead of times: `heads-1.txt` is the oldest. */
  kept(): string[]
  run(env?: Record<string, string>): Promise<{ readonly exit: number; readonly said: string }>
}

/** Makes a data directory with one association, and a directory of stamps. */
function host(...lines: readonly string[]): Host {
  const root = scratchDir()
  const [data, stamps, etc] = ['data', 'stamps', 'etc'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ]
  for (const directory of [data, stamps, etc]) mkdirSync(directory)
  build(data, 3)
  const settings = join(etc, 'witness')
  writeFileSync(settings, `# authorities\n\n${lines.map((line) => `${line}\n`).join('')}`)
  const env = { ...process.env, DATA_DIR: data, CIVIC_STAMPS: stamps, CIVIC_ETC: etc }
  return {
    data,
    stamps,
    settings,
    kept() {
      const names = readdirSync(stamps).sort()
      const times = [...new Set(names.flatMap((name) => /^heads-(\w+)/.exec(name)?.[1] ?? []))]
      return names.map((name) => name.replace(/\d{8}T\d{9}Z/, (time) => String(times.indexOf(time) + 1)))
    },
    run: (more = {}) =>
      new Promise((done) => {
        execFile(
          join(scratch, 'deploy/witness'),
          { env: { ...env, JOURNAL_STREAM: '', ...more } },
          (error, out, err) => {
            done({ exit: Number(error?.code ?? 0), said: out + err })
          },
        )
      }),
  }
}

const line = (name: string, { url }: Authority, keys = own): string => `${name} ${url} ${keys?.root}`
const one = ['heads-1.own.pem', 'heads-1.own.tsr', 'heads-1.txt']

/** Makes a host whose settings name one authority. It has the keys that the test trusts. */
async function witnessed(): Promise<Host & { readonly authority: Authority }> {
  const authority = await startAuthority(own as Keys)
  return { ...host(line('own', authority)), authority }
}

/** Makes the same association with more records, as if they had come in the meantime. */
function grow(data: string, count: number): void {
  rmSync(join(data, 'scn01'), { recursive: true })
  build(data, count)
}

test(
  'a stamp of the heads is kept with its certificates, and openssl alone can check it',
  options,
  async () => {
    const { run, kept, stamps } = await witnessed()
    const { exit, said } = await run()
    assert.equal(exit, 0, said)
    assert.match(said, /own: heads-\d{8}T\d{9}Z\.txt is stamped, [A-Z][a-z]{2} .* GMT/)
    assert.deepEqual(kept(), one)
    const [, stamp, heads] = readdirSync(stamps)
      .sort()
      .map((name) => join(stamps, name)) as [string, string, string]
    assert.match(readFileSync(heads, 'utf8'), /^scn01\/plum-grove-21:3:[0-9a-f]{64}\n$/)
    for (const file of [own?.root as string, heads.replace('.txt', '.own.pem')])
      execFileSync('openssl', ['ts', '-verify', '-data', heads, '-in', stamp, '-CAfile', file], {
        stdio: 'ignore',
      })
  },
)

test('without a new record nothing is sent, and a new record causes one request', options, async () => {
  const { authority, run, kept, data } = await witnessed()
  for (let n = 0; n < 3; n++) assert.equal((await run()).exit, 0)
  assert.equal(authority.asked(), 1)
  grow(data, 4)
  assert.equal((await run()).exit, 0)
  assert.equal(authority.asked(), 2)
  assert.deepEqual(kept(), [...one, ...one.map((name) => name.replace('1', '2'))])
})

test(
  'without an authority, and before the first record, nothing is sent and nothing is kept',
  options,
  async () => {
    const none = host()
    assert.deepEqual(await none.run(), {
      exit: 0,
      said: `witness: no authority is named in ${none.settings}, so nothing is sent\n`,
    })
    const authority = await startAuthority(own as Keys)
    const empty = host(line('own', authority))
    rmSync(join(empty.data, 'scn01'), { recursive: true })
    assert.equal((await empty.run()).exit, 2, 'no mark and no record: is this the data directory?')
    writeFileSync(join(empty.data, '.civic-orchestrator'), '')
    assert.deepEqual(await empty.run(), { exit: 0, said: '' })
    assert.deepEqual([...none.kept(), ...empty.kept(), authority.asked()], [0])
  },
)

type Failure = Behaviour | 'down' | 'wrong CA' | 'expired'

const failures = new Map<Failure, RegExp>([
  ['down', /cannot be reached: curl: \(7\)/],
  ['html', /its answer is no stamp \(text\/html; charset=utf-8\)/],
  ['unavailable', /answered with the status 503/],
  ['endless', /too long to be a stamp/],
  ['refuses', /it refused/],
  ['wrong digest', /its stamp is of other bytes than were asked for/],
  ['another request', /its stamp is the answer to another request/],
  ['wrong CA', /its stamp is not signed under the certificate in the settings/],
  ['expired', /its certificate ran out/],
])
const nameOf = (failure: Failure): string => failure.replaceAll(' ', '-').toLowerCase()

/** Starts an authority that fails in this way, and gives its line for the settings. */
async function failing(how: Failure): Promise<{ authority: Authority; line: string }> {
  const keys = how === 'wrong CA' ? other : how === 'expired' ? expired : own
  const authority = await startAuthority(keys as Keys)
  if (how === 'down') await authority.goDown()
  else if (how !== 'wrong CA' && how !== 'expired') authority.behaves(how)
  return { authority, line: line(nameOf(how), authority, how === 'expired' ? expired : own) }
}

test(
  'whatever an authority does, heads are kept for the next run, reported, raise an alert after a day, and are stamped in the end',
  options,
  async () => {
    const good = await startAuthority(own as Keys)
    const bad = await Promise.all([...failures.keys()].map(failing))
    const { run, kept, stamps, settings } = host(...bad.map((each) => each.line), line('own', good))
    const says = (said: string, failure: Failure, what: RegExp): void => {
      const about = said.split('\n').filter((each) => each.startsWith(`witness: ${nameOf(failure)}: `))
      assert.match(about.join('\n'), what, said)
    }
    const first = await run()
    assert.equal(first.exit, 1, first.said)
    for (const [failure, why] of failures) {
      says(first.said, failure, why)
      says(first.said, failure, /It is kept for the next run$/m)
    }
    const marks = [...failures.keys()].map((failure) => `.failing-${nameOf(failure)}`)
    assert.deepEqual(kept(), [...marks.sort(), ...one], 'the other authority is asked all the same')

    writeFileSync(join(stamps, '.failing-html'), `${Math.floor(Date.now() / 1000) - 86_400}\n`)
    const late = await run()
    assert.equal(late.exit, 3, late.said)
    says(late.said, 'html', /nothing has been stamped since \d{4}-/)
    assert.equal(late.said.match(/has been stamped since/g)?.length, 1)

    for (const { authority } of bad) authority.behaves('well')
    await bad[0]?.authority.comeBack()
    const mended = [...failures.keys()].map((failure, at) =>
      line(
        nameOf(failure),
        failure === 'expired' ? good : (bad[at] as { authority: Authority }).authority,
        failure === 'wrong CA' ? other : own,
      ),
    )
    writeFileSync(settings, mended.join('\n'))
    const last = await run()
    assert.equal(last.exit, 0, last.said)
    assert.deepEqual(
      kept().filter((name) => name.startsWith('.')),
      [],
    )
    assert.equal(kept().filter((name) => name.endsWith('.tsr')).length, failures.size + 1)
  },
)

test('an authority that never answers holds a run up no longer than it is given', options, async () => {
  const { authority, run, kept } = await witnessed()
  authority.behaves('silent')
  const { exit, said } = await run({ CIVIC_WITNESS_SECONDS: '1' })
  assert.equal(exit, 1)
  assert.match(said, /own: it did not answer within 1 s\. It is kept for the next run/)
  assert.deepEqual(kept(), ['.failing-own', 'heads-1.txt'])
})

test('heads that nobody has stamped are stamped later, too; others only once', options, async () => {
  const { authority, run, kept, data, settings } = await witnessed()
  authority.behaves('unavailable')
  assert.equal((await run()).exit, 1)
  grow(data, 4)
  assert.equal((await run()).exit, 1)
  authority.behaves('well')
  assert.equal((await run()).exit, 0)
  assert.equal(kept().filter((name) => name.endsWith('.tsr')).length, 2)
  // A second authority stamps only the newest heads.
  appendFileSync(settings, `${line('second', authority)}\n`)
  assert.equal((await run()).exit, 0)
  assert.deepEqual(
    kept().filter((name) => name.includes('second')),
    ['heads-2.second.pem', 'heads-2.second.tsr'],
  )
})

test(
  'an association that is not whole gets no head; the heads of the others are stamped, and the exit status asks for a person',
  options,
  async () => {
    const { run, stamps, data } = await witnessed()
    const sound = readFileSync(association(data).records)
    build(join(data, '..', 'etc'), 2)
    execFileSync('cp', [
      '-r',
      join(data, '..', 'etc', 'scn01', 'plum-grove-21'),
      join(data, 'scn01', 'elm-court'),
    ])
    const { exit, said } = await run()
    assert.equal(exit, 3, said)
    assert.match(said, /scn01\/elm-court\/records\.json is not whole/)
    const heads = readdirSync(stamps).filter((name) => name.endsWith('.txt'))
    assert.match(readFileSync(join(stamps, heads[0] as string), 'utf8'), /^scn01\/plum-grove-21:3:\w+\n$/)
    assert.deepEqual(readFileSync(association(data).records), sound)
  },
)

test(
  'when the script is killed while it waits for an authority, it leaves no incomplete file, and the next run goes on',
  options,
  async () => {
    const { run, kept, stamps } = await witnessed()
    writeFileSync(join(stamps, '.new-heads-20260101T000000000Z.own.tsr'), 'half of a stamp')
    assert.equal((await run()).exit, 0)
    assert.deepEqual(kept(), one)
    // These files remain when the script is killed between the certificates and the stamp.
    for (const name of readdirSync(stamps)) if (name.endsWith('.tsr')) rmSync(join(stamps, name))
    assert.equal((await run()).exit, 0)
    assert.deepEqual(kept(), one)
  },
)

test('after a clock was set back, new heads still have the latest name', options, async () => {
  const { run, kept, stamps } = await witnessed()
  writeFileSync(join(stamps, 'heads-20991231T235959999Z.txt'), `scn01/plum-grove-21:2:${'0'.repeat(64)}\n`)
  for (let n = 0; n < 2; n++) assert.equal((await run()).exit, 0)
  assert.equal(kept().filter((name) => name.endsWith('.txt')).length, 2)
  assert.match(readFileSync(join(stamps, 'heads-20991231T235960000Z.txt'), 'utf8'), /:3:/)
})

test('invalid settings are reported with their line, and nothing is sent', options, async () => {
  const authority = await startAuthority(own as Keys)
  const mistakes = [
    `Own ${authority.url} ${own?.root}`,
    `own ftp://127.0.0.1/ ${own?.root}`,
    `own ${authority.url}`,
    `own ${authority.url} /nowhere`,
    `own ${authority.url} ${own?.root} more`,
  ]
  const { run, kept } = host(line('fine', authority), ...mistakes)
  const { exit, said } = await run()
  assert.equal(exit, 2)
  for (const number of [4, 5, 6, 7, 8]) assert.match(said, new RegExp(`witness line ${number}: `))
  const another = host(line('own', authority), line('own', authority))
  assert.equal((await another.run()).exit, 2)
  assert.deepEqual([...kept(), authority.asked()], [0])
})
