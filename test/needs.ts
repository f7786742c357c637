/** Finds out what this machine has for a test: root, and installed programs. */
import { spawnSync } from 'node:child_process'

export const isRoot = process.geteuid?.() === 0

/** The first of these programs that is not installed. Debian keeps servers out of the PATH of a user, in /usr/sbin. */
export function lacking(...programs: readonly string[]): string | undefined {
  return programs.find(
    (program) => spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${program}`]).status !== 0,
  )
}

/** What this machine lacks for a part of the fault tests, in words: Linux, root or a program; undefined when nothing is missing. */
export function missingHere(programs: readonly string[]): string | undefined {
  if (process.platform !== 'linux') return 'Linux'
  return isRoot ? lacking(...programs) : 'root'
}
