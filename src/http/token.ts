/** Every sender that presents the shared node token may post (SPEC 2, step 2). The token proves the node, not the addon. */
import { type Problem, problem } from './problem.ts'

export type TokenCheck = {
  /**
   * The SHA-256 (hex) of the presented token when it is the current or the previous token; otherwise undefined. Takes the same time
   * for every token. A missing or empty token matches nothing, whatever is configured.
   */
  match(presented: string | undefined): string | undefined
}

/** The contract names `X-Node-Token`. `Authorization: Bearer` counts only when there is no `X-Node-Token`. */
export function presentedToken(headers: Headers): string | undefined {
  const own = headers.get('x-node-token')
  if (own !== null) return own
  return /^bearer +(.*)$/i.exec(headers.get('authorization') ?? '')?.[1]
}

const challenge = { headers: { 'www-authenticate': 'NodeToken realm="civic-orchestrator"' } }

/** The same answer for a missing and for a wrong token. */
export const wrongToken: Problem = problem(
  'wrong-token',
  'Send the node token in the header X-Node-Token. It is the one in the configuration of this receiver.',
  challenge,
)

export const tokenTwice: Problem = problem('wrong-token', 'Send the header X-Node-Token once.', challenge)
