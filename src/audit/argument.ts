/** Reads the name of an association on the command line: `SLUG`, or `ADDON/SLUG` for one addon only. */
import { isSlug } from '../../contracts/envelope.ts'
import { CannotRun } from '../cli/io.ts'
import { ruleOf } from './addons.ts'

export type Named = {
  /** Undefined: the association of every addon. */
  readonly addon: string | undefined
  readonly slug: string
}

export function namedAssociation(text: string | undefined): Named {
  if (text === undefined)
    throw new CannotRun('name an association: its slug, as in the name of its directory')
  const cut = text.indexOf('/')
  const addon = cut === -1 ? undefined : text.slice(0, cut)
  const slug = text.slice(cut + 1)
  if (!isSlug(slug)) throw new CannotRun('a slug is made of lower-case letters, digits, "-" and "_"')
  if (addon !== undefined && ruleOf(addon) === undefined)
    throw new CannotRun('the part before "/" is an addon, as in the name of its directory')
  return { addon, slug }
}
