/** Runs the recipes of deploy/AUDITORS.md as they are printed, and the tool, against a live receiver under load. (Damaged copies: recipes.test.ts) */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '../contracts/contract.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { envelope, slug, verify } from './audit-build.ts'
import { freePort } from './bound.ts'
import { commandOf, receiverCommand } from './bundle.ts'
import { linesOf } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { missingTool, paste, type Said, type Shell, shells } from './shells.ts'

const options = missingTool === undefined ? {} : { skip: `needs ${missingTool}` }

const token = 'a-token-for-the-tests-of-the-auditors-page'
const perSecond = 100
let allowed = 100
const second = '@5sb-8hm-54v'
const root = scratchDir()
const data = join(root, 'data')
let bash: Shell
let receiver: ChildProcess | undefined
let address = ''
let loading = true
let load: Promise<void> = Promise.resolve()

/** The receipts of the answers, by sequence. */
const receipts = new Map<number, string>()

before(async () => {
  if (missingTool !== undefined) return
  mkdirSync(data)
  bash = shells(root).get('bash') as Shell
  const port = await freePort()
  address = `http://127.0.0.1:${port}`
  const [program, ...args] = receiverCommand
  receiver = spawn(program, args, {
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
})

/**
 * Posts while recipes run. Each run of a recipe allows some more posts, so that the file grows while it is read. The number is limited,
 * because a recipe costs more the longer the file is. The receiver may answer 503; only acknowledged records count.
 */
async function keepPosting(): Promise<void> {
  const began = performance.now()
  const open = new Set<Promise<boolean>>()
  for (let sent = 0; loading; await sleep(2)) {
    const due = Math.min(allowed, ((performance.now() - began) / 1000) * perSecond)
    for (; open.size < 32 && sent < due; sent++) {
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

/** Posts the body; true when it was acknowledged. */
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

type Ran = { readonly status: number; readonly out: string }

/** Runs a program without blocking this thread, so that the load goes on. */
function run(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, out: `${stdout}${stderr}` })
    })
  })
}

const work = join(root, 'work')

/** Runs recipes one after the other in one working directory, as somebody pastes them, and gives the result of the last one. */
async function recipe(name: string, more: Readonly<Record<string, string>> = {}): Promise<Said> {
  allowed += 20
  const said = await paste(bash, [name], { DATA: data, SLUG: slug, ...more }, work)
  return said.get(name) as Said
}

test(
  'a snapshot of the live file is always valid JSON and holds what was acknowledged before',
  options,
  async () => {
    for (let turn = 0; turn < 12; turn++) {
      const acknowledged = receipts.size
      assert.equal((await recipe('snapshot')).status, 0)
      const taken = JSON.parse(readFileSync(join(work, 'snapshot.json'), 'utf8')) as unknown[]
      assert.ok(taken.length >= acknowledged)
      await sleep(13)
    }
  },
)

test('the chain and the head of a snapshot of the live file hold', options, async () => {
  await recipe('snapshot')
  const { status, verdict } = await recipe('chain')
  assert.equal(status, 0, verdict)
  const [, count, sha256] = /Head: scn01\/plum-grove-21:(\d+):(\w{64})$/m.exec(verdict) as RegExpExecArray
  assert.equal(receipts.get(Number(count)) ?? sha256, sha256)
  assert.match((await recipe('head')).verdict, /^OK: the head file agrees at record \d+ of \d+/)
})

test('a kept receipt is found in the live file, and a wrong one is not', options, async () => {
  const [SEQUENCE, RECORD_SHA256] = [...receipts].at(-1) as [number, string]
  await recipe('snapshot')
  assert.equal((await recipe('receipt', { SEQUENCE: String(SEQUENCE), RECORD_SHA256 })).status, 0)
  assert.equal((await recipe('receipt', { SEQUENCE: '1', RECORD_SHA256 })).status, 1)
})

test('the ids of records match their content, and the digest is that of the tool', options, async () => {
  await recipe('snapshot')
  const lines = linesOf(join(work, 'snapshot.json'))
  for (const sequence of [1, 2, 33]) {
    const record = JSON.parse(lines[sequence - 1] as string) as JsonObject
    const SEQUENCE = String(sequence)
    assert.equal(
      (await recipe('id', { SEQUENCE })).verdict,
      `OK: the content of record ${SEQUENCE} gives its id\n`,
    )
    const { verdict } = await recipe('digest', { SEQUENCE })
    assert.equal(verdict, `OK: the digest of record ${SEQUENCE} is ${contentDigest(record).slice(2)}\n`)
  }
})

test('the records of one participant are found in the live file', options, async () => {
  await recipe('snapshot')
  const { before: printed, verdict } = await recipe('participant', { ID: second })
  assert.equal((JSON.parse(printed) as JsonObject).narrative, 'second of two')
  assert.match(verdict, /^OK: 1 of \d+ records/)
  assert.match((await recipe('participant', { ID: 'nobody' })).verdict, /^OK: 0 of /)
})

test('the same payment under two records is found in the live files, and nothing else', options, async () => {
  const { before: printed, status } = await recipe('duplicates')
  const expected = [1, 2].map((sequence) => `0x${'ab'.repeat(32)} ${slug} record ${sequence}`)
  assert.deepEqual(printed.trim().split('\n').sort(), expected)
  assert.equal(status, 1)
})

test('the tool has no findings in the live directory, however often it runs', options, async () => {
  for (let turn = 0; turn < 2; turn++) {
    const kept = [...receipts].slice(-3).map(([sequence, record]) => `${slug}:${sequence}:${record}`)
    const [program, ...args] = await commandOf('scripts/audit.ts')
    const verify = ['verify', '--data', data, '--json', ...kept.flatMap((each) => ['--expect', each])]
    const { status, out } = await run(program, [...args, ...verify])
    assert.equal(status, 0, out)
  }
})

test('a plain copy taken under load is not called altered', options, async () => {
  for (let turn = 0; turn < 10; turn++) {
    const copy = join(root, 'plain-copy')
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
