/**
 * Reads how many files this process may open (`ulimit -n`, LimitNOFILE), and divides them among the parts of the receiver. At
 * the limit Linux accepts no connection, and Node resets the ones that come. Within these shares the receiver never reaches the
 * limit.
 */
import { readFileSync } from 'node:fs'

export type OpenFiles = {
  readonly connections: number
  /** How many requests may be between the check of their token and their answer at one time. */
  readonly inFlight: number
  /** How many associations may keep their files open. */
  readonly associations: number
}

/** The shares when there are enough files. */
const most: OpenFiles = { connections: 3_072, inFlight: 256, associations: 1_000 }
/** Files of Node, of the log, and of checks in the data directory. */
const others = 40
/** A request may open a file, its directory and the directory above; an association has its records file and its head file open. */
const filesOf = { request: 3, association: 2 }

/** The limit of this process; undefined when it cannot be found out. */
export function openFilesLimit(): number | undefined {
  try {
    // the first number is the limit that counts; Node raises it to the second one when it starts
    const found = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
    return found ? Number(found[1]) : undefined
  } catch {
    return undefined
  }
}

/** Half for connections, a quarter for requests, an eighth for associations; an eighth is left over. */
export function openFilesShared(limit: number | undefined): OpenFiles {
  if (limit === undefined) return most
  const left = Math.max(limit - others, 0)
  const share = (part: number, atMost: number): number =>
    Math.min(Math.max(Math.floor(left / part), 1), atMost)
  return {
    connections: share(2, most.connections),
    inFlight: share(4 * filesOf.request, most.inFlight),
    associations: share(8 * filesOf.association, most.associations),
  }
}

export function isScarce({ connections }: OpenFiles): boolean {
  return connections < most.connections
}
