/**
 * Ends the child processes of a test together with the test, however the test ends: after its last line, by a signal, or by SIGKILL, of which
 * the test itself notices nothing. For SIGKILL there is a guard, a shell in a session of its own: the test tells it on a pipe which children
 * run, and when the pipe ends, the guard kills those that are left, and their children.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Writable } from 'node:stream'

const script = `
all=
while read -r what pid; do
  rest=
  for each in $all; do [ "$each" = "$pid" ] || rest="$rest $each"; done
  all=$rest
  [ "$what" = runs ] && all="$all $pid"
done
for each in $all; do
  kill -KILL "$each" $(cat "/proc/$each/task/$each/children") 2>/dev/null
done`

let guard: Writable | undefined

function startGuard(): Writable {
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  child.unref()
  const { stdin } = child
  // The pipe must not keep a test alive that has ended.
  ;(stdin as unknown as { unref(): void }).unref()
  stdin.on('error', () => {})
  // Without these listeners, a signal would end the test without the event `exit`, and so without its tidying up.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
  }
  return stdin
}

/** Kills the child when this process ends. `kill` is for a child that does not end its own children. */
export function endTogether(child: ChildProcess, kill = (): unknown => child.kill('SIGKILL')): void {
  guard ??= startGuard()
  const { pid } = child
  const tell = guard
  if (pid === undefined) return
  tell.write(`runs ${pid}\n`)
  process.once('exit', kill)
  child.once('exit', () => {
    process.off('exit', kill)
    tell.write(`ended ${pid}\n`)
  })
}
