/** No child of a test outlives it, whichever way the test ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { withoutServer } from './postgres/cluster.ts'

/** Whether the process runs. One that has ended stays visible as a zombie until its new parent asks for it. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const receiver = `
  import { startReceiver } from './test/receiver.ts'
  const { process: child } = await startReceiver()
  console.log(child.pid)
  await new Promise(() => setInterval(() => {}, 1_000))`
const database = `
  import { newServer } from './test/postgres/cluster.ts'
  const { pid } = await newServer()
  console.log(pid)
  await new Promise(() => setInterval(() => {}, 1_000))`

for (const [what, source, skip] of [
  ['a receiver', receiver, false],
  ['a PostgreSQL', database, withoutServer],
] as const)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const)
    test(`${what} ends with a test that ${signal} has ended`, { skip }, async () => {
      const args = ['--import', 'tsx', '--input-type=module', '--eval', source]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      const [line] = await once(child.stdout, 'data')
      const pid = Number(line)
      assert.ok(runs(pid), String(line))
      child.kill(signal)
      // If nothing ended it, the runner would end this test, as it would have ended one that leaves its children.
      while (runs(pid)) await delay(20)
    })
