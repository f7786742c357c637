/** Decides which user and group own the restored data, so that the receiver can read them. */
import { execFileSync } from 'node:child_process'
import { lstatSync } from 'node:fs'
import { CannotRun } from '../cli/io.ts'

export type Owner = { readonly uid: number; readonly gid: number }

/** The user and group that `deploy/install` makes. */
const installation = { user: 'civic-orchestrator', group: 'civic-auditors' }

/**
 * The owner of the directory. If root owns it, or it does not exist: the owner that `--owner` names, or else the user of the
 * installation. Undefined for a process that is not root, because its files belong to its own user.
 */
export function ownerFor(target: string, named: string | undefined): Owner | undefined {
  const here = process.geteuid?.()
  if (here !== 0) {
    if (named !== undefined && ownerNamed(named).uid !== here)
      throw new CannotRun('only root can give files away: what anybody else makes is their own')
    return undefined
  }
  if (named !== undefined) return ownerNamed(named)
  const found = lstatSync(target, { throwIfNoEntry: false })
  if (found && found.uid !== 0) return { uid: found.uid, gid: found.gid }
  const uid = idOf('passwd', installation.user)
  if (uid === undefined)
    throw new CannotRun(
      'run as root, this would make files that belong to root, which the receiver cannot read: name the user that it runs as with --owner USER:GROUP',
    )
  return { uid, gid: idOf('group', installation.group) ?? groupOf(uid) }
}

/** `USER`, `USER:GROUP`, or their numbers. */
function ownerNamed(text: string): Owner {
  const [user = '', group, ...others] = text.split(':')
  const uid = numberOf('passwd', user)
  const gid = group === undefined ? uid && groupOf(uid) : numberOf('group', group)
  if (uid === undefined || gid === undefined || others.length > 0)
    throw new CannotRun('--owner takes USER or USER:GROUP, which this machine knows, or their numbers')
  return { uid, gid }
}

function numberOf(database: 'passwd' | 'group', name: string): number | undefined {
  return /^\d{1,9}$/.test(name) ? Number(name) : idOf(database, name)
}

function idOf(database: 'passwd' | 'group', name: string): number | undefined {
  const fields = entryOf(database, name)
  return fields && Number(fields[2])
}

function groupOf(uid: number): number {
  return Number(entryOf('passwd', String(uid))?.[3] ?? uid)
}

function entryOf(database: 'passwd' | 'group', name: string): string[] | undefined {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(name)) return undefined
  try {
    return execFileSync('getent', [database, name], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
      .split(':')
  } catch {
    return undefined
  }
}
