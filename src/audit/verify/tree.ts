/**
 * Every name below the data directory: what has its place there goes to the checks for its kind, everything else is told.
 * Names are taken from the directory and never followed: a link is a finding, not a way.
 */
import { type Dirent, lstatSync, readdirSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { contracts } from '../../../contracts/index.ts'
import {
  asidePattern,
  headName,
  indexName,
  lockName,
  recordsName,
  temporaryPattern,
  tornPattern,
} from '../../storage/paths.ts'
import { isSlug } from '../options.ts'
import type { Finding, Report } from './finding.ts'

export type Tree = {
  /** Slugs of scn01 that have a records file. */
  readonly associations: readonly string[]
  readonly files: readonly OverwriteFile[]
  /** Bytes of all records files, for the progress line. */
  readonly bytes: number
}

export type OverwriteFile = {
  readonly addon: string
  readonly slug: string
  /** The name without `.json`. */
  readonly name: string
  /** Below the data directory. */
  readonly path: string
  readonly size: number
}

export type TreeOptions = { readonly report: Report; readonly checkModes: boolean; readonly now: number }

const fileMode = 0o640
const directoryMode = 0o2750

export function readTree(root: string, options: TreeOptions): Tree {
  return new Walk(root, options).run()
}

class Walk {
  readonly #root: string
  readonly #options: TreeOptions
  readonly #associations: string[] = []
  readonly #files: OverwriteFile[] = []
  #bytes = 0

  constructor(root: string, options: TreeOptions) {
    this.#root = root
    this.#options = options
  }

  run(): Tree {
    for (const entry of this.#entries('')) {
      const versions = contracts.get(entry.name)
      if (versions && entry.isDirectory()) this.#addon(entry.name, versions[0]!.storage === 'append-only')
      else this.#atTop(entry)
    }
    return { associations: this.#associations, files: this.#files, bytes: this.#bytes }
  }

  #atTop(entry: Dirent): void {
    if (entry.isFile() && entry.name === '.paused') {
      this.#tell(
        'note',
        'paused',
        entry.name,
        'the receiver is paused',
        'It answers 503 until the operator removes this file.',
      )
    } else if (entry.isFile() && entry.name === '.node_token') this.#mode(entry.name, 0o600)
    else this.#foreign(entry.name, entry)
  }

  #addon(addon: string, appendOnly: boolean): void {
    this.#mode(addon, directoryMode)
    for (const entry of this.#entries(addon)) {
      const path = join(addon, entry.name)
      if (!entry.isDirectory() || !isSlug(entry.name)) this.#foreign(path, entry)
      else {
        this.#mode(path, directoryMode)
        if (appendOnly) this.#scenarios(addon, entry.name)
        else this.#placekeys(addon, entry.name)
      }
    }
  }

  #scenarios(addon: string, slug: string): void {
    const names = new Set<string>()
    for (const entry of this.#entries(join(addon, slug))) {
      const path = join(addon, slug, entry.name)
      names.add(entry.name)
      if (entry.isFile() && entry.name === recordsName) {
        this.#bytes += this.#mode(path, fileMode)?.size ?? 0
        this.#associations.push(slug)
      } else if (entry.isFile() && (entry.name === headName || entry.name === indexName))
        this.#mode(path, fileMode)
      else if (entry.isFile() && temporaryPattern.test(entry.name)) this.#temporary(path)
      else if (entry.isDirectory() && asidePattern.test(entry.name)) this.#temporary(path)
      else if (entry.isFile() && tornPattern.test(entry.name)) this.#torn(path)
      else if (!entry.isDirectory() || entry.name !== lockName) this.#foreign(path, entry)
    }
    if (names.has(headName) && !names.has(recordsName)) {
      const path = join(addon, slug, recordsName)
      this.#tell(
        'finding',
        'shortened',
        path,
        'the records file is gone; its head file is there',
        'All records of this association were removed.',
      )
    }
  }

  #torn(path: string): void {
    this.#mode(path, fileMode)
    this.#tell(
      'note',
      'torn',
      path,
      'bytes that the receiver cut off after a crash and kept',
      'They are the unfinished end of a write that was not acknowledged. Look at them if somebody misses a submission.',
    )
  }

  #placekeys(addon: string, slug: string): void {
    for (const entry of this.#entries(join(addon, slug))) {
      const path = join(addon, slug, entry.name)
      if (entry.isFile() && temporaryPattern.test(entry.name)) this.#temporary(path)
      else if (entry.isFile() && entry.name.endsWith('.json') && !entry.name.startsWith('.')) {
        const size = this.#mode(path, fileMode)?.size
        const name = entry.name.slice(0, -'.json'.length)
        if (size !== undefined) this.#files.push({ addon, slug, name, path, size })
      } else this.#foreign(path, entry)
    }
  }

  /** A write takes milliseconds, and the receiver removes older ones when it starts. */
  #temporary(path: string): void {
    const stat = this.#stat(path)
    if (!stat || stat.mtimeMs > this.#options.now - 20_000) return
    this.#tell(
      'note',
      'temporary',
      path,
      'what a write, or the take-over of a lock, left when it was killed',
      'Nothing that was acknowledged is in it. The receiver removes it when it starts.',
    )
  }

  #foreign(path: string, entry: Dirent): void {
    if (entry.isSymbolicLink()) {
      this.#tell(
        'finding',
        'link',
        path,
        'is a symbolic link',
        'The receiver makes none. What it points to was not looked at.',
      )
    }
    if (entry.isSymbolicLink() || !this.#stat(path)) return
    const kind = entry.isDirectory() ? 'directory' : entry.isFile() ? 'file' : 'special file'
    this.#tell(
      'finding',
      'foreign',
      path,
      `a ${kind} that does not belong here`,
      'The receiver does not make it, and does not read it. It was not looked into.',
    )
  }

  /** The file's state, or undefined when it went away meanwhile. */
  #mode(path: string, expected: number): Stats | undefined {
    const stat = this.#stat(path)
    if (stat && this.#options.checkModes) this.#compareMode(path, stat, expected)
    return stat
  }

  #compareMode(path: string, stat: Stats, expected: number): void {
    const mode = stat.mode & 0o7777
    const wider = mode & ~expected & 0o0777
    const shown = `has mode ${mode.toString(8).padStart(4, '0')}, not ${expected.toString(8).padStart(4, '0')}`
    if (wider !== 0)
      this.#tell(
        'finding',
        'mode',
        path,
        shown,
        'More people can read or change it than should. In a copy, use --copy.',
      )
    else if (mode !== expected)
      this.#tell(
        'note',
        'mode',
        path,
        shown,
        'Auditors of the group may not be able to read it, or what is made inside.',
      )
    if (stat.isFile() && stat.nlink > 1) {
      this.#tell(
        'note',
        'hard link',
        path,
        `has ${stat.nlink} names`,
        'It can be changed under another name. Some backup tools make such links.',
      )
    }
  }

  #stat(path: string): Stats | undefined {
    return lstatSync(join(this.#root, path), { throwIfNoEntry: false })
  }

  #entries(path: string): Dirent[] {
    try {
      return readdirSync(join(this.#root, path), { withFileTypes: true }).sort((a, b) =>
        a.name < b.name ? -1 : 1,
      )
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return []
      if (code !== 'EACCES' && code !== 'EPERM') throw error
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
