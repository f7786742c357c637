/**
 * The part `strangers`: thousands of connections without the token, and posts of a sender with the token. A post that is not stored is a violation.
 * The notes say how long the posts took and how much memory the receiver had. The process of the strangers uses the same processors, so the
 * times are only a hint, and no time is a violation.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chainIn, recordsPath } from '../disk.ts'
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

type Posted = {
  readonly narrative: string
  readonly ms: number
  /** Why it was not stored. */
  readonly refusal?: string
}

/** Posts one envelope after the other. */
async function post(receiver: Receiver, name: string, many: number): Promise<Posted[]> {
  const posted: Posted[] = []
  for (let n = 0; n < many; n++) {
    const narrative = `${name} ${n}`
    const began = performance.now()
    const more = await receiver.post(scn01({ narrative })).then(judged, (error: Error) => ({
      refusal: String(error.cause ?? error),
    }))
    posted.push({ narrative, ms: performance.now() - began, ...more })
  }
  return posted
}

async function judged(answer: Response): Promise<Pick<Posted, 'refusal'>> {
  await answer.text()
  return answer.status === 201 ? {} : { refusal: String(answer.status) }
}

/** How often each narrative is in the records file. */
function storedIn(dataDir: string): Map<unknown, number> {
  const { records } = chainIn(readFileSync(recordsPath(dataDir)))
  const times = new Map<unknown, number>()
  for (const { narrative } of records) times.set(narrative, (times.get(narrative) ?? 0) + 1)
  return times
}

async function holdOff(kind: StrangerKind, { share, scratch }: Run): Promise<Row> {
  const dataDir = `${scratch}/${kinds.indexOf(kind)}`
  const receiver = await startReceiver({ DATA_DIR: dataDir })
  const end = await strangers(receiver, kind, Math.ceil(mostStrangers * share))
  const each = Math.ceil((mostPosts * share) / senders)
  let memory = 0
  let all: Posted[]
  try {
    const ofSenders = Array.from({ length: senders }, (_, n) => post(receiver, `sender ${n}`, each))
    all = (await Promise.all(ofSenders)).flat()
    memory = peakOf(receiver)
  } finally {
    await end()
    await receiver.stop()
  }
  return rowOf(kind, all, memory, storedIn(dataDir))
}

function rowOf(
  kind: StrangerKind,
  all: readonly Posted[],
  memory: number,
  stored: ReadonlyMap<unknown, number>,
): Row {
  const acknowledged = all.filter(({ refusal }) => refusal === undefined)
  const refusals = all.flatMap(({ refusal }) => refusal ?? [])
  const times = acknowledged.map(({ ms }) => ms).sort((a, b) => a - b)
  const at = (part: number): string => `${Math.round(times[Math.floor(times.length * part)] ?? 0)} ms`
  const told = `half of the posts within ${at(0.5)}, 99 of 100 within ${at(0.99)}, all within ${at(1 - 1e-9)}; ${memory} MB`
  return {
    fault: kind,
    rule: 'append-only',
    cases: all.length,
    lost: acknowledged.filter(({ narrative }) => !stored.has(narrative)).length,
    duplicated: [...stored.values()].filter((times) => times > 1).length,
    unreadable: 0,
    wrong: refusals.length,
    notes: [told, ...new Set(refusals)],
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
