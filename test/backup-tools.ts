/** Helpers for the tests of backup and restore: the two commands, a data directory with records, and ways to damage a file. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runBackup, runRestore } from '../src/backup/cli.ts'
import { makeKey } from './deploy/host.ts'
import { scn01, scratchDir, vs01 } from './receiver.ts'
import { stored, storeIn } from './records.ts'
import { said } from './said.ts'

/** The user and group of the tests. When root restores, it must name the owner of the restored data. */
export const me = `${process.geteuid?.()}:${process.getegid?.()}`

/** Makes a directory to work in, a key in it, and the two commands with that key. */
export function workplace() {
  const work = scratchDir()
  const key = makeKey(work, 'key')
  return {
    work,
    key,
    /** The path of a name in the directory. */
    at: (name: string): string => join(work, name),
    save: (data: string, to: string, ...more: string[]) =>
      said(runBackup, to, '--data', data, '--key', key, ...more),
    check: (from: string) => said(runRestore, from, '--check', '--key', `${key}.pub`),
    bring: (from: string, target: string, ...more: string[]) =>
      said(runRestore, from, target, '--key', `${key}.pub`, '--owner', me, ...more),
  }
}

export const slug = 'heron-ridge'
export const recordsAt = (data: string): string => join(data, 'scn01', slug, 'records.json')
export const placekey = (n: number): string => `SASE${n}-22c-at-5sb-8hm-54v`
export const fileAt = (data: string, n: number): string => join(data, 'vs01', slug, `${placekey(n)}.json`)

/** Stores envelopes as a receiver does, and makes the files look older than two seconds. */
export async function store(data: string, ...envelopes: object[]): Promise<void> {
  const store = storeIn(data)
  for (const envelope of envelopes) await stored(store, envelope)
  await store.close()
}

export async function dataWith(records: number, files: number): Promise<string> {
  const data = scratchDir()
  const scenarios = Array.from({ length: records }, (_, n) => scn01({ narrative: `record ${n}` }))
  const signs = Array.from({ length: files }, (_, n) => vs01({ participant_id: placekey(n + 1) }))
  await store(data, ...scenarios, ...signs)
  return data
}

/** The newest backup in a directory. */
export function newestIn(directory: string): string {
  const name = readdirSync(directory)
    .filter((found) => /^backup-\d/.test(found))
    .sort()
    .at(-1)
  return join(directory, name as string)
}

export function copyOf(directory: string, pattern: RegExp): string {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    if (pattern.test(entry.name)) return join(entry.parentPath, entry.name)
  throw new Error(`no ${pattern} in ${directory}`)
}

export function flip(path: string): void {
  const bytes = readFileSync(path)
  const middle = Math.floor(bytes.length / 2)
  bytes[middle] = (bytes[middle] as number) ^ 1
  writeFileSync(path, bytes)
}

export function holdsText(directory: string, text: string): boolean {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text),
  )
}

/** Alters a manifest and signs it, as anyone who has the key could. */
export function signAgain(backup: string, key: string, alter: (text: string) => string): void {
  const path = join(backup, 'manifest')
  const text = alter(readFileSync(path, 'utf8').replace(/-----BEGIN SSH[\s\S]*$/, ''))
  const signature = execFileSync(
    'ssh-keygen',
    ['-Y', 'sign', '-q', '-f', key, '-n', 'civic-orchestrator-backup'],
    { input: text, stdio: ['pipe', 'pipe', 'ignore'] },
  )
  rmSync(path)
  writeFileSync(path, text + signature)
}
