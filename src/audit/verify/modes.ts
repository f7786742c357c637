/**
 * Checks modes below a data directory. One file with a wider mode is a finding. If no file has the mode that the receiver
 * gives, the directory was copied through a memory stick, an archive or a file manager; that is one note and not a hundred
 * findings.
 */
import type { FileState } from './directory.ts'
import type { Finding } from './finding.ts'

type Seen = { readonly path: string; readonly mode: number; readonly expected: number }

export class Modes {
  #filesRight = 0
  #directoriesRight = 0
  #files = 0
  readonly #wrong: Seen[] = []

  see(path: string, { kind, mode }: FileState, expected: number): void {
    if (mode === undefined) return
    if (kind === 'file') this.#files++
    if (mode !== expected) this.#wrong.push({ path, mode, expected })
    else if (kind === 'file') this.#filesRight++
    else this.#directoriesRight++
  }

  findings(): Finding[] {
    if (this.#wrong.length === 0) return []
    if (this.#filesRight + this.#directoriesRight === 0 && this.#files > 0) return [copied(this.#wrong)]
    const wide = this.#wrong.filter(isWider)
    const narrow = this.#wrong.filter((seen) => !isWider(seen))
    return [...wide.map(wider), ...narrower(narrow)]
  }
}

const isWider = ({ mode, expected }: Seen): boolean => (mode & ~expected & 0o0777) !== 0

const octal = (mode: number): string => mode.toString(8).padStart(4, '0')

function copied(wrong: readonly Seen[]): Finding {
  const [first] = wrong as [Seen, ...Seen[]]
  return {
    level: 'note',
    kind: 'copy',
    path: first.path,
    what: `no file and no directory has the mode that the receiver gives (this one: ${octal(first.mode)}, not ${octal(first.expected)})`,
    meaning:
      "This is a copy that went through a stick, an archive or a file manager. If it is the receiver's own directory, its modes were changed throughout.",
  }
}

function wider({ path, mode, expected }: Seen): Finding {
  return {
    level: 'finding',
    kind: 'mode',
    path,
    what: `has mode ${octal(mode)}, not ${octal(expected)}`,
    meaning: 'More people can read or change it than should. In a copy, use --copy.',
  }
}

/** One note for each kind of difference. */
function narrower(seen: readonly Seen[]): Finding[] {
  const groups = new Map<string, Seen[]>()
  for (const each of seen) {
    const key = `${each.mode} ${each.expected}`
    const group = groups.get(key)
    if (group) group.push(each)
    else groups.set(key, [each])
  }
  return [...groups.values()].map((group): Finding => {
    const { path, mode, expected } = group[0] as Seen
    const others = group.length > 1 ? `, as have ${group.length - 1} more` : ''
    return {
      level: 'note',
      kind: 'mode',
      path,
      what: `has mode ${octal(mode)}, not ${octal(expected)}${others}`,
      meaning: 'Auditors of the group may not be able to read it, or what is made inside.',
    }
  })
}
