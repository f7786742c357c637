/** The commands `backup` and `restore`. */
import { existsSync } from 'node:fs'
import { CannotRun, type Exit, type Io } from '../cli/io.ts'
import { parse } from '../cli/options.ts'
import { plain } from '../cli/plain.ts'
import { progressOn } from '../cli/progress.ts'
import { backup } from './backup.ts'
import { sentence } from './findings.ts'
import { BackupRefused } from './read-back.ts'
import { backupJson, backupText, restoreJson, restoreText } from './report.ts'
import { restore } from './restore.ts'
import { CannotCheck } from './signature.ts'
import { noteStatus } from './status.ts'

const hostKey = '/etc/civic-orchestrator/backup_key'

const backupHelp = `backup DIR [--data DIR] [--key FILE | --unsigned] [--full] [--forget-missing] [--stamps DIR] [--status FILE]
           [--json] [--help]

Copies the records to a directory on another disk or machine, while the receiver runs. Run again on the same directory, it
adds what is new: append-only records are written once, of files that are replaced only the last state is kept. Everything
that was acknowledged before the time that it prints is in it, but for what it names.

DIR belongs to the user who runs this, and nobody else can write to it. What is in it counts only if its signature and its
hashes are right: a backup of which they are not is left alone, and a whole new one goes beside it.

  --data DIR        the data directory (default: DATA_DIR from the environment, else ./data)
  --key FILE        the private SSH key that signs (default: ${hostKey})
  --unsigned        no signature: whoever can write to the directory can alter the backup unseen. Reads everything again
  --full            read every copy again and compare it (default: what was touched, and a slice of all others)
  --forget-missing  remove from the backup what is no longer in the data directory (default: kept, and named)
  --stamps DIR      copy the time stamps that deploy/witness keeps there, too, to stamps/ beside the backups
  --status FILE     note there when and how this ended, for the receiver's metrics (BACKUP_STATUS)
  --json            one JSON object, with the paths of the files that are named
  --help            this text

Exit: 0 all of it, 1 made, but look at what it names, 2 not made: the backup before it stands.
`

const restoreHelp = `restore BACKUP TARGET [--key FILE | --unsigned] [--owner USER[:GROUP]] [--json] [--help]
restore BACKUP --check [--key FILE | --unsigned] [--json]

Makes a data directory from a backup. TARGET is empty or not there; nothing is ever overwritten. The signature, every hash
and every chain are verified before the first record is in its place. Interrupted, it leaves a directory in which a receiver
stores nothing; run again, it begins anew or goes on.

BACKUP is what backup was given, and its newest backup counts; or one backup-… in it.

  --key FILE   the public SSH key that the backup is signed with (default: ${hostKey}.pub)
  --unsigned   do not look at the signature
  --owner …    run as root: to whom the data are to belong (default: the owner of TARGET, if that is not root, else the
               user of an installation on this machine)
  --check      verify the backup and write nothing
  --json       one JSON object
  --help       this text

Exit: 0 done, 1 refused: the backup is damaged or foreign, 2 could not run or could not check; then nothing was restored.
`

type CommandRun = (args: readonly string[], io: Io) => Promise<Exit>

export const runBackup: CommandRun = async (args, io) => {
  let status: string | undefined
  let isMade = false
  const exit = await guarded('backup', backupHelp, args, io, async () => {
    const options = parse(
      args,
      {
        ...signing,
        full: { type: 'boolean' },
        'forget-missing': { type: 'boolean' },
        stamps: { type: 'string' },
        status: { type: 'string' },
      },
      1,
    )
    status = options.text('status')
    const [directory] = options.positionals
    if (directory === undefined) throw new CannotRun('name the directory of the backup')
    const progress = progressOn(io)
    const began = performance.now()
    const done = await backup({
      data: options.data,
      directory,
      stamps: options.text('stamps'),
      key: keyOf(options, hostKey),
      forgetMissing: options.flag('forget-missing'),
      full: options.flag('full'),
      onProgress: progress.show,
    }).finally(progress.clear)
    isMade = true
    await io.out(options.json ? backupJson(done) : backupText(done, performance.now() - began))
    // paths name participants, so they are shown only to a person at a terminal and never in the log of the timer
    for (const finding of done.findings) io.err(`backup: ${plain(sentence(finding, io.watched))}\n`)
    for (const name of done.others) io.err(`backup: beside it lies ${name}, which was not looked at\n`)
    return done.findings.length > 0 ? 1 : 0
  })
  if (status === undefined) return exit
  try {
    await noteStatus(status, { exit, isMade }, new Date())
    return exit
  } catch (error) {
    io.err(`backup: the note of how it ended could not be written: ${plain((error as Error).message)}\n`)
    return 2
  }
}

export const runRestore: CommandRun = (args, io) =>
  guarded('restore', restoreHelp, args, io, async () => {
    const options = parse(args, { ...signing, check: { type: 'boolean' }, owner: { type: 'string' } }, 2)
    const [from, target] = options.positionals
    const check = options.flag('check')
    if (from === undefined || (target === undefined) !== check)
      throw new CannotRun('name the backup, and either the directory to restore to or --check')
    const progress = progressOn(io)
    const done = await restore({
      backup: from,
      target,
      publicKey: keyOf(options, `${hostKey}.pub`),
      owner: options.text('owner'),
      onProgress: progress.show,
    }).finally(progress.clear)
    await io.out(options.json ? restoreJson(done, check) : restoreText(done, check))
    for (const warning of done.warnings) io.err(`restore: ${plain(warning)}\n`)
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
    if (error instanceof BackupRefused) {
      io.err(`${name}: refused: ${plain(error.message)}\n`)
      return 1
    }
    const isPlain =
      error instanceof CannotRun ||
      error instanceof CannotCheck ||
      typeof (error as NodeJS.ErrnoException).code === 'string'
    if (!isPlain) throw error
    io.err(`${name}: ${plain((error as Error).message)}\n`)
    return 2
  }
}
