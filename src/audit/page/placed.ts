/**
 * Finds the data directory among the opened files. Somebody may have opened the directory itself, a folder around it, a memory
 * stick with two copies, a part of it, or single files. Files outside of a data directory are counted and reported.
 */
import { isSlug } from '../../../contracts/envelope.ts'
import { headName, markName, recordsName } from '../../records/layout.ts'
import { longestLine } from '../../records/lines.ts'
import { ruleOf } from '../addons.ts'
import type { Opened } from './opened-directory.ts'
import { isStamp, type UncheckedStamps, uncheckedStamps } from './unchecked-stamps.ts'

export type Placed = {
  readonly files: readonly Opened[]
  /** How many opened files are outside of the data directory, without stamps. */
  readonly outside: number
  /** The paths of several data directories, of which the person has to choose one. */
  readonly choices: readonly string[]
  readonly stamps: UncheckedStamps
}

export const nothingPlaced: Placed = {
  files: [],
  outside: 0,
  choices: [],
  stamps: { files: [], commands: [] },
}

export async function placed(opened: readonly Opened[], chosen?: string): Promise<Placed> {
  const roots = chosen === undefined ? rootsIn(opened) : [chosen]
  if (roots.length > 1) return { ...nothingPlaced, choices: roots }
  const [root] = roots
  const paths = opened.map(({ path }) => path)
  const stamps = uncheckedStamps(paths, root)
  if (root === undefined) return { ...nothingPlaced, ...(await loose(opened)), stamps }
  const files = opened.filter(({ path }) => path.startsWith(root)).map(below(root))
  const outside = paths.filter((path) => !path.startsWith(root) && !isStamp(path)).length
  return { files, outside, choices: [], stamps }
}

const below = (root: string) => (opened: Opened) => ({ ...opened, path: opened.path.slice(root.length) })

/** The paths of directories that have the form of a data directory, with a slash at the end. Nested ones count as one. */
function rootsIn(opened: readonly Opened[]): string[] {
  const found = new Set<string>()
  for (const { path } of opened) {
    const parts = path.split('/')
    if (parts.at(-1) === markName) found.add(prefix(parts, parts.length - 1))
    // the outermost place that has the form <addon>/<slug>/<file>
    const at = parts.findIndex((part, index) => ruleOf(part) !== undefined && isPlace(parts, index))
    if (at !== -1) found.add(prefix(parts, at))
  }
  return [...found]
    .filter((root) => ![...found].some((other) => other !== root && root.startsWith(other)))
    .sort()
}

function isPlace(parts: readonly string[], addonAt: number): boolean {
  return parts.length >= addonAt + 3 && isSlug(parts[addonAt + 1] as string)
}

const prefix = (parts: readonly string[], length: number): string =>
  parts
    .slice(0, length)
    .map((part) => `${part}/`)
    .join('')

/** Places single files, or the folder of one association, by what the records themselves say. */
async function loose(opened: readonly Opened[]): Promise<Pick<Placed, 'files' | 'outside'>> {
  const files: Opened[] = []
  const folders = new Map<string, string>()
  for (const each of opened) {
    const { folder, name } = splitPath(each.path)
    const place = await placeSaidBy(each, name)
    if (!place) continue
    if (name === recordsName) folders.set(folder, place)
    if (!files.some(({ path }) => path === `${place}/${name}`))
      files.push({ ...each, path: `${place}/${name}` })
  }
  for (const each of opened) {
    const { folder, name } = splitPath(each.path)
    const place = folders.get(folder)
    if (place && isBeside(name)) files.push({ ...each, path: `${place}/${name}` })
  }
  if (files.length === 0) return { files: opened, outside: 0 }
  return { files, outside: opened.filter(({ path }) => !isStamp(path)).length - files.length }
}

/** Whether a file belongs beside a records file. A records file itself is placed by its content. */
const isBeside = (name: string): boolean =>
  name === headName || name.startsWith(`${recordsName}.torn-`) || name === '.refused.json'

function splitPath(path: string): { folder: string; name: string } {
  const cut = path.lastIndexOf('/') + 1
  return { folder: path.slice(0, cut), name: path.slice(cut) }
}

const lookedAt = 64 * 1024

/** `<addon>/<slug>` from the first members in the file that name addon and association. */
async function placeSaidBy({ file }: Opened, name: string): Promise<string | undefined> {
  const isRecords = name === recordsName
  if (!isRecords && (!name.endsWith('.json') || name.startsWith('.') || file.size > longestLine))
    return undefined
  const text = await file.slice(0, lookedAt).text()
  const addon = /"addon":\s*"([a-z0-9]{1,32})"/.exec(text)?.[1]
  const slug = /"association_slug":\s*"([a-z0-9_-]{1,128})"/.exec(text)?.[1]
  if (addon === undefined || slug === undefined || !isSlug(slug)) return undefined
  return ruleOf(addon) === (isRecords ? 'append-only' : 'overwrite-by-placekey')
    ? `${addon}/${slug}`
    : undefined
}
