/**
 * Goes through every name below the data directory. Each file of the receiver's is handed to the checks for its kind; every
 * other name is reported. Symbolic links are reported, never followed.
 */

import { isSlug } from '../../../contracts/envelope.ts'
import { hasCode } from '../../error-code.ts'
import {
  asidePattern,
  developmentTokenName,
  directoryMode,
  fileMode,
  headName,
  ignoreName,
  lockName,
  markName,
  oldIndexPattern,
  openToOthers,
  ownTemporaryPattern,
  pausedName,
  recordsName,
  refusedName,
  timelineName,
  tornPattern,
} from '../../records/layout.ts'
import { type Place, placeName, ruleOf } from '../addons.ts'
import type { Directory, Entry, FileState } from './directory.ts'
import type { Finding, OnFinding } from './finding.ts'
import { headFile } from './head-file.ts'
import { editorsFile, isJunk } from './junk.ts'
import { Modes } from './modes.ts'

/** An association that has a records file. */
export type AppendOnly = {
  readonly place: Place
  /** The names of the files in which recoveries kept torn ends. */
  readonly torn: readonly string[]
}

export type Tree = {
  readonly associations: readonly AppendOnly[]
  readonly files: readonly OverwriteFile[]
  /** How many bytes all records files have, for the progress line. */
  readonly bytes: number
}

export type OverwriteFile = {
  readonly addon: string
  readonly slug: string
  /** The name without `.json`. */
  readonly name: string
  /** The path below the data directory. */
  readonly path: string
  readonly size: number
}

export type TreeOptions = { readonly report: OnFinding; readonly checkModes: boolean; readonly now: number }

export function readTree(directory: Directory, options: TreeOptions): Promise<Tree> {
  return new Walk(directory, options).run()
}

const ownAtTop: ReadonlySet<string> = new Set([markName, timelineName])

class Walk {
  readonly #directory: Directory
  readonly #options: TreeOptions
  readonly #associations: AppendOnly[] = []
  readonly #files: OverwriteFile[] = []
  readonly #modes = new Modes()
  readonly #junk: string[] = []
  #bytes = 0

  constructor(directory: Directory, options: TreeOptions) {
    this.#directory = directory
    this.#options = options
  }

  async run(): Promise<Tree> {
    for (const entry of await this.#entries('')) {
      const rule = ruleOf(entry.name)
      if (rule && entry.kind === 'directory') await this.#addon(entry.name, rule === 'append-only')
      else await this.#atTop(entry)
    }
    this.#tellOfJunk()
    for (const finding of this.#modes.findings()) this.#options.report(finding)
    return { associations: this.#associations, files: this.#files, bytes: this.#bytes }
  }

  async #atTop(entry: Entry): Promise<void> {
    const isFile = entry.kind === 'file'
    if (isFile && entry.name === pausedName) {
      this.#tell(
        'note',
        'paused',
        entry.name,
        'the receiver is paused',
        'It answers 503 until the operator removes this file.',
      )
    } else if (isFile && entry.name === developmentTokenName) await this.#token(entry.name)
    else if (isFile && entry.name === ignoreName) return
    else if (isFile && ownAtTop.has(entry.name)) await this.#mode(entry.name, fileMode)
    else if (isFile && ownTemporaryPattern.test(entry.name)) await this.#temporary(entry.name)
    else await this.#foreign(entry.name, entry)
  }

