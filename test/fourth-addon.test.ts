/**
 * A fourth addon needs one file in contracts/ and one word in the registry, and so does a second version of a contract. This test copies the
 * tree, adds three contracts, and runs everything that depends on an addon: schemas, the receiver, a restart after a kill with an older head
 * file, every command of the auditor, backup and restore.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { me } from './backup-tools.ts'
import { chainOf, headPath, recordsPath, sha256, tornOf } from './disk.ts'
import { skip as noPhp, php } from './hubzilla-site.ts'
import { type Receiver, scn01, scratchDir, startReceiver, token, vs01 } from './receiver.ts'
import { said } from './said.ts'

const overwriting = `/** wlk01: Walk-throughs. What was seen at the address; the latest one is the record. */
import type { Contract } from './contract.ts'
import { common, envelope, fieldMap, reserved } from './envelope.ts'

export const wlk01 = {
  addon: 'wlk01',
  version: '1.0',
  storage: 'overwrite-by-placekey',
  envelope: envelope({ ...common('wlk01', '1.0'), fields: fieldMap({ min: 1 }), ...reserved }),
  attestsToken: false,
} satisfies Contract
`
const appending = `/** obs01: Observations. What a neighbour saw, once; nothing replaces it. */
import * as v from 'valibot'
import type { Contract } from './contract.ts'
import { common, envelope, reserved } from './envelope.ts'

export const obs01 = {
  addon: 'obs01',
  version: '1.0',
  storage: 'append-only',
  envelope: envelope({
    ...common('obs01', '1.0'),
    note: v.pipe(v.string('must be a string'), v.description('must be a string')),
    ...reserved,
  }),
  attestsToken: false,
} satisfies Contract
`
const secondVersion = `/** scn01 1.1: Scenarios that name a mediator. */
import * as v from 'valibot'
import type { Contract } from './contract.ts'
import { envelope, oneOf } from './envelope.ts'
import { scn01 } from './scn01.ts'

