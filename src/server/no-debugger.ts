/**
 * Keeps SIGUSR1 from opening Node's debugger, which listens on a port of the loopback interface, where every local user can
 * read the token. A listener for the signal prevents that (Node 20 has no option for it). If a signal has come before this
 * listener, the debugger is open already, and is closed again. This file is imported before all others, for its effect.
 *
 * Not prevented: a signal that comes before Node has any handler ends the process.
 */
import { close, url } from 'node:inspector'

const options = [...process.execArgv, process.env.NODE_OPTIONS ?? '']
const isAskedFor = options.some((text) => /--inspect(-brk|-wait)?(=|\s|$)/.test(text))

process.on('SIGUSR1', () => {})
closeUnasked()
// a second time, because a signal may still have been on its way through a thread of Node's
setImmediate(closeUnasked)

function closeUnasked(): void {
  if (!isAskedFor && url() !== undefined) close()
}
