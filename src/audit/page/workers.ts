/** Starts the workers of the page. Their program is a text inside the page. */
import { type Remote, remote } from './call.ts'
import type { DeskProgress } from './desk.ts'
import type { DeskCalls } from './worker.ts'

/** The build puts in the text of the worker's program and the version of the page. */
declare const workerProgram: string
declare const pageVersion: string

export const version = pageVersion
export type DeskRemote = Remote<DeskCalls>

/** With more workers than this, each would wait for the reading of the others. */
const mostJudges = 4

export function startDesk(progress: (progress: DeskProgress) => void): DeskRemote {
  const address = URL.createObjectURL(new Blob([workerProgram], { type: 'text/javascript' }))
  const trusted = trustedAddress(address)
  const start = (): Worker => new Worker(trusted as string)
  const desk = start()
  desk.postMessage({ role: 'desk', version })
  const calls = remote<DeskCalls>(desk as unknown as Parameters<typeof remote>[0], (told) =>
    progress(told as DeskProgress),
  )
  const judges = Math.min(mostJudges, Math.max(1, navigator.hardwareConcurrency || 1))
  const ports = Array.from({ length: judges }, () => {
    const { port1, port2 } = new MessageChannel()
    start().postMessage({ role: 'judge', version, port: port1 }, [port1])
    return port2
  })
  void calls.judges(ports)
  return calls
}

type TrustedTypes = {
  createPolicy(name: string, rules: object): { createScriptURL(url: string): unknown }
}

/** The policy of the page lets no other address be run as a program. A browser without Trusted Types gets the plain address. */
function trustedAddress(address: string): unknown {
  const { trustedTypes } = window as { readonly trustedTypes?: TrustedTypes }
  if (!trustedTypes) return address
  const createScriptURL = (url: string): string => {
    if (url !== address) throw new TypeError('the page starts its own worker only')
    return url
  }
  return trustedTypes.createPolicy('auditor', { createScriptURL }).createScriptURL(address)
}
