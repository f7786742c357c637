/**
 * The part `strangers`: thousands of connections without the token, and posts of a sender with the token. A post that is not stored is a violation.
 * The notes say how long the posts took and how much memory the receiver had. The process of the strangers uses the same processors, so the
 * times are only a hint, and no time is a violation.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Receiver, scn01, startReceiver } from '../receiver.ts'
import type { Part, Row, Run } from './part.ts'
import { kinds, type StrangerKind } from './strangers-process.ts'

const mostStrangers = 2_500
const mostPosts = 500
/** The number of posts at a time, each on a connection of its own. */
const senders = 4

/** The largest resident memory so far, in MB. */
function peakOf({ process: { pid } }: Receiver): number {
  const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round((Number(found?.[1]) * 1024) / 1e6)
}

async function strangers({ url }: Receiver, kind: StrangerKind, many: number): Promise<() => Promise<void>> {
  const program = fileURLToPath(new URL('./strangers-process.ts', import.meta.url))
  const args = ['--import', 'tsx', program, new URL(url).port, String(many), kind]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  return async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
}

/** Posts one after the other. Gives for each post the milliseconds that it took, or why it was not stored. */
async function post(receiver: Receiver, name: string, many: number): Promise<(number | string)[]> {
  const results: (number | string)[] = []
  for (let n = 0; n < many; n++) {
    const began = performance.now()
    try {
      const answer = await receiver.post(scn01({ narrative: `${name} ${n}` }))
      await answer.arrayBuffer()
      results.push(answer.status === 201 ? performance.now() - began : String(answer.status))
    } catch (error) {
      results.push(String((error as Error).cause ?? error))
    }
  }
  return results
}

async function holdOff(kind: StrangerKind, { share, scratch }: Run): Promise<Row> {
  const receiver = await startReceiver({ DATA_DIR: `${scratch}/${kinds.indexOf(kind)}` })
  const end = await strangers(receiver, kind, Math.ceil(mostStrangers * share))
  try {
    const each = Math.ceil((mostPosts * share) / senders)
    const all = await Promise.all(
      Array.from({ length: senders }, (_, n) => post(receiver, `sender ${n}`, each)),
    )
    const times = all.flat().filter((result) => typeof result === 'number')
    const refused = all.flat().filter((result) => typeof result === 'string')
    times.sort((a, b) => a - b)
    const at = (part: number): string => `${Math.round(times[Math.floor(times.length * part)] ?? 0)} ms`
    const told = `half of the posts within ${at(0.5)}, 99 of 100 within ${at(0.99)}, all within ${at(1 - 1e-9)}; ${peakOf(receiver)} MB`
    return {
      fault: kind,
      rule: 'append-only',
      cases: all.flat().length,
      lost: 0,
      duplicated: 0,
      unreadable: 0,
      wrong: refused.length,
      notes: [told, ...new Set(refused)],
    }
  } finally {
    await end()
    await receiver.stop()
  }
}

export const part: Part = {
  name: 'strangers',
  missing: async () => undefined,
  async run(run) {
    const rows: Row[] = []
    for (const kind of kinds) {
      if (performance.now() > run.until) break
      rows.push(await holdOff(kind, run))
      run.progress(rows.length, kinds.length)
    }
    return rows
  },
}
