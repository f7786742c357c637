/** The rule for node tokens (SPEC 7), from the environment, from a file and from the data directory. */

const shortestToken = 32
const fewestCharacters = 8
/** This token is published in the vectors. */
const published = 'civic-orchestrator-test-vectors-token'

/** What is wrong with a token, as the end of a sentence that begins with the token's source; undefined when it can be used. */
export function tokenMistake(token: string): string | undefined {
  if (token.length < shortestToken) return `must hold at least ${shortestToken} characters`
  if (!/^[!-~](?:[ -~]*[!-~])?$/.test(token))
    return 'must hold printable ASCII characters only, for it goes into a header'
  return undefined
}

/** A further rule for production, because records hold the SHA-256 of the token, and every reader of them can try to guess it. */
export function weakness(token: string): string | undefined {
  if (token === published) return 'must not hold the token that is published in the test vectors'
  if (new Set(token).size < fewestCharacters)
    return `must hold at least ${fewestCharacters} different characters, for example the output of: openssl rand -hex 32`
  return undefined
}
