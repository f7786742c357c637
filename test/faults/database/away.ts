/**
 * A network of its own for receivers, with one cable to each server. A cut cable loses every packet and reports nothing, as a broken
 * switch does. (A closed port or a killed process is another fault: its peer is told at once.)
 *
 * The network is a network namespace of Linux, and each cable a pair of `veth` devices. A cut gives the packets a hardware address that
 * nobody has, so the other end drops them.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { endTogether } from '../../guard.ts'

/** The addresses of RFC 2544, which no real network uses. */
export const range = '198.18.0.0/15'
const nobody = '02:00:00:00:00:99'

/** What is lost on a cut cable. */
export type Cut = 'both directions' | 'answers only'

export type Cable = {
  /** The addresses of the two ends: on this side, where the servers are, and in the network. */
  readonly here: string
  readonly there: string
  cut(what: Cut): void
  mend(): void
}

export class Away {
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess) {
    this.#holder = holder
  }

  static async open(): Promise<Away> {
    // The namespace exists as long as a process is in it.
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep infinity'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    endTogether(holder)
    await once(holder.stdout as NodeJS.ReadableStream, 'data')
    return new Away(holder)
  }

  /** The command that starts another one in the network. */
  get enter(): readonly string[] {
    return ['nsenter', `--net=/proc/${this.#holder.pid}/ns/net`]
  }

  /** Lays a cable. It is gone with the network. */
  cable(): Cable {
    const [high, low] = [randomInt(256), 4 * randomInt(64)]
    const [here, there] = [`198.18.${high}.${low + 1}`, `198.18.${high}.${low + 2}`]
    const [hereName, thereName] = [`cvh${high}x${low}`, `cvt${high}x${low}`]
    const away = (...words: readonly string[]): void => run(...this.enter, 'ip', ...words)
    run(
      'ip',
      'link',
      'add',
      hereName,
      'type',
      'veth',
      'peer',
      'name',
      thereName,
      'netns',
      String(this.#holder.pid),
    )
    run('ip', 'address', 'add', `${here}/30`, 'dev', hereName)
    run('ip', 'link', 'set', hereName, 'up')
    away('address', 'add', `${there}/30`, 'dev', thereName)
    away('link', 'set', thereName, 'up')
    const loseAnswers = ['neighbour', 'replace', there, 'lladdr', nobody, 'dev', hereName, 'nud', 'permanent']
    const loseRequests = [
      'neighbour',
      'replace',
      here,
      'lladdr',
      nobody,
      'dev',
      thereName,
      'nud',
      'permanent',
    ]
    return {
      here,
      there,
      cut(what) {
        run('ip', ...loseAnswers)
        if (what === 'both directions') away(...loseRequests)
      },
      mend() {
        run('ip', 'neighbour', 'flush', 'dev', hereName, 'nud', 'permanent')
        away('neighbour', 'flush', 'dev', thereName, 'nud', 'permanent')
      },
    }
  }

  async close(): Promise<void> {
    const ended = once(this.#holder, 'exit')
    this.#holder.kill('SIGKILL')
    await ended
  }
}

function run(...[program, ...words]: readonly string[]): void {
  const { status, stderr } = spawnSync(program as string, words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`)
}

/** Why no network of its own can be made here, or undefined. Some containers forbid it even to root. */
export function missingNetwork(): string | undefined {
  const words = ['--net', 'ip', 'link', 'add', 'civic0', 'type', 'veth', 'peer', 'name', 'civic1']
  return spawnSync('unshare', words).status === 0 ? undefined : 'the right to make a network namespace'
}
