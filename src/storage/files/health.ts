/**
 * Finds out whether records can be stored now, for `/ready`. Two things are remembered: associations in which a write failed and
 * none has succeeded since, and paths that this process may not use. Everything else is looked at on each request.
 *
 * A file system that has shut itself down refuses writes but can still be read. So at most every 10 s a request also writes and
 * syncs a few bytes.
 */

import { closeSync, constants, statfsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../error-code.ts'
import { headName, ownerOnly, recordsName } from '../../records/layout.ts'
import type { Reason } from '../store.ts'
import { openFile, removeIfThere, syncFile, writeAllSync } from './durable-file.ts'
import { codeOf, ifThere, isFull, isOutOfFiles } from './fault.ts'
import { temporaryIn } from './paths.ts'

/** The free space is looked up at most this often. */
const freeSpaceMs = 250
const probeMs = 10_000
/** When a test write takes longer than this, the disk is reported as one that does not answer. */
const probeLongestMs = 5_000
/** At most so many unusable paths are remembered and looked at again, because one is enough for an operator. */
const mostUnusable = 16

const full: Reason = {
  kind: 'disk-full',
  text: 'the disk is full, or has less free space than MIN_FREE_BYTES',
}
const outOfFiles: Reason = {
  kind: 'open-files',
  text: 'this process may open no further file; see LimitNOFILE in its unit, or ulimit -n',
}

export class Health {
  readonly #root: string
  readonly #minFreeBytes: number
  #free: { readonly at: number; readonly isEnough: boolean } | undefined
  /** Associations (`<addon>/<slug>`) in which a write failed and none has succeeded since. */
  readonly #failed = new Set<string>()
  /** Addons and associations of which this process may not use everything. */
  readonly #unusable = new Set<string>()
  #hasProbeFailed = false
  #probe: { readonly at: number; readonly result: Promise<Reason | undefined> } | undefined

  constructor(root: string, minFreeBytes: number) {
    this.#root = root
    this.#minFreeBytes = minFreeBytes
  }

  /** Synchronous, because a local file system answers statfs from memory, and a turn of the thread pool costs more than that. */
  hasRoom(): boolean {
    const now = performance.now()
    if (!this.#free || now - this.#free.at > freeSpaceMs)
      this.#free = { at: now, isEnough: this.#isRoomLeft() }
    return this.#free.isEnough
  }

  stored(name: string): void {
    if (this.#failed.size > 0) this.#failed.delete(name)
    if (this.#unusable.size > 0) this.#unusable.delete(name)
    if (!this.#hasProbeFailed) return
    this.#hasProbeFailed = false
    this.#probe = undefined
  }

  async failed(name: string): Promise<void> {
    this.#failed.add(name)
    await this.look(name)
  }

  /** Remembers an addon or an association of which this process may not use everything, and forgets one that it may use. */
  async look(name: string): Promise<void> {
    if ((await unusablePart(this.#root, name)) === undefined) this.#unusable.delete(name)
    else if (this.#unusable.size < mostUnusable) this.#unusable.add(name)
  }

  /** Why nothing can be stored, or why some things cannot; empty when everything can. */
  async reasons(): Promise<Reason[]> {
    try {
      await access(this.#root, constants.R_OK | constants.W_OK | constants.X_OK)
      if (!this.#isRoomLeft()) return [full]
    } catch {
      return [{ kind: 'data-directory', text: 'the data directory cannot be read and written' }]
    }
    const refused = await this.#refusedProbe()
    const found = [refused, await this.#unusableReason()].filter((reason) => reason !== undefined)
    if (found.length > 0 || this.#failed.size === 0) return found
    return [diskError('the disk reported an error, and no write has succeeded since')]
  }

  #isRoomLeft(): boolean {
    const { bavail, bsize, ffree, files } = statfsSync(this.#root)
    return bavail * bsize >= this.#minFreeBytes && (files === 0 || ffree > 0)
  }

  async #unusableReason(): Promise<Reason | undefined> {
    for (const name of [...this.#unusable]) {
      const part = await unusablePart(this.#root, name)
      if (part === undefined) {
        this.#unusable.delete(name)
        continue
      }
      const remedy = `Mend it with: chown -R ${userName()} ${resolve(this.#root)}`
      const text = `${part} (${name}) belongs to another user, or may not be used. ${remedy}`
      return { kind: 'rights', text }
    }
    return undefined
  }

  /** The reason that the last probe found; a new probe when it is old. */
  async #refusedProbe(): Promise<Reason | undefined> {
    const now = performance.now()
    if (!this.#probe || now - this.#probe.at > probeMs) this.#probe = { at: now, result: this.#tryWrites() }
    const late = sleep(probeLongestMs, diskError('a test write has not ended: the disk does not answer'), {
      ref: false,
    })
    return Promise.race([this.#probe.result, late])
  }

  /** Tries to write where writes have failed, and in the data directory. */
  async #tryWrites(): Promise<Reason | undefined> {
    try {
      await tryWrite(this.#root)
      for (const name of this.#failed) {
        await ifThere(tryWrite(join(this.#root, name)))
        this.#failed.delete(name)
      }
      return undefined
    } catch (error) {
      this.#hasProbeFailed = true
      if (isOutOfFiles(error)) return outOfFiles
      return isFull(error) ? full : diskError(`a test write failed (${codeOf(error)})`)
    }
  }
}

function diskError(text: string): Reason {
  return { kind: 'disk-error', text }
}

async function tryWrite(directory: string): Promise<void> {
  const path = temporaryIn(directory)
  const fd = await openFile(path, 'wx', ownerOnly)
  try {
    writeAllSync(fd, Buffer.from('probe\n'), 0)
    await syncFile(fd)
  } finally {
    closeSync(fd)
    removeIfThere(path)
  }
}

/** The kind of path below `name` that this process may not use; undefined when it may use all, or when nothing is there. */
async function unusablePart(root: string, name: string): Promise<string | undefined> {
  const { R_OK, W_OK, X_OK } = constants
  const [addon = '', association] = name.split('/')
  const paths: [path: string, mode: number, kind: string][] = [
    [join(root, addon), R_OK | W_OK | X_OK, 'a directory of an addon'],
  ]
  if (association !== undefined) {
    const directory = join(root, addon, association)
    paths.push([directory, R_OK | W_OK | X_OK, 'a directory of an association'])
    paths.push([join(directory, recordsName), R_OK | W_OK, 'a records file'])
    paths.push([join(directory, headName), R_OK | W_OK, 'a head file'])
  }
  for (const [path, mode, kind] of paths) {
    try {
      await ifThere(access(path, mode))
    } catch (error) {
      if (hasCode(error, 'EACCES', 'EPERM')) return kind
    }
  }
  return undefined
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // a user id without a name
    return String(process.geteuid?.() ?? '<the user of the service>')
  }
}
