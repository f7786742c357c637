/**
 * The directory into which a backup is restored. All of the backup is restored or nothing, although several names are moved.
 *
 *   TARGET/.paused            while this file exists, the receiver answers 503 to every post, so nothing is stored beside half a restore
 *   TARGET/.restoring/        holds everything until all of it was read and compared; only its maker can look into it
 *   TARGET/.restoring/ready   everything is there; an interrupted restore goes on from here
 *
 * If the restore is killed before `ready`, nothing is in its place, and the next restore begins anew. If it is killed later,
 * the next restore of the same backup moves the rest. In both cases the receiver stores nothing until then.
 *
 * Root works here below a directory that the receiver's user can write to. So the directories are held open, and every path
 * begins at an open directory (`/proc/<pid>/fd/<n>`). If that user renames a directory or puts a link in its place, the restore
 * is not misled.
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
  openToOthers,
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
/** A directory that holds only these names counts as empty. */
const noData = new Set([pausedName, basename(developmentTokenFile('')), markName, 'lost+found', restoring])

/** A directory that is held open. `path` leads to it even when it is renamed. */
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

  /** Makes the directory when it does not exist. Everything is given to `owner`; if that is undefined, it stays this user's. */
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
    if (uid !== process.geteuid?.() || (mode & openToOthers) !== 0)
      throw new CannotRun(`${join(this.#name, restoring)} was made by another user: remove it first`)
    return work
  }

  /** Pauses the receiver unless it is paused already, because a pause of the operator must stay afterwards. */
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
      // the pause was removed by somebody, or was made by the operator
    }
  }

  /** Receives the files of an association below `.restoring/`. */
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

  /** Sets the owner and the mode that the receiver would give, whatever the umask. */
  #give(fd: number, mode: number): void {
    if (this.#owner) fchownSync(fd, this.#owner.uid, this.#owner.gid)
    fchmodSync(fd, mode)
  }

  /** Called when everything is on disk. From now on an interrupted restore is continued and not begun anew. */
  markReady(backupId: string): void {
    const fd = openSync(join(this.#workPath, ready), 'wx', ownerOnly)
    writeAllSync(fd, Buffer.from(backupId), 0)
    fsyncSync(fd)
    closeSync(fd)
    fsyncSync(this.#work!.fd)
  }

  /** Moves everything to its place. If a name was taken meanwhile, everything that was moved is moved back. */
  finish(addons: readonly string[]): void {
    const names = readdirSync(this.#workPath).filter((name) => name !== ready)
    const moved = addons.filter((name) => !names.includes(name) && this.#isThere(name))
    for (const name of names) {
      try {
        // fails when the name exists and is not an empty directory
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

  /** Undoes everything: nothing is in its place, and the receiver stores again. */
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