  async #addon(addon: string, appendOnly: boolean): Promise<void> {
    await this.#mode(addon, directoryMode)
    for (const entry of await this.#entries(addon)) {
      const path = `${addon}/${entry.name}`
      if (entry.kind !== 'directory' || !isSlug(entry.name)) await this.#foreign(path, entry)
      else {
        await this.#mode(path, directoryMode)
        if (appendOnly) await this.#records({ addon, slug: entry.name })
        else await this.#placekeys({ addon, slug: entry.name })
      }
    }
  }

  async #records(place: Place): Promise<void> {
    const torn: string[] = []
    const entries = await this.#entries(placeName(place))
    const isFile = (name: string): boolean =>
      entries.some((entry) => entry.kind === 'file' && entry.name === name)
    for (const entry of entries) {
      const path = `${placeName(place)}/${entry.name}`
      if (entry.kind === 'file' && tornPattern.test(entry.name)) torn.push(entry.name)
      await this.#besideRecords(path, entry)
    }
    if (isFile(recordsName)) this.#associations.push({ place, torn })
    else if (isFile(headName) && !entries.some(({ name }) => name === recordsName))
      await this.#headAlone(place)
  }

  async #besideRecords(path: string, entry: Entry): Promise<void> {
    const { name, kind } = entry
    const isFile = kind === 'file'
    if (isFile && name === recordsName) this.#bytes += (await this.#mode(path, fileMode))?.size ?? 0
    else if (isFile && (name === headName || oldIndexPattern.test(name))) await this.#mode(path, fileMode)
    else if (isFile && ownTemporaryPattern.test(name)) await this.#temporary(path)
    else if (kind === 'directory' && asidePattern.test(name)) await this.#temporary(path)
    else if (isFile && tornPattern.test(name)) await this.#torn(path)
    else if (isFile && name === refusedName) await this.#refused(path)
    else if (kind !== 'directory' || name !== lockName) await this.#foreign(path, entry)
  }

  /** Judges a head file without a records file. A refused first post leaves a head file that counts no record. */
  async #headAlone(place: Place): Promise<void> {
    const head = await headFile(this.#directory, place)
    const neverHeld = head.state === 'blank' || (head.state === 'read' && head.head.count === 0)
    this.#tell(
      neverHeld ? 'note' : 'finding',
      neverHeld ? 'empty' : 'shortened',
      `${placeName(place)}/${recordsName}`,
      'there is no records file; its head file is there',
      neverHeld
        ? 'The head file speaks of no record: a first submission was not stored, and its sender was told so.'
        : 'All records of this association were removed.',
    )
  }

  async #refused(path: string): Promise<void> {
    await this.#mode(path, fileMode)
    this.#tell(
      'note',
      'refused',
      path,
      'the receiver refuses this association, since its records file was not as it had written it',
      'It looks again at each post and each start, and removes this file when the records file is whole. The file says why and since when.',
    )
  }

  async #torn(path: string): Promise<void> {
    await this.#mode(path, fileMode)
    this.#tell(
      'note',
      'torn',
      path,
      'bytes that the receiver cut off after a crash and kept',
      'They are the unfinished end of a write that was not acknowledged. Look at them if somebody misses a submission.',
    )
  }

  async #placekeys({ addon, slug }: Place): Promise<void> {
    for (const entry of await this.#entries(`${addon}/${slug}`)) {
      const path = `${addon}/${slug}/${entry.name}`
      const isFile = entry.kind === 'file'
      if (isFile && ownTemporaryPattern.test(entry.name)) await this.#temporary(path)
      else if (isFile && entry.name.endsWith('.json') && !entry.name.startsWith('.')) {
        const size = (await this.#mode(path, fileMode))?.size
        const name = entry.name.slice(0, -'.json'.length)
        if (size !== undefined) this.#files.push({ addon, slug, name, path, size })
      } else await this.#foreign(path, entry)
    }
  }

  /** Reports a temporary that is older than any write, because the receiver removes old ones when it starts. */
  async #temporary(path: string): Promise<void> {
    const state = await this.#directory.state(path)
    if (!state || state.changedMs > this.#options.now - 20_000) return
    this.#tell(
      'note',
      'temporary',
      path,
      'what a write, or the take-over of a lock, left when it was killed',
      'Nothing that was acknowledged is in it. The receiver removes it when it starts.',
    )
  }

  async #foreign(path: string, entry: Entry): Promise<void> {
    if (entry.kind === 'link') {
      this.#tell(
        'finding',
        'link',
        path,
        'is a symbolic link',
        'The receiver makes none. What it points to was not looked at.',
      )
    }
    if (entry.kind === 'link' || !(await this.#directory.state(path))) return
    if (isJunk(entry)) {
      this.#junk.push(path)
      return
    }
    const isEditors = entry.kind === 'file' && editorsFile.test(entry.name)
    const kind = entry.kind === 'special' ? 'special file' : entry.kind
    this.#tell(
      'finding',
      'foreign',
      path,
      isEditors ? 'a file that an editor left' : `a ${kind} that does not belong here`,
      'The receiver does not make it, and does not read it. It was not looked into.',
    )
  }

  #tellOfJunk(): void {
    const [first, ...others] = this.#junk
    if (first === undefined) return
    this.#tell(
      'note',
      'file manager',
      first,
      others.length > 0
        ? `this and ${others.length} more are left by file managers, sticks and file systems`
        : 'is left by file managers, sticks and file systems',
      'They hold no records and were not looked into.',
    )
  }

  /** Notes the mode of a file and gives its state; undefined when the file went away meanwhile. */
  async #mode(path: string, expected: number): Promise<FileState | undefined> {
    const state = await this.#directory.state(path)
    if (!state || !this.#options.checkModes) return state
    this.#modes.see(path, state, expected)
    if (state.kind === 'file' && state.links > 1) {
      this.#tell(
        'note',
        'hard link',
        path,
        `has ${state.links} names`,
        'It can be changed under another name. Some backup tools make such links.',
      )
    }
    return state
  }

  /** Reports a development token that other users can read. */
  async #token(path: string): Promise<void> {
    const mode = ((await this.#directory.state(path))?.mode ?? 0) & 0o777
    if (!this.#options.checkModes || (mode & openToOthers) === 0) return
    this.#tell(
      'finding',
      'mode',
      path,
      `has mode ${mode.toString(8).padStart(4, '0')}, not 0600`,
      'It is the token with which a node sends. More people can read it than should; in a copy, remove it.',
    )
  }

  async #entries(path: string): Promise<readonly Entry[]> {
    try {
      return await this.#directory.entries(path)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      if (!hasCode(error, 'EACCES', 'EPERM')) throw error
      this.#tell(
        'finding',
        'unreadable',
        path,
        'cannot be opened by this user',
        "Nothing below it was checked. Ask to be put into the auditors' group.",
      )
      return []
    }
  }

  #tell(level: Finding['level'], kind: string, path: string, what: string, meaning: string): void {
    this.#options.report({ level, kind, path, what, meaning })
  }
}
