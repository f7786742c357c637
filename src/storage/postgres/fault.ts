/**
 * Decides what a failed statement means. Only the SQLSTATE and the name of a constraint are used, because the message, `detail` and
 * `query` of an error may hold contents and names.
 */
import type { Fault } from '../../../contracts/record.ts'

/**
 *   lost     read the head and try again: another writer was first (`byAnother`), or a record was stored already
 *   broken   the connection or the server is gone; it is not known whether the statement took effect
 *   fault    the waiting requests get this answer. `isOfOneAssociation`: the cause is a row, so the other associations of a
 *            batch can be stored
 */
export type Meaning =
  | { readonly kind: 'lost'; readonly byAnother: boolean }
  | { readonly kind: 'broken' }
  | {
      readonly kind: 'fault'
      readonly fault: Fault
      readonly reason: string
      readonly isOfOneAssociation: boolean
    }

/** A commit came back with a warning: it did not wait for the standby, and the record may be on one disk only. */
export class NotKnown extends Error {
  override readonly name = 'NotKnown'
}

/** The connection ended while a statement was under way, or before it was sent. */
export class Broken extends Error {
  override readonly name = 'Broken'
}

/** The clocks of this machine and of the database differ too much. The trigger checks only for a clock that is ahead. */
export class ClocksApart extends Error {
  override readonly name = 'ClocksApart'
  readonly code = 'CV003'
}

/** A setting of the database means that a commit is not on disk twice. The trigger refuses an append for the same reason. */
export class NotDurable extends Error {
  override readonly name = 'NotDurable'
  readonly code = 'CV004'
}

/** An import is under way or was broken off. The trigger says the same when it comes to it. */
export class Importing extends Error {
  override readonly name = 'Importing'
  readonly code = 'CV006'
}

type ServerError = { readonly code?: unknown; readonly constraint?: unknown }

const reasons: Readonly<Record<string, readonly [Fault, string]>> = {
  CV002: ['damaged', 'the last stored line is not the one that was stored'],
  CV003: ['io', 'the clocks of this machine and of the database are more than 5 s apart'],
  CV004: ['io', 'a setting of the database means that a commit is not on disk twice'],
  CV005: ['io', 'the database refuses the form of a record'],
  CV006: ['paused', 'an import is under way or was broken off'],
  '42501': ['paused', "paused by the database's owner"],
  '53100': ['full', 'the disk of the database is full'],
  '57014': ['busy', 'the database did not answer in time'],
  '55P03': ['busy', 'the database did not answer in time'],
}

export function meaningOf(error: unknown): Meaning {
  if (error instanceof NotKnown)
    return {
      kind: 'fault',
      fault: 'io',
      reason: 'a commit was not waited for by the standby',
      isOfOneAssociation: false,
    }
  const code = codeOf(error)
  const { constraint } = (error ?? {}) as ServerError
  if (isLost(code, constraint)) return { kind: 'lost', byAnother: constraint !== 'record_id' }
  if (isBroken(error, code)) return { kind: 'broken' }
  const [fault, reason] = reasons[code] ?? ['io', 'the database reported an error']
  return { kind: 'fault', fault, reason, isOfOneAssociation: rowFault.test(code) }
}

/** The errors with which a trigger, or the type of a column (classes 22, 23 and 54), refuses a row. */
const rowFault = /^(?:CV00[235]|22|23|54|55P03)/

/** Whether another writer was first. The loser may fail at a key of the table before the trigger runs. */
function isLost(code: string, constraint: unknown): boolean {
  if (code === '23505')
    return constraint === 'record_id' || constraint === 'record_place' || constraint === 'association_pkey'
  return code === 'CV001' || code === '40001' || code === '40P01'
}

/**
 * Class 08 is about the connection, 57P about a server that shuts down or starts. 25006: the server became a standby. 25P03 and 25P04:
 * the server ended the connection, because a transaction took too long.
 */
function isBroken(error: unknown, code: string): boolean {
  return error instanceof Broken || /^(?:08|57P|25006|25P0[34])/.test(code)
}

/** The message of the library for a server with `ssl = off`, which is the only mistake in a set-up without a code. */
const withoutTls = 'The server does not support SSL connections'

/** The code of an error, for the log. */
export function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as ServerError
  if (typeof code === 'string') return code
  if (error instanceof Error && error.message === withoutTls) return 'it offers no TLS'
  return error instanceof Error ? error.name : 'unknown'
}
