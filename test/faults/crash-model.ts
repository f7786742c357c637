/**
 * Computes the states that a crash can leave on a disk, from the calls that were made before it.
 *
 * The rules promise less than any file system on which this program may run:
 *   - The bytes and the size of a file are certainly on disk when an fsync or fdatasync of the file started after the write had ended. A name is
 *     certainly on disk when an fsync of its directory started after the change. Nothing else orders any writes.
 *   - A name that is not synced has any of the values that it had since the last sync. A file that is not synced has one of these contents: any
 *     state since the last sync; a write cut at any byte; for each 512-byte sector any of its contents in these states, with any of their
 *     sizes or cut at a sector. A sector after the old end that was not written is zero.
 * A sector holds either its old or its new bytes, as every disk promises. Synced data that is not written again stays.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import type { Outcome } from '../../contracts/record.ts'
import type { Random } from './random.ts'
import type { StoredEnvelope } from './stored.ts'
import type { Call } from './system-calls.ts'

/** The steps run one after another; the posts of a step run at once. */
export type Scenario = {
  readonly name: string
  readonly root: string
  readonly steps: readonly (readonly StoredEnvelope[])[]
}

/** A post, by its number in the scenario, and its outcome. */
export type Answered = { readonly post: number; readonly outcome: Outcome }

/** Paths are relative to the data directory. A directory comes before its content. */
export type State = {
  readonly directories: readonly string[]
  readonly files: ReadonlyMap<string, Buffer>
  readonly answered: readonly Answered[]
}

type Version = {
  readonly end: number
  readonly bytes: Buffer
  /** The place of the write that made this version. */
  readonly write?: { readonly offset: number; readonly length: number }
}
type Directory = { readonly names: Map<string, { end: number; node: Node | undefined }[]> }
/** `versions[0]` is on disk. The later versions may be. */
type File = { versions: Version[] }
type Node = Directory | File

const isDirectory = (node: Node): node is Directory => 'names' in node

/** A disk as the program sees it. It remembers the changes that are not synced. */
class Disk {
  readonly #root: string
  readonly top: Directory = { names: new Map() }

  /** The paths of the calls are below `root`. The content of `before` was there at the beginning and counts as synced. */
  constructor(root: string, before: string) {
    this.#root = root
    this.#load(before, this.top)
  }

  #load(path: string, into: Directory): void {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const here = join(path, entry.name)
      const node: Node = entry.isDirectory()
        ? { names: new Map() }
        : { versions: [{ end: -1, bytes: readFileSync(here) }] }
      if (isDirectory(node)) this.#load(here, node)
      into.names.set(entry.name, [{ end: -1, node }])
    }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.top
    for (const name of relative(this.#root, path).split('/').filter(Boolean)) {
      node = node && isDirectory(node) ? node.names.get(name)?.at(-1)?.node : undefined
    }
    return node
  }

  #name(path: string, end: number, node: Node | undefined): void {
    const { names } = this.#find(dirname(path)) as Directory
    const history = names.get(basename(path)) ?? [{ end: -1, node: undefined }]
    names.set(basename(path), [...history, { end, node }])
  }

  #change(path: string, end: number, change: (bytes: Buffer) => Buffer, write?: Version['write']): void {
    // The file is open and has no name any more.
    const file = this.#find(path.replace(/ \(deleted\)$/, '')) as File | undefined
    if (!file) return
    const bytes = change((file.versions.at(-1) as Version).bytes)
    file.versions.push(write ? { end, bytes, write } : { end, bytes })
  }

  apply(call: Call): void {
    switch (call.kind) {
      case 'mkdir':
        this.#name(call.path, call.end, { names: new Map() })
        break
      case 'create':
        if (!this.#find(call.path))
          this.#name(call.path, call.end, { versions: [{ end: -1, bytes: Buffer.alloc(0) }] })
        else if (call.truncates) this.#change(call.path, call.end, () => Buffer.alloc(0))
        break
      case 'write': {
        const { offset, bytes } = call
        if (bytes.length === 0) break
        const written = (old: Buffer): Buffer => {
          const gap = Buffer.alloc(Math.max(offset - old.length, 0))
          return Buffer.concat([old.subarray(0, offset), gap, bytes, old.subarray(offset + bytes.length)])
        }
        this.#change(call.path, call.end, written, { offset, length: bytes.length })
        break
      }
      case 'resize':
        this.#change(call.path, call.end, (old) =>
          Buffer.concat([old.subarray(0, call.size), Buffer.alloc(Math.max(call.size - old.length, 0))]),
        )
        break
      case 'link':
        this.#name(call.to, call.end, this.#find(call.path))
        break
      case 'rename': {
        const node = this.#find(call.path)
        this.#name(call.to, call.end, node)
        this.#name(call.path, call.end, undefined)
        break
      }
      case 'remove':
        this.#name(call.path, call.end, undefined)
        break
      case 'sync':
        this.#sync(this.#find(call.path), call.start)
        break
      default:
    }
  }

  #sync(node: Node | undefined, before: number): void {
    const covered = <T extends { end: number }>(history: T[]): T[] =>
      history.slice(history.findLastIndex(({ end }) => end < before))
    if (!node) return
    if (!isDirectory(node)) node.versions = covered(node.versions)
    else for (const [name, history] of node.names) node.names.set(name, covered(history))
  }
}

