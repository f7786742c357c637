/** The two commands of a terminal: `backup` and `restore`. */
import { existsSync } from 'node:fs'
import { CannotRun, type Exit, type Io } from '../audit/io.ts'
import { parse } from '../audit/options.ts'
import { plain } from '../audit/plain.ts'
import { progressOn } from '../audit/progress.ts'
import { type BackedUp, backup } from './backup.ts'
import { associationsIn, Refused, type Restored, restore } from './restore.ts'

const hostKey = '/etc/civic-orchestrator/backup_key'

const backupHelp = `backup DIR [--data DIR] [--key FILE | --unsigned] [--forget-missing] [--json] [--help]

Copies the records to a directory on another disk or machine, while the receiver runs. Run again on the same directory, it
adds what is new: append-only records are written once, of files that are replaced only the last state is kept. Everything
that was acknowledged before the time that it prints is in it.

  --data DIR        the data directory (default: DATA_DIR from the environment, else ./data)
  --key FILE        the private SSH key that signs (default: ${hostKey})
  --unsigned        no signature: whoever can write to the directory can alter the backup unseen
  --forget-missing  remove from the backup what is no longer in the data directory (default: kept, and named)
  --json            one JSON object
  --help            this text

Exit: 0 all of it, 1 made, but look at what it names, 2 not made: the backup before it stands.
`

const restoreHelp = `restore BACKUP TARGET [--key FILE | --unsigned] [--json] [--help]
restore BACKUP --check [--key FILE | --unsigned] [--json]

Makes a data directory from a backup. TARGET is empty or not there; nothing is ever overwritten. The signature, every hash
and every chain are verified before the first record is in its place.

  --key FILE   the public SSH key that the backup is signed with (default: ${hostKey}.pub)
  --unsigned   do not look at the signature
  --check      verify the backup and write nothing
  --json       one JSON object
  --help       this text

Exit: 0 done, 1 refused: the backup is damaged or foreign, 2 could not run; then nothing was restored.
`

type Run = (args: readonly string[], io: Io) => Promise<Exit>

export const runBackup: Run = (args, io) =>
  guarded('backup', backupHelp, args, io, async () => {
    const options = parse(args, { ...signing, 'forget-missing': { type: 'boolean' } }, 1)
    const [directory] = options.positionals
    if (directory === undefined) throw new CannotRun('name the directory of the backup')
    const progress = progressOn(io)
    const began = performance.now()
    const done = await backup({
      data: options.data,
      directory,
      key: keyOf(options, hostKey),
      forgetMissing: options.flag('forget-missing'),
      onProgress: progress.show,
    }).finally(progress.clear)
    await io.out(options.json ? backupJson(done) : backupText(done, performance.now() - began))
    for (const { association, what } of done.findings) io.err(`backup: ${plain(association)}: ${what}\n`)
    return done.findings.length > 0 ? 1 : 0
  })

export const runRestore: Run = (args, io) =>
  guarded('restore', restoreHelp, args, io, async () => {
    const options = parse(args, { ...signing, check: { type: 'boolean' } }, 2)
    const [from, target] = options.positionals
    const check = options.flag('check')
    if (from === undefined || (target === undefined) !== check)
      throw new CannotRun('name the backup, and either the directory to restore to or --check')
    const progress = progressOn(io)
    const done = await restore({
      backup: from,
      target,
      publicKey: keyOf(options, `${hostKey}.pub`),
      onProgress: progress.show,
    }).finally(progress.clear)
    await io.out(options.json ? restoreJson(done, check) : restoreText(done, check))
    for (const warning of done.warnings) io.err(`restore: ${warning}\n`)
    return 0
  })

const signing = { key: { type: 'string' }, unsigned: { type: 'boolean' } } as const

function keyOf({ text, flag }: ReturnType<typeof parse>, otherwise: string): string | undefined {
  if (flag('unsigned')) return undefined
  const key = text('key') ?? otherwise
  if (!existsSync(key)) throw new CannotRun(`there is no key ${key}: give one with --key, or say --unsigned`)
  return key
}

async function guarded(
  name: string,
  help: string,
  args: readonly string[],
  io: Io,
  run: () => Promise<Exit>,
): Promise<Exit> {
  if (args.includes('--help') || args.includes('-h')) {
    await io.out(help)
    return 0
  }
  try {
    return await run()
  } catch (error) {
    if (error instanceof Refused) {
      io.err(`${name}: refused: ${plain(error.message)}\n`)
      return 1
    }
    const isPlain = error instanceof CannotRun || typeof (error as NodeJS.ErrnoException).code === 'string'
    if (!isPlain) throw error
    io.err(`${name}: ${plain((error as Error).message)}\n`)
    return 2
  }
}

function backupJson({ manifest, findings, bytesWritten }: BackedUp): string {
  const { complete_until } = manifest
  const associations = associationsIn(manifest)
  return `${JSON.stringify({ complete_until, bytes_written: bytesWritten, associations, findings })}\n`
}

function backupText({ manifest, bytesWritten }: BackedUp, ms: number): string {
  const { records, count } = totals(manifest)
  const megabytes = (bytesWritten / 1e6).toFixed(1)
  return `${records} records of ${count} associations; ${megabytes} MB written in ${(ms / 1000).toFixed(1)} s
Everything acknowledged before ${manifest.complete_until} is in it.
`
}

function restoreJson({ manifest, warnings }: Restored, check: boolean): string {
  const { complete_until } = manifest
  return `${JSON.stringify({ restored: !check, complete_until, associations: associationsIn(manifest), warnings })}\n`
}

function restoreText({ manifest }: Restored, check: boolean): string {
  const { records, count } = totals(manifest)
  const lines = associationsIn(manifest).map(
    (each) => `${String(each.records).padStart(9)}  ${each.association}\n`,
  )
  return `${lines.join('')}${records} records of ${count} associations ${check ? 'are whole' : 'are back'}; everything acknowledged before ${manifest.complete_until}
`
}

function totals(manifest: Restored['manifest']): { records: number; count: number } {
  const all = associationsIn(manifest)
  return { records: all.reduce((sum, { records }) => sum + records, 0), count: all.length }
}
