/** Settings that the receiver and all senders of the part `input` share. */
import { sha256 } from '../../disk.ts'
import { token } from '../../receiver.ts'

/** This limit is small, so that bodies often exceed it. */
export const maxBody = 65_536
export const tokenSha256 = sha256(token)

/** The longest permitted time of an answer. */
export const answerMs = 10_000
/** The patience of a sender. A busy machine may need some seconds more than permitted. The notes name the slowest answer. */
export const patienceMs = answerMs + 5_000