const sector = 512

/** The numbers of cuts, sectors and names to take when there are too many to take all. */
export type Limits = { readonly cuts: number; readonly sectors: number; readonly names: number }

/** The contents that a file may have after a crash. They are functions, so that contents that are not chosen cost nothing. */
function* contents(versions: readonly Version[], limits: Limits, random: Random): Generator<() => Buffer> {
  for (const { bytes } of versions) yield () => bytes
  if (versions.length === 1) return
  for (const [at, { bytes, write }] of versions.entries()) {
    if (!write || at === 0) continue
    const old = (versions[at - 1] as Version).bytes
    // A disk does not tear a sector, but a few such cuts are taken nevertheless.
    const most = old.length === bytes.length && bytes.length <= sector ? 8 : limits.cuts
    for (const cut of cutsOf(bytes.subarray(write.offset, write.offset + write.length), most, random)) {
      const arrived = write.offset + cut
      yield () => Buffer.concat([bytes.subarray(0, arrived), old.subarray(arrived)])
    }
  }
  yield* mixtures(versions, limits.sectors, random)
}

/** Every byte of a write. If there are too many, those around line ends, and others at random. */
function* cutsOf(written: Buffer, limit: number, random: Random): Generator<number> {
  if (written.length <= limit) {
    for (let cut = 1; cut < written.length; cut++) yield cut
    return
  }
  let left = limit
  for (
    let feed = written.indexOf(10);
    feed !== -1 && left > limit / 2;
    feed = written.indexOf(10, feed + 1)
  ) {
    for (let cut = Math.max(feed - 4, 1); cut < feed + 3; cut++, left--) yield cut
  }
  for (; left > 0; left--) yield 1 + random.below(written.length - 1)
}

/** Every subset of the touched sectors, at every size; at most `limit` of them. */
function* mixtures(versions: readonly Version[], limit: number, random: Random): Generator<() => Buffer> {
  const longest = Math.max(...versions.map(({ bytes }) => bytes.length))
  const padded = versions.map(({ bytes }) =>
    Buffer.concat([bytes, Buffer.alloc(Math.ceil(longest / sector) * sector - bytes.length)]),
  )
  const choices: Buffer[][] = []
  for (let at = 0; at < longest; at += sector) {
    const held = new Map(padded.map((bytes) => [bytes.toString('latin1', at, at + sector), bytes]))
    choices.push([...held.values()].map((bytes) => bytes.subarray(at, at + sector)))
  }
  const [first = 0] = versions.map(({ bytes }) => bytes.length)
  const sizes = [...new Set(versions.map(({ bytes }) => bytes.length))]
  for (let size = Math.ceil((first + 1) / sector) * sector; size < longest; size += sector) sizes.push(size)
  const free = choices.flatMap((choice, at) => (choice.length > 1 ? [at] : []))
  const count = free.reduce((product, at) => product * (choices[at] as Buffer[]).length, sizes.length)
  const build = (pick: (options: number) => number) => (): Buffer => {
    const size = sizes[pick(sizes.length)] as number
    const parts = choices.map((options) => options[options.length > 1 ? pick(options.length) : 0] as Buffer)
    return Buffer.concat(parts).subarray(0, size)
  }
  if (count > limit) {
    for (let n = 0; n < limit; n++) yield build((options) => random.below(options))
    return
  }
  for (let n = 0; n < count; n++) {
    yield () => {
      let rest = n
      return build((options) => {
        const digit = rest % options
        rest = Math.floor(rest / options)
        return digit
      })()
    }
  }
}

type NameChoice = { readonly history: readonly { readonly node: Node | undefined }[]; at: number }

/** Makes one tree: chooses a value for each name, then a content for each file that these names lead to. */
function treeOf(
  top: Directory,
  chosen: Map<unknown, NameChoice>,
): { directories: string[]; files: Map<string, File> } {
  const directories: string[] = []
  const files = new Map<string, File>()
  const walk = (directory: Directory, path: string): void => {
    for (const [name, history] of directory.names) {
      const node = history[chosen.get(history)?.at ?? history.length - 1]?.node
      if (!node) continue
      const here = join(path, name)
      if (isDirectory(node)) {
        directories.push(here)
        walk(node, here)
      } else files.set(here, node)
    }
  }
  walk(top, '')
  return { directories, files }
}

