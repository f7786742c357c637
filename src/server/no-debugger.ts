/**
 * SIGUSR1 opens Node's debugger on a port of the loopback interface, where every local user can read the token. A listener takes
 * that meaning from the signal (Node 20 has no option for it). What came before there was a listener has opened it already, and it
 * is closed again. Imported before everything else, for its effect.
 *
 * Not held: a signal that comes before Node itself has a handler ends the process, as it does any other.
 */
import { close, url } from 'node:inspector'

const options = [...process.execArgv, process.env.NODE_OPTIONS ?? '']
const isAskedFor = options.some((text) => /--inspect(-brk|-wait)?(=|\s|$)/.test(text))

process.on('SIGUSR1', () => {})
closeUnasked()
// a signal that was on its way through Node's own thread arrives in this turn
setImmediate(closeUnasked)

function closeUnasked(): void {
  if (!isAskedFor && url() !== undefined) close()
}
