/** deploy/AUDITORS.md: every recipe is run as it stands, against a live receiver under load and against damaged copies. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '../contracts/contract.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { envelope, recordsOf, slug, temporaryDirectory, verify, writeRecords } from './audit-build.ts'
import { vectors } from './fixtures/g1/chain.ts'

const page = readFileSync(new URL('../deploy/AUDITORS.md', import.meta.url), 'utf8')
const recipes = new Map(
  [...page.matchAll(/<!-- recipe: (\w+) -->\n```sh\n([\s\S]*?)```/g)].map(([, name, text]) => [name!, text!]),
)

const missingTool = ['bash', 'jq', 'sed', 'sha256sum', 'b2sum', 'stat', 'od'].find(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
)
const options = missingTool === undefined ? {} : { skip: `needs ${missingTool}` }

const token = 'a-token-for-the-tests-of-the-auditors-page'
const perSecond = 100
const second = '@5sb-8hm-54v'
const root = temporaryDirectory()
const data = join(root.path, 'data')
let receiver: ChildProcess | undefined
let address = ''
let loading = true
let load: Promise<void> = Promise.resolve()

/** Receipts as they were answered, by sequence. */
const receipts = new Map<number, string>()

before(async () => {
  if (missingTool !== undefined) return
  mkdirSync(data)
  const port = await freePort()
  address = `http://127.0.0.1:${port}`
  receiver = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
    env: {
      ...process.env,
      NODE_TOKEN: token,
      DATA_DIR: data,
      HOST: '127.0.0.1',
      PORT: String(port),
      LOG_LEVEL: 'silent',
    },
    stdio: 'ignore',
  })
  await until(async () => (await fetch(`${address}/ready`)).ok)
  const first = bodyOf({ narrative: 'first of two', g1_tx_hash: 'ab'.repeat(32) })
  const other = { narrative: 'second of two', g1_tx_hash: `0x${'AB'.repeat(32)}`, participant_id: second }
  await until(() => post(first))
  const body = bodyOf(other)
  await until(() => post(body))
  load = keepPosting()
  await until(async () => receipts.size >= 50)
})

after(async () => {
  loading = false
  await load
  receiver?.kill('SIGKILL')
  root[Symbol.dispose]()
})

/** On a busy machine the receiver may answer 503, and fewer are sent; what was acknowledged is all that counts. */
async function keepPosting(): Promise<void> {
  const began = performance.now()
  const open = new Set<Promise<boolean>>()
  for (let sent = 0; loading; await sleep(2)) {
    for (; open.size < 32 && sent < ((performance.now() - began) / 1000) * perSecond; sent++) {
      const one = post(bodyOf({ g1_tx_hash: sent % 3 === 0 ? sent.toString(16).padStart(64, '0') : null }))
      open.add(one)
      void one.finally(() => open.delete(one))
    }
  }
  await Promise.all(open)
}

let numbers = 0

function bodyOf(more: JsonObject): string {
  const narrative = `Submission ${numbers++}: “façade”, \\ and \n \u0085.`
  return JSON.stringify({ ...envelope, narrative, ...more })
}

/** Whether it was acknowledged. */
async function post(body: string): Promise<boolean> {
  const headers = { 'x-node-token': token }
  const response = await fetch(`${address}/receive`, { method: 'POST', headers, body }).catch(() => undefined)
  if (!response?.ok) return false
  const { sequence, record_sha256 } = (await response.json()) as { sequence: number; record_sha256: string }
  receipts.set(sequence, record_sha256)
  return true
}

async function until(reached: () => Promise<boolean>): Promise<void> {
  for (let tried = 0; tried < 1_200; tried++) {
    if (await reached().catch(() => false)) return
    await sleep(50)
  }
  throw new Error('it did not happen within 60 s')
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

type Ran = { readonly status: number; readonly out: string }

/** Not waited for in this thread, so that the load goes on meanwhile. */
function run(
  program: string,
  args: readonly string[],
  cwd = '.',
  more: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', ...more }
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env, maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, out: `${stdout}${stderr}` })
    })
  })
}

