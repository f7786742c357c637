/** What of a data directory is backed up: the records files, and beside them single files that are replaced as a whole. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { StorageRule } from '../../contracts/contract.ts'
import { contracts } from '../../contracts/index.ts'
import { isSlug } from '../audit/options.ts'
import { recordsName, temporaryPattern, tornPattern } from '../storage/paths.ts'

export type Place = { readonly addon: string; readonly association_slug: string }

/** An addon's storage rule; undefined for one that this program does not know. */
function ruleOf(addon: string): StorageRule | undefined {
  return contracts.get(addon)?.[0]?.storage
}

export function places(root: string, rule: StorageRule): Place[] {
  const addons = [...contracts.keys()].filter((addon) => ruleOf(addon) === rule)
  return addons.flatMap((addon) =>
    names(join(root, addon))
      .filter(isSlug)
      .map((association_slug) => ({ addon, association_slug })),
  )
}

/** Placekey files; and of an append-only association the ends that were cut off after a crash, which somebody may ask for. */
export function* singleFiles(root: string): Generator<string> {
  for (const { addon, association_slug } of places(root, 'overwrite-by-placekey')) {
    for (const name of names(join(root, addon, association_slug))) {
      if (/^[A-Za-z0-9@_].*\.json$/.test(name) && !temporaryPattern.test(name))
        yield `${addon}/${association_slug}/${name}`
    }
  }
  for (const { addon, association_slug } of places(root, 'append-only')) {
    for (const name of names(join(root, addon, association_slug))) {
      if (tornPattern.test(name)) yield `${addon}/${association_slug}/${name}`
    }
  }
}

export function recordsFile(root: string, { addon, association_slug }: Place): string {
  return join(root, addon, association_slug, recordsName)
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
