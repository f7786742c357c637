/**
 * How many files this process may open (`ulimit -n`, LimitNOFILE), and the share that each part of the receiver may take of them. At
 * the limit Linux accepts no connection, so Node resets the ones that come; within its shares the receiver never gets there.
 */
import { readFileSync } from 'node:fs'

export type OpenFiles = {
  readonly connections: number
  /** Requests between token and answer at one time. */
  readonly inFlight: number
  /** Associations whose files stay open. */
  readonly associations: number
}

/** What there is where files are not scarce. */
const most: OpenFiles = { connections: 3_072, inFlight: 256, associations: 1_000 }
/** Of Node, of the log, of what looks around in the data directory. */
const others = 40
/** A replaced file, its directory and the one above; and of an association the records and the head. */
const filesOf = { request: 3, association: 2 }

/** The limit of this process; undefined where it cannot be told. */
export function openFilesLimit(): number | undefined {
  try {
    // Node raises the first number, the limit that counts, to the second one when it starts
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
