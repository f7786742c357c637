/** Puts the files of one commit into a directory, so that nothing uncommitted can get into a release. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** The reason why nothing can be packed, for the person who typed the command. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

export type Source = {
  /** The directory of the commit's files, which also holds the installed packages. */
  readonly directory: string
  readonly commit: string
  /** The date of the commit, which is the time of every file in the archive. */
  readonly date: Date
  readonly version: string
  readonly lock: Lock
}

type LockedPackage = {
  readonly version?: string
}
type Lock = { readonly packages: Readonly<Record<string, LockedPackage>> }

export async function withSource<T>(ref: string, use: (source: Source) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'civic-pack-'))
  try {
    const commit = git('rev-parse', '--verify', '--end-of-options', `${ref}^{commit}`).toString().trim()
    const date = new Date(Number(git('log', '-1', '--format=%ct', commit).toString()) * 1000)
    execFileSync('tar', ['-x', '-C', directory], { input: git('archive', '--format=tar', commit) })
    symlinkSync(resolve('node_modules'), join(directory, 'node_modules'))
    const { version } = json(directory, 'package.json') as { version: string }
    const lock = json(directory, 'package-lock.json') as Lock
    return await use({ directory, commit, date, version, lock })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function git(...args: string[]): Buffer {
  try {
    return execFileSync('git', args, { stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 28 })
  } catch (error) {
    const said = (error as { stderr?: Buffer }).stderr?.toString().trim()
    throw new Refusal(`git ${args[0]} failed: ${said || (error as Error).message}`)
  }
}

export function json(directory: string, name: string): unknown {
  return JSON.parse(readFileSync(join(directory, name), 'utf8'))
}