/** Each data directory gets a working directory of its own, in which recipes find what earlier ones wrote. */
function recipe(name: string, more: Readonly<Record<string, string>> = {}, of = data): Promise<Ran> {
  const text = recipes.get(name)
  assert.ok(text, `no recipe ${name}`)
  const cwd = `${of}-work`
  mkdirSync(cwd, { recursive: true })
  return run('bash', ['--norc', '-euo', 'pipefail', '-c', text], cwd, { DATA: of, SLUG: slug, ...more })
}

test('every recipe of the page is run here', options, () => {
  const tested = [
    'snapshot',
    'chain',
    'sequence',
    'head',
    'receipt',
    'id',
    'participant',
    'duplicates',
    'digest',
    'extrinsic',
  ]
  assert.deepEqual([...recipes.keys()].sort(), tested.sort())
  assert.equal(page.match(/```sh/g)?.length, recipes.size)
})

test(
  'a snapshot of the live file is always valid JSON and holds what was acknowledged before',
  options,
  async () => {
    for (let turn = 0; turn < 12; turn++) {
      const acknowledged = receipts.size
      assert.equal((await recipe('snapshot')).status, 0)
      const taken = JSON.parse(readFileSync(join(`${data}-work`, 'snapshot.json'), 'utf8')) as unknown[]
      assert.ok(taken.length >= acknowledged)
      await sleep(13)
    }
  },
)

test('the chain, sequence and head of a snapshot of the live file are whole', options, async () => {
  const head = readFileSync(join(data, 'scn01', slug, '.records.head.json'), 'utf8')
  await recipe('snapshot')
  const { status, out } = await recipe('chain')
  assert.equal(status, 0, out)
  const [, count, sha256] = /^whole: \d+ records, head plum-grove-21:(\d+):(\w{64})$/m.exec(out)!
  assert.equal(receipts.get(Number(count)) ?? sha256, sha256)
  assert.deepEqual(await recipe('sequence'), { status: 0, out: '' })
  assert.ok((JSON.parse(head) as { count: number }).count <= Number(count))
})

test('the head file agrees with a snapshot that was taken after it', options, async () => {
  const copy = join(root.path, 'copy-of-head')
  const directory = join(copy, 'scn01', slug)
  mkdirSync(directory, { recursive: true })
  cpSync(join(data, 'scn01', slug, '.records.head.json'), join(directory, '.records.head.json'))
  await recipe('snapshot')
  cpSync(join(`${data}-work`, 'snapshot.json'), join(directory, 'records.json'))
  await recipe('snapshot', {}, copy)
  await recipe('chain', {}, copy)
  assert.match((await recipe('head', {}, copy)).out, /agrees at record \d+/)
})

test('a kept receipt is found in the live file, and a wrong one is not', options, async () => {
  const [SEQUENCE, RECORD_SHA256] = [...receipts].at(-1)!
  assert.match(
    (await recipe('receipt', { SEQUENCE: String(SEQUENCE), RECORD_SHA256 })).out,
    /as it was acknowledged/,
  )
  assert.equal((await recipe('receipt', { SEQUENCE: '1', RECORD_SHA256 })).status, 1)
})

test('the id and the digest of a record are those of the tool', options, async () => {
  await recipe('snapshot')
  const lines = recordsOf(join(`${data}-work`, 'snapshot.json'))
  for (const sequence of [1, 2, 33]) {
    const record = JSON.parse(lines[sequence - 1]!) as JsonObject & { receipt: { id: string } }
    assert.equal(
      (await recipe('id', { SEQUENCE: String(sequence) })).out,
      `${record.receipt.id}\n${record.receipt.id}\n`,
    )
    assert.equal(
      (await recipe('digest', { SEQUENCE: String(sequence) })).out,
      `${contentDigest(record).slice(2)}\n`,
    )
  }
})

test('the records of one participant are found in the live file', options, async () => {
  const { out } = await recipe('participant', { ID: second })
  assert.equal((JSON.parse(out) as JsonObject).narrative, 'second of two')
  assert.equal((await recipe('participant', { ID: 'nobody' })).out, '')
})

test('the same payment under two records is found in the live files, and nothing else', options, async () => {
  const { out } = await recipe('duplicates')
  const expected = [1, 2].map((sequence) => `0x${'ab'.repeat(32)} ${slug} record ${sequence}`)
  assert.deepEqual(out.trim().split('\n').sort(), expected)
})

test('the hash of an extrinsic is over its bytes', options, async () => {
  for (const { extrinsic_hex, extrinsic_hash } of vectors.extrinsics) {
    assert.equal((await recipe('extrinsic', { HEX: extrinsic_hex })).out, `${extrinsic_hash.slice(2)}\n`)
  }
})

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** What each damage is found by: the recipes that must fail on the copy. */
const damages: Record<string, { change: (records: string[]) => string[]; foundBy: string[] }> = {
  'a changed byte': {
    change: (records) => records.with(4, records[4]!.replace('Submission', 'submission')),
    foundBy: ['chain'],
  },
  'a removed record': { change: (records) => records.toSpliced(4, 1), foundBy: ['chain', 'sequence'] },
  'two swapped records': {
    change: (records) => records.with(4, records[5]!).with(5, records[4]!),
    foundBy: ['chain', 'sequence'],
  },
  'an inserted record': {
    change: (records) => records.toSpliced(4, 0, records[9]!),
    foundBy: ['chain', 'sequence'],
  },
  'a cut end': { change: (records) => records.slice(0, 20), foundBy: ['head', 'receipt'] },
  'a rewritten chain': { change: rewritten, foundBy: ['head', 'receipt'] },
}

function rewritten(records: string[]): string[] {
  const made = records.with(4, records[4]!.replace('Submission', 'Sabmission'))
  for (let index = 5; index < made.length; index++) {
    made[index] = made[index]!.replace(
      /"previous_sha256":"\w{64}/,
      `"previous_sha256":"${sha256(made[index - 1]!)}`,
    )
  }
  return made
}

for (const [name, { change, foundBy }] of Object.entries(damages)) {
  test(`a copy with ${name} is found out by ${foundBy.join(' and ')}, and by the tool`, options, async () => {
    await recipe('snapshot')
    const lines = recordsOf(join(`${data}-work`, 'snapshot.json')).slice(0, 40)
    const copy = join(root.path, `copy-${name.replaceAll(' ', '-')}`)
    const file = join(copy, 'scn01', slug, 'records.json')
    mkdirSync(join(copy, 'scn01', slug), { recursive: true })
    writeRecords(file, change(lines))
    const kept = { SEQUENCE: '40', RECORD_SHA256: sha256(lines[39]!) }
    writeFileSync(
      join(copy, 'scn01', slug, '.records.head.json'),
      `{"count":40,"sha256":"${kept.RECORD_SHA256}"}`,
    )
    await recipe('snapshot', {}, copy)
    const failed: string[] = []
    for (const each of ['chain', 'sequence', 'head', 'receipt']) {
      if ((await recipe(each, kept, copy)).status !== 0) failed.push(each)
    }
    assert.deepEqual(
      foundBy.filter((each) => !failed.includes(each)),
      [],
    )
    const { exit } = await verify(copy, '--copy', '--expect', `${slug}:40:${kept.RECORD_SHA256}`)
    assert.equal(exit, 1)
    rmSync(copy, { recursive: true })
  })
}

test('the tool finds nothing in the live directory, as often as it looks', options, async () => {
  for (let turn = 0; turn < 2; turn++) {
    const kept = [...receipts].slice(-3).map(([sequence, record]) => `${slug}:${sequence}:${record}`)
    const args = ['verify', '--data', data, '--json', ...kept.flatMap((each) => ['--expect', each])]
    const { status, out } = await run(process.execPath, ['--import', 'tsx', 'scripts/audit.ts', ...args])
    assert.equal(status, 0, out)
  }
})

test('a plain copy taken under load is not called altered', options, async () => {
  for (let turn = 0; turn < 10; turn++) {
    const copy = join(root.path, 'plain-copy')
    const directory = join(copy, 'scn01', slug)
    mkdirSync(directory, { recursive: true })
    for (const file of ['.records.head.json', 'records.json']) {
      await run('cp', [join(data, 'scn01', slug, file), directory])
    }
    const { found } = await verify(copy, '--copy', '--chain')
    assert.deepEqual(
      found.filter((each) => !each.startsWith('open end')),
      [],
    )
    rmSync(copy, { recursive: true })
  }
})