function openNames(directory: Directory, found = new Map<unknown, NameChoice>()): Map<unknown, NameChoice> {
  for (const history of directory.names.values()) {
    if (history.length > 1) found.set(history, { history, at: 0 })
    for (const { node } of history) if (node && isDirectory(node)) openNames(node, found)
  }
  return found
}

/** Every combination of the values of names; at most `limit` of them. */
function* nameChoices(top: Directory, limit: number, random: Random): Generator<Map<unknown, NameChoice>> {
  const names = openNames(top)
  const count = [...names.values()].reduce((product, { history }) => product * history.length, 1)
  for (let n = 0; n < Math.min(count, limit); n++) {
    let rest = count > limit ? random.below(count) : n
    for (const choice of names.values()) {
      choice.at = rest % choice.history.length
      rest = Math.floor(rest / choice.history.length)
    }
    yield names
  }
}

/** The states that a crash at this moment can leave, as functions. They take all contents of each file, with random contents of the others. */
function* statesNow(disk: Disk, most: Limits, random: Random): Generator<() => Omit<State, 'answered'>> {
  const names = [...openNames(disk.top).values()].reduce(
    (product, { history }) => product * history.length,
    1,
  )
  // When many names are not synced, few contents are taken for each choice of names.
  const limits = names > most.names ? { ...most, cuts: 4, sectors: 4 } : most
  for (const chosen of nameChoices(disk.top, limits.names, random)) {
    const { directories, files } = treeOf(disk.top, chosen)
    const open = [...files].filter(([, { versions }]) => versions.length > 1)
    const simple = (): Map<string, Buffer> =>
      new Map([...files].map(([path, { versions }]) => [path, random.of(versions).bytes]))
    if (open.length === 0) yield () => ({ directories, files: simple() })
    for (const [path, { versions }] of open) {
      for (const content of contents([...versions], limits, random)) {
        yield () => ({ directories, files: simple().set(path, content()) })
      }
    }
  }
}

/**
 * All states that a crash at any moment of a run in `root` can leave, each once. `before` is a copy of `root` at the beginning. Each state is taken
 * with the probability `share`. States of a crash before `since` are left out.
 */
export function* crashStates(
  root: string,
  before: string,
  calls: readonly Call[],
  limits: Limits,
  share: number,
  random: Random,
  since = 0,
): Generator<State> {
  const disk = new Disk(root, before)
  const answered: Answered[] = []
  const known = new Set<string>()
  // A change may be on disk from its start on. A sync is complete at its end.
  const when = (call: Call): number => (call.kind === 'sync' ? call.end : call.start)
  for (const call of calls.toSorted((a, b) => when(a) - when(b))) {
    disk.apply(call)
    if (call.kind === 'said') {
      const words = JSON.parse(call.line) as Answered
      if (words.outcome?.ok) answered.push(words)
    }
    if (when(call) < since) continue
    for (const make of statesNow(disk, limits, random)) {
      if (random.below(1e9) >= share * 1e9) continue
      const state = { ...make(), answered: [...answered] }
      const digest = digestOf(state)
      if (known.has(digest)) continue
      known.add(digest)
      yield state
    }
  }
}

/** The state when the process is killed after these calls and the power stays on. */
export function stateAfter(root: string, before: string, calls: readonly Call[]): State {
  const disk = new Disk(root, before)
  for (const call of calls) disk.apply(call)
  const { directories, files } = treeOf(disk.top, new Map())
  const bytes = [...files].map(([path, { versions }]) => [path, (versions.at(-1) as Version).bytes] as const)
  return { directories, files: new Map(bytes), answered: [] }
}

/** Joins two runs: the calls of the second one look as if they had been made later in the directory of the first. */
export function joined(
  first: { readonly root: string; readonly calls: readonly Call[] },
  second: { readonly root: string; readonly calls: readonly Call[] },
): { readonly calls: readonly Call[]; readonly since: number } {
  const since = 1 + Math.max(...first.calls.map(({ end }) => end))
  const moved = (path: string): string => first.root + path.slice(second.root.length)
  const later = second.calls.map((call): Call => {
    const at = { start: call.start + since, end: call.end + since }
    if (call.kind === 'said') return { ...call, ...at }
    if (call.kind === 'rename' || call.kind === 'link')
      return { ...call, ...at, path: moved(call.path), to: moved(call.to) }
    return { ...call, ...at, path: moved(call.path) }
  })
  return { calls: [...first.calls, ...later], since }
}

function digestOf({ directories, files, answered }: State): string {
  const sum = createHash('sha256').update(`${answered.length} ${directories.join(' ')}`)
  for (const [path, bytes] of files) sum.update(`\n${path} ${bytes.length}\n`).update(bytes)
  return sum.digest('base64')
}

export function materialise(root: string, { directories, files }: State): void {
  mkdirSync(root, { recursive: true })
  for (const directory of directories) mkdirSync(join(root, directory))
  for (const [path, bytes] of files) writeFileSync(join(root, path), bytes)
}
