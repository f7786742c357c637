/**
 * The directory that is restored to, where whole or nothing has to hold although several names are put in their places.
 *
 *   TARGET/.paused       the receiver answers 503 to every post while it is there, so nothing is stored beside half of a restore
 *   TARGET/.restoring/   everything, until all of it was read and compared; only its maker can look into it
 *   TARGET/.restoring/ready   all of it is there: from now on a restore that is interrupted goes on where it was
 *
 * Killed before `ready`, nothing is in its place, and the next restore begins anew. Killed after it, the next restore of the same
 * backup moves the rest. Either way the receiver stores nothing until then.
 *
 * Root works here below a directory that the receiver's user can write to. So the directory and what is made in it are held open,
 * and everything is named from there (`/proc/<pid>/fd/<n>`): what that user renames or links meanwhile leads nowhere else.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { CannotRun } from '../cli/io.ts'
import { hasCode } from '../error-code.ts'
import {
  directoryMode,
  fileMode,
  markName,
  ownerOnly,
  ownerOnlyDirectory,
  type RecordPath,
} from '../records/layout.ts'
import { writeAllSync } from '../storage/files/durable-file.ts'
import { developmentTokenFile, pausedFile } from '../storage/files/paths.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import type { Owner } from './owner.ts'
import type { Sink } from './read-back.ts'

const restoring = '.restoring'
const ready = 'ready'
const reason = 'a restore into this directory was not finished: run it again\n'
const pausedName = basename(pausedFile(''))
/** May be in a directory that counts as empty. */
const noData = new Set([pausedName, basename(developmentTokenFile('')), markName, 'lost+found', restoring])

/** A directory that is held open; `path` leads to it whatever becomes of its name. */
type HeldDirectory = { readonly fd: number; readonly path: string }

function hold(path: string): HeldDirectory {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  return { fd, path: `/proc/${process.pid}/fd/${fd}` }
}

export class RestoreTarget {
  readonly #name: string
  readonly #owner: Owner | undefined
  readonly #target: HeldDirectory
  #work: HeldDirectory | undefined

  /** Makes the directory when it is not there. `owner`: to whom everything is given; undefined: it stays this user's. */
  constructor(name: string, owner: Owner | undefined) {
    this.#name = name
    this.#owner = owner
    const isThere = lstatSync(name, { throwIfNoEntry: false }) !== undefined
    if (!isThere) mkdirSync(name, { recursive: true, mode: ownerOnlyDirectory })
    this.#target = hold(name)
    if (!isThere) this.#give(this.#target.fd, directoryMode)
  }

  get belongsToAnother(): boolean {
    return this.#owner === undefined && fstatSync(this.#target.fd).uid !== process.geteuid?.()
  }

