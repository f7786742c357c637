/** By default SIGUSR1 opens Node's debugger, in which any local user can read the token. The receiver opens none, and goes on. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { bundle } from '../scripts/pack/bundle.ts'
import { type Receiver, scratchDir, startReceiver } from './receiver.ts'

/** The bit of SIGUSR1 in SigCgt of /proc/PID/status. */
const sigusr1 = 1n << 9n
const listeningState = '0A'
/** Lets the debugger choose a port, because its default port may be taken and would then not be opened for that reason. */
const anyPort = '--inspect-port=0'

/** What the open descriptors of a process are. One that is closed meanwhile is left out. */
function openedBy(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return []
    }
  })
}

/** The ports on which a process listens. */
function portsOf(pid: number): number[] {
  const sockets = openedBy(pid)
  return readFileSync(`/proc/${pid}/net/tcp`, 'latin1')
    .split('\n')
    .slice(1, -1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , , state, , , , , , inode]) => state === listeningState && sockets.includes(`socket:[${inode}]`),
    )
    .map(([, local = '']) => Number.parseInt(local.slice(local.indexOf(':') + 1), 16))
}

function catches(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  return (BigInt(`0x${caught}`) & sigusr1) !== 0n
}

/** Starts a receiver and sends it the signal again and again, from the moment when Node itself catches the signal until the receiver listens. */
async function startUnderSignals(program: readonly string[]): Promise<{ receiver: Receiver; sent: number }> {
  const pidFile = join(scratchDir(), 'pid')
  const command = `echo $$ > ${pidFile}; exec "$@"`
  let receiver: Receiver | undefined
  const starting = startReceiver({}, ['sh', '-c', command, 'sh', process.execPath, anyPort, ...program])
  const started = starting.then((each) => {
    receiver = each
  })
  let sent = 0
  while (!receiver) {
    await Promise.race([nextTurn(), started])
    const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'latin1')) : 0
    if (pid === 0 || !catches(pid)) continue
    process.kill(pid, 'SIGUSR1')
    sent++
  }
  return { receiver, sent }
}

/** Starts it `starts` times, and more often on a busy machine, on which this process sends only a few signals during a start. */
async function neverOpens(program: readonly string[], starts: number): Promise<void> {
  let [started, sentInAll] = [0, 0]
  while (started < starts || sentInAll <= 10 * starts) {
    const { receiver, sent } = await startUnderSignals(program)
    await opensNone(receiver)
    started++
    sentInAll += sent
  }
}

async function opensNone(receiver: Receiver): Promise<void> {
  receiver.process.kill('SIGUSR1')
  // During these requests a debugger would have had the time to open.
  for (let n = 0; n < 50; n++) assert.equal((await fetch(`${receiver.url}/health`)).status, 200)
  assert.deepEqual(portsOf(receiver.process.pid as number), [Number(new URL(receiver.url).port)])
  assert.equal(await receiver.stop(), 0)
}

async function bundled(): Promise<string> {
  const { files } = await bundle({ directory: process.cwd(), version: '0.0.1', commit: 'none' })
  const path = join(scratchDir(), 'server.cjs')
  writeFileSync(path, files.find((file) => file.path === 'server.cjs')?.bytes ?? '')
  return path
}

test('SIGUSR1 opens no debugger, from the start on, in a checkout', async () => {
  await neverOpens(['--import', 'tsx', 'src/main.ts'], 1)
})

test('SIGUSR1 opens no debugger, from the start on, in a release', async () => {
  await neverOpens([await bundled()], 5)
})

test('--inspect still opens the debugger', async () => {
  const command = [process.execPath, '--inspect=127.0.0.1:0', '--import', 'tsx', 'src/main.ts']
  const receiver = await startReceiver({}, command)
  assert.equal(portsOf(receiver.process.pid as number).length, 2)
  await receiver.stop()
})
