/**
 * A pull is killed at any of its system calls, and no host stays down. Nobody has to run anything.
 *
 *   1. After the kill a release answers. If the switch had begun, systemd goes back by itself (`pull settle`).
 *   2. The same pull run again, or a rollback, ends with a release that is ready.
 *   3. The next pull removes everything that the killed pull left behind.
 *
 * By default the test kills at a few calls of each scene, chosen by CIVIC_KILL_SEED. With CIVIC_KILL_POINTS=all it kills at every call and
 * prints a table, which takes an hour. CIVIC_KILL_SCENE selects the scenes whose name contains it.
 */
import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Host, makeHost, makePublisher, type Publisher } from './deploy/host.ts'
import { runUntilCall } from './deploy/kills.ts'
import { random } from './faults/random.ts'
import { missingHere } from './needs.ts'

const wanted = process.env.CIVIC_KILL_POINTS
/** Whether each point is counted and printed. */
const isTable = wanted !== undefined
const only = process.env.CIVIC_KILL_SCENE
const dice = random(Number(process.env.CIVIC_KILL_SEED ?? 1))
/** A release that starts is ready long before this. A release that does not start ends at once, so nobody waits so long. */
const readySeconds = '20'
const brokenSeconds = '3'

type PullScene = {
  readonly name: string
  /** How many points are taken by default. */
  readonly points: number
  /** The arguments of the `pull` that is killed, with the paths of the two releases. */
  readonly killed: (good: string, broken: string) => readonly string[]
  /** The arguments of the `pull` after the kill; by default the same. */
  readonly next?: readonly string[]
  readonly seconds: string
  /** The exit status of the `pull` after the kill; by default 0. */
  readonly code?: number
  /** The releases that may be in service in the end. */
  readonly serves: readonly string[]
}

const scenes: readonly PullScene[] = [
  {
    name: 'a release that starts, and the same again',
    points: 10,
    killed: (good) => [good],
    seconds: readySeconds,
    serves: ['0.0.3'],
  },
  {
    name: 'a release that does not start, and the same again',
    points: 2,
    killed: (_, broken) => [broken],
    seconds: brokenSeconds,
    code: 1,
    serves: ['0.0.2'],
  },
  {
    name: 'a release that does not start, and a rollback',
    points: 2,
    killed: (_, broken) => [broken],
    next: ['rollback'],
    seconds: brokenSeconds,
    serves: ['0.0.1', '0.0.2'],
  },
  {
    name: 'a rollback, and the same again',
    points: 2,
    killed: () => ['rollback'],
    seconds: readySeconds,
    // If the killed rollback was complete, the second rollback goes back to 0.0.2.
    serves: ['0.0.1', '0.0.2'],
  },
]

describe('pull, killed at a system call', {
  skip: missingHere(['strace']) && 'it needs strace and root',
}, () => {
  let publisher: Publisher
  let host: Host
  let good: string
  let broken: string

  before(async () => {
    publisher = makePublisher()
    host = await makeHost(publisher.signers)
    for (const path of [publisher.small('0.0.1'), publisher.small('0.0.2')]) {
      const { code, output } = await pull([path], readySeconds)
      assert.equal(code, 0, output)
    }
    cpSync(join(host.root, 'releases'), join(host.root, 'kept-releases'), { recursive: true })
    good = publisher.small('0.0.3')
    broken = publisher.small('0.0.4', 'process.exit(78)\n')
  })
  after(async () => {
    await host.close()
    rmSync(publisher.directory, { recursive: true })
  })

  /** Restores the state after `before`: 0.0.2 is in service, 0.0.1 is the release before it, and nothing else is there. */
  const reset = async (): Promise<void> => {
    const isServed = host.current() === '0.0.2'
    const at = (name: string): string => join(host.root, name)
    rmSync(at('releases'), { recursive: true })
    cpSync(at('kept-releases'), at('releases'), { recursive: true })
    writeFileSync(at('good'), '0.0.2\n0.0.1\n')
    rmSync(at('current'))
    symlinkSync('releases/0.0.2', at('current'))
    if (!isServed) await host.restart()
  }
  const pull = (args: readonly string[], seconds: string) =>
    host.run('pull', args, { env: { CIVIC_READY_SECONDS: seconds } })
  const goodOnes = (): string => readFileSync(join(host.root, 'good'), 'utf8')
  const answers = async (withinMs: number): Promise<boolean> => {
    try {
      return (await fetch(host.url, { method: 'POST', signal: AbortSignal.timeout(withinMs) })).status === 201
    } catch {
      return false
    }
  }

  /** Waits until the interrupted switch is undone; then a further `settle` has nothing to do but to wait for the lock. */
  const settled = async (): Promise<boolean> => {
    for (let n = 0; n < 600 && existsSync(join(host.root, 'back')); n++) await delay(100)
    if (existsSync(join(host.root, 'back'))) return false
    return (await host.run('pull', ['settle'])).code === 0
  }

  /** The number of calls. For a few points a guess is enough: if a pull never reaches the call, it is not killed. */
  const callsOf = async (env: Host, args: readonly string[]): Promise<number> => {
    if (!isTable) return 100
    await reset()
    return (await runUntilCall(env, 'pull', args, Number.POSITIVE_INFINITY)).calls
  }

  for (const scene of scenes.filter(({ name }) => only === undefined || name.includes(only))) {
    test(scene.name, { timeout: isTable ? 4 * 3_600_000 : undefined }, async () => {
      const env = { ...host, env: { ...host.env, CIVIC_READY_SECONDS: scene.seconds } }
      const args = scene.killed(good, broken)
      const all = Array.from({ length: await callsOf(env, args) }, (_, index) => index + 1)
      const points = all
        .map((point) => [dice.below(2 ** 30), point] as const)
        .sort(([a], [b]) => a - b)
        .map(([, point]) => point)
        .slice(0, wanted === 'all' ? all.length : Number(wanted ?? scene.points))
      const table = new Map<string, number>()
      for (const point of points) {
        await reset()
        const { at, output } = await runUntilCall(env, 'pull', args, point)
        const call = /^(?:<\.\.\. )?(\w+)/.exec(at ?? 'ended')?.[1] as string
        const where = `killed at call ${point}: ${at}`
        assert.ok(await settled(), `${where}\n${output}`)
        assert.ok(['0.0.1', '0.0.2', '0.0.3'].includes(host.current()), `${where}\n${output}`)
        assert.ok(await answers(30_000), `${where}\n${output}`)
        table.set(call, (table.get(call) ?? 0) + 1)

        const again = await pull(scene.next ?? args, scene.next ? readySeconds : scene.seconds)
        assert.equal(again.code, scene.code ?? 0, `${where}\n${again.output}`)
        assert.ok(await answers(30_000), `${where}\n${again.output}`)
        assert.ok(scene.serves.includes(host.current()), `${where}\n${again.output}`)
        assert.equal(goodOnes().split('\n')[0], host.current(), where)
        assert.deepEqual(
          readdirSync(join(host.root, 'releases')).filter((name) => name.startsWith('.')),
          [],
          where,
        )
        if (isTable) console.log(`${where}; then ${again.code}, ${host.current()} is in service`)
      }
      if (isTable) {
        const counts = [...table].map(([call, count]) => `${call} ${count}`).join(', ')
        console.log(
          `${scene.name}: ${points.length} points (${counts}); hosts down until something was run by hand 0, after it 0`,
        )
      }
    })
  }
})
