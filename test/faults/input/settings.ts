/** What every kind of sender of the input part agrees on with the receiver. */
import { sha256 } from '../../disk.ts'
import { token } from '../../receiver.ts'

/** Small, so that the limit is met often. */
export const maxBody = 65_536
export const tokenSha256 = sha256(token)

/** An answer may take this long. */
export const answerMs = 10_000
/** A sender waits this long: a busy machine may need some seconds more. The slowest answer is in the notes. */
export const patienceMs = answerMs + 5_000