export const scn01v11 = {
  ...scn01,
  version: '1.1',
  envelope: envelope({
    ...scn01.envelope.entries,
    contract_version: oneOf('1.1'),
    mediator: v.exactOptional(v.pipe(v.string('must be a string'), v.description('must be a string'))),
  }),
} satisfies Contract
`

const tree = scratchDir()
const schemas = (...args: string[]) =>
  spawnSync(process.execPath, ['--import', 'tsx', 'scripts/schemas.ts', ...args], {
    cwd: tree,
    encoding: 'utf8',
  })
/** Loads a module of the copy, which imports other modules of the copy. */
const ofTree = (path: string) => import(pathToFileURL(join(tree, path)).href)

function copyTree(): void {
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  })
  for (const name of names.split('\n')) {
    if (!/^(src|contracts|scripts|deploy\/hubzilla)\/|^(package|tsconfig)\.json$/.test(name)) continue
    mkdirSync(dirname(join(tree, name)), { recursive: true })
    cpSync(name, join(tree, name))
  }
  symlinkSync(join(process.cwd(), 'node_modules'), join(tree, 'node_modules'))
}

function addContracts(): void {
  writeFileSync(join(tree, 'contracts/wlk01.ts'), overwriting)
  writeFileSync(join(tree, 'contracts/obs01.ts'), appending)
  writeFileSync(join(tree, 'contracts/scn01v11.ts'), secondVersion)
  const registry = join(tree, 'contracts/index.ts')
  const imports = ['wlk01', 'obs01', 'scn01v11'].map((name) => `import { ${name} } from './${name}.ts'\n`)
  const text = readFileSync(registry, 'utf8').replace(
    '{ vs01, dsc01, scn01 }',
    '{ vs01, dsc01, scn01, wlk01, obs01, scn01v11 }',
  )
  writeFileSync(registry, text.replace('import type', `${imports.join('')}import type`))
}

const slug = 'heron-ridge'
const obs01 = (note: string, more: object = {}) => {
  const { fields: _fields, ...common } = vs01()
  return { ...common, addon: 'obs01', note, ...more }
}
const participant = vs01().participant_id as string
const appendOnly: readonly string[] = ['scn01', 'obs01']
const hash = 'ab'.repeat(32)
/** The envelopes, in the order in which they are posted. */
const envelopes: readonly Record<string, unknown>[] = [
  vs01(),
  { ...vs01(), addon: 'wlk01' },
  scn01({ narrative: 'first' }),
  obs01('first', { node_token_hash: hash }),
  obs01('second', { node_token_hash: hash }),
  scn01({ narrative: 'second', contract_version: '1.1', mediator: 'somebody' }),
]

describe('three more contracts', () => {
  let receiver: Receiver
  const dataDir = scratchDir()
  const start = () =>
    startReceiver({ DATA_DIR: dataDir }, [process.execPath, '--import', 'tsx', join(tree, 'src/main.ts')])
  const receipts = new Map<unknown, object>()
  const headAt = (addon: string) => headPath(recordsPath(dataDir, slug, addon))
  /** The head file of each addon after its first record. */
  const olderHeads = new Map<string, Buffer>()

  before(async () => {
    copyTree()
    addContracts()
    receiver = await start()
  })
  after(() => receiver.stop('SIGKILL'))

  test('the schemas of all are made, and the published ones stay as they are', () => {
    const made = schemas()
    assert.equal(made.status, 0, made.stderr)
    const names = readdirSync(join(tree, 'contracts')).filter((name) => name.endsWith('.schema.json'))
    for (const name of ['wlk01-1.0', 'obs01-1.0', 'scn01-1.1'])
      assert.ok(names.includes(`${name}.schema.json`), name)
    for (const name of readdirSync('contracts').filter((name) => name.endsWith('.schema.json')))
      assert.equal(
        readFileSync(join(tree, 'contracts', name), 'utf8'),
        readFileSync(join('contracts', name), 'utf8'),
      )
    assert.equal(schemas('--check').status, 0)
  })

  test('the receiver stores all of them, and tells the sender of an unknown version every version', async () => {
    for (const sent of envelopes) {
      const answer = await receiver.post(sent)
      assert.equal(answer.status, 201, await answer.clone().text())
      receipts.set(sent, (await answer.json()) as object)
      const addon = sent.addon as string
      if (appendOnly.includes(addon) && !olderHeads.has(addon))
        olderHeads.set(addon, readFileSync(headAt(addon)))
    }
    const unknown = await receiver.post({ ...scn01(), contract_version: '2.0' })
    const { errors } = (await unknown.json()) as { errors: { pointer: string; detail: string }[] }
    assert.deepEqual(
      errors.filter(({ pointer }) => pointer === '/contract_version').map(({ detail }) => detail),
      ['must be "1.0" or "1.1"'],
    )
  })

  test('the PHP client knows from the contracts which envelopes replace each other, and the ids of the others', {
    skip: noPhp,
  }, () => {
    const place = scratchDir()
    writeFileSync(join(place, 'token'), token)
    writeFileSync(join(place, 'envelopes.json'), JSON.stringify(envelopes))
    mkdirSync(join(place, 'spool'), { mode: 0o700 })
    const script = `
      [, $tree, $url, $place] = $argv;
      require "$tree/deploy/hubzilla/civic_receiver.php";
      $client = new CivicReceiver\\V2\\Client($url, "$place/token", "$place/spool");
      foreach (json_decode(file_get_contents("$place/envelopes.json")) as $envelope) {
        $answer = $client->submit($envelope);
        $said[] = [$envelope->addon, $answer['result'], $answer['receipt']['outcome'] ?? $answer['detail'],
          CivicReceiver\\V2\\Record::isLatestOnly((array) $envelope),
          CivicReceiver\\V2\\Record::id((array) $envelope) === ($answer['receipt']['id'] ?? null)];
      }
      echo json_encode($said);`
    const run = spawnSync(php, ['-r', script, '--', tree, `${receiver.url}/receive`, place], {
      encoding: 'utf8',
    })
    assert.deepEqual(JSON.parse(run.stdout), [
      ['vs01', 'stored', 'replaced', true, true],
      ['wlk01', 'stored', 'replaced', true, true],
      ['scn01', 'stored', 'duplicate', false, true],
      ['obs01', 'stored', 'duplicate', false, true],
      ['obs01', 'stored', 'duplicate', false, true],
      ['scn01', 'stored', 'duplicate', false, true],
    ])
  })

  for (const [left, headOf] of [
    ['an older head file', (addon: string) => olderHeads.get(addon) as Buffer],
    // A power cut can leave a head file like this when it was not synced.
    ['a head file of zeros', (addon: string) => Buffer.alloc(readFileSync(headAt(addon)).length)],
  ] as const)
    test(`after a kill that leaves ${left}, every record is there and a retry gets its first receipt`, async () => {
      await receiver.stop('SIGKILL')
      for (const addon of appendOnly) writeFileSync(headAt(addon), headOf(addon))
      receiver = await start()
      for (const sent of envelopes.filter(({ addon }) => appendOnly.includes(addon as string))) {
        const answer = await receiver.post(sent)
        assert.equal(answer.status, 200, await answer.clone().text())
        const again = (await answer.json()) as object
        assert.deepEqual(again, { ...receipts.get(sent), status: 'stored', outcome: 'duplicate' })
      }
      for (const addon of appendOnly) {
        assert.deepEqual(tornOf(recordsPath(dataDir, slug, addon)), [])
        assert.equal(chainOf(recordsPath(dataDir, slug, addon)).length, 2)
      }
    })

  test('every command of the auditor knows them', async () => {
    const { run } = (await ofTree('src/audit/cli.ts')) as typeof import('../src/audit/cli.ts')
    const tried = new Set<string>()
    const audit = async (...args: string[]): Promise<string> => {
      tried.add(args[0] as string)
      const { exit, out, err } = await said(run, ...args, '--data', dataDir)
      assert.equal(exit, 0, `${args.join(' ')}: ${out}${err}`)
      return out
    }
    const heads = await audit('heads')
    const file = join(scratchDir(), 'heads.txt')
    writeFileSync(file, heads)
    for (const addon of appendOnly) {
      const last = sha256(chainOf(recordsPath(dataDir, slug, addon)).at(-1) as string)
      assert.ok(heads.split('\n').includes(`${addon}/${slug}:2:${last}`), heads)
    }
    assert.match(await audit('verify', '--heads', file), /4 records/)
    for (const addon of ['obs01', 'wlk01']) assert.match(await audit('list'), new RegExp(addon))
    assert.match(await audit('list', `obs01/${slug}`), /^ *2 .*SASE1/m)
    assert.match(await audit('show', `obs01/${slug}`, '--sequence', '2'), /second/)
    assert.match(await audit('show', slug, '--sequence', '2'), /mediator/)
    assert.match(await audit('show', slug, '--participant', participant), /wlk01/)
    assert.match(
      await audit('changes', `obs01/${slug}`, '--from', '2026-01-01', '--to', '2099-12-31'),
      /\b2\b/,
    )
    assert.match(await audit('export', '--csv', '--addon', 'obs01'), /second/)
    assert.match(await audit('export', '--csv', '--addon', 'wlk01'), /SASE1/)
    assert.match(await audit('export', '--csv', '--addon', 'scn01'), /somebody/)
    const records = readFileSync(recordsPath(dataDir, slug, 'obs01'), 'utf8')
    assert.equal(await audit('snapshot', `obs01/${slug}`), records)
    assert.match(await audit('g1'), /^2 records/)
    // Records of this addon cannot name a payment.
    assert.match(await audit('g1', `obs01/${slug}`), /^0 records/)
    const { out: usage } = await said(run, '--help')
    const every = [...usage.matchAll(/^ {2}([a-z]\w*) {2,}/gm)].map(([, name]) => name as string)
    assert.ok(every.length >= 8, usage)
    assert.deepEqual(
      every.filter((name) => !tried.has(name)),
      [],
    )
  })

  test('an altered record of the fourth addon is found', async () => {
    const { run } = (await ofTree('src/audit/cli.ts')) as typeof import('../src/audit/cli.ts')
    const copy = scratchDir()
    cpSync(dataDir, copy, { recursive: true })
    const path = join(copy, 'obs01', slug, 'records.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('"first"', '"fiRst"'))
    const { exit, out } = await said(run, 'verify', '--data', copy)
    assert.equal(exit, 1)
    assert.match(out, /obs01\/heron-ridge\/records\.json/)
  })

  test('a backup holds them and restores to the same tree', async () => {
    const { runBackup, runRestore } = (await ofTree(
      'src/backup/cli.ts',
    )) as typeof import('../src/backup/cli.ts')
    const to = join(scratchDir(), 'backup')
    const made = await said(runBackup, to, '--data', dataDir, '--unsigned')
    assert.equal(made.exit, 0, made.err)
    const target = join(scratchDir(), 'restored')
    // root must name the owner of the data.
    const restored = await said(runRestore, to, target, '--unsigned', '--owner', me)
    assert.equal(restored.exit, 0, restored.err)
    for (const path of [
      'obs01/heron-ridge/records.json',
      'scn01/heron-ridge/records.json',
      `wlk01/heron-ridge/${participant}.json`,
    ])
      assert.deepEqual(readFileSync(join(target, path)), readFileSync(join(dataDir, path)), path)
  })
})
