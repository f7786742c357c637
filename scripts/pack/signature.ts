/** SSH signatures: every host has ssh-keygen, and an operator may have a key in an agent or on a hardware token. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { Refusal } from './source.ts'

/** A signature made for another purpose with the same key does not count. */
const namespace = 'civic-orchestrator-release'

/** Writes `<path>.sig` and gives its path. */
export function sign(path: string, key: string): string {
  // ssh-keygen asks before it overwrites
  rmSync(`${path}.sig`, { force: true })
  try {
    execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-f', key, '-n', namespace, path], {
      stdio: ['inherit', 'ignore', 'pipe'],
    })
  } catch (error) {
    const said = (error as { stderr?: Buffer }).stderr?.toString().trim()
    throw new Refusal(`the archive is made but not signed: ${said || (error as Error).message}`)
  }
  return `${path}.sig`
}