  /** True when an earlier restore of the same backup was interrupted after everything was there. */
  begin(backupId: string): boolean {
    const others = readdirSync(this.#target.path).filter((name) => !noData.has(name))
    const isReady = this.#isReady(backupId)
    if (others.length > 0 && !isReady)
      throw new CannotRun(
        `${this.#name} is not empty, and nothing is ever overwritten: move what is in it away first`,
      )
    if (isReady) return true
    this.#pause()
    this.#removeWork()
    mkdirSync(this.#at(restoring), { mode: ownerOnlyDirectory })
    this.#work = this.#holdWork()
    return false
  }

  #at(name: string): string {
    return join(this.#target.path, name)
  }

  #isReady(backupId: string): boolean {
    if (!lstatSync(this.#at(restoring), { throwIfNoEntry: false })) return false
    this.#work = this.#holdWork()
    try {
      return readRegularSync(join(this.#work.path, ready), 100).toString() === backupId
    } catch {
      return false
    }
  }

  #holdWork(): HeldDirectory {
    const work = hold(this.#at(restoring))
    const { uid, mode } = fstatSync(work.fd)
    if (uid !== process.geteuid?.() || (mode & 0o077) !== 0)
      throw new CannotRun(`${join(this.#name, restoring)} was made by another user: remove it first`)
    return work
  }

  /** Only where there is none: an operator's own pause stays afterwards. */
  #pause(): void {
    try {
      const fd = openSync(this.#at(pausedName), 'wx', fileMode)
      writeAllSync(fd, Buffer.from(reason), 0)
      this.#give(fd, fileMode)
      closeSync(fd)
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
    }
    fsyncSync(this.#target.fd)
  }

  #resume(): void {
    try {
      if (readRegularSync(this.#at(pausedName), 1_000).toString() === reason) unlinkSync(this.#at(pausedName))
    } catch {
      // removed by somebody, or not ours
    }
  }

  /** Where the files of an association go until all is there. */
  sinkFor({ addon, association_slug }: RecordPath): Sink {
    const directory = join(this.#workPath, addon, association_slug)
    this.#makeDirectory(join(this.#workPath, addon))
    this.#makeDirectory(directory)
    const create = (name: string): number => openSync(join(directory, name), 'wx', fileMode)
    const end = (fd: number): void => {
      this.#give(fd, fileMode)
      closeSync(fd)
    }
    return {
      put(name, bytes) {
        const fd = create(name)
        writeAllSync(fd, bytes, 0)
        end(fd)
      },
      begin(name) {
        const fd = create(name)
        let at = 0
        return {
          add(bytes) {
            writeAllSync(fd, bytes, at)
            at += bytes.length
          },
          end: () => end(fd),
        }
      },
    }
  }

  get #workPath(): string {
    return this.#work!.path
  }

  #makeDirectory(path: string): void {
    try {
      mkdirSync(path)
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return
      throw error
    }
    const { fd } = hold(path)
    this.#give(fd, directoryMode)
    closeSync(fd)
  }

  /** Owner and mode as the receiver makes them, whatever the umask. */
  #give(fd: number, mode: number): void {
    if (this.#owner) fchownSync(fd, this.#owner.uid, this.#owner.gid)
    fchmodSync(fd, mode)
  }

  /** From here on an interrupted restore goes on. Everything that was written is on disk. */
  markReady(backupId: string): void {
    const fd = openSync(join(this.#workPath, ready), 'wx', ownerOnly)
    writeAllSync(fd, Buffer.from(backupId), 0)
    fsyncSync(fd)
    closeSync(fd)
    fsyncSync(this.#work!.fd)
  }

  /** Puts everything in its place. If one name is taken meanwhile, all that were moved go back and out. */
  finish(addons: readonly string[]): void {
    const names = readdirSync(this.#workPath).filter((name) => name !== ready)
    const moved = addons.filter((name) => !names.includes(name) && this.#isThere(name))
    for (const name of names) {
      try {
        // fails when the name is taken by anything but an empty directory
        renameSync(join(this.#workPath, name), this.#at(name))
        moved.push(name)
      } catch (error) {
        for (const back of moved) renameSync(this.#at(back), join(this.#workPath, back))
        throw new CannotRun(
          `${join(this.#name, name)} has appeared meanwhile (${(error as NodeJS.ErrnoException).code}): stop the receiver, and restore into an empty directory`,
        )
      }
    }
    fsyncSync(this.#target.fd)
    this.#resume()
    this.#removeWork()
    fsyncSync(this.#target.fd)
  }

  #isThere(name: string): boolean {
    return lstatSync(this.#at(name), { throwIfNoEntry: false }) !== undefined
  }

  /** As it was before: nothing is in its place, and the receiver stores again. */
  abandon(): void {
    this.#removeWork()
    this.#resume()
  }

  #removeWork(): void {
    if (!this.#isThere(restoring)) return
    this.#work ??= this.#holdWork()
    for (const name of readdirSync(this.#work.path)) rmSync(join(this.#work.path, name), { recursive: true })
    closeSync(this.#work.fd)
    this.#work = undefined
    rmdirSync(this.#at(restoring))
  }

  close(): void {
    if (this.#work) closeSync(this.#work.fd)
    this.#work = undefined
    closeSync(this.#target.fd)
  }
}
