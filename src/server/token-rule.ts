/** What a node token must be (SPEC 7), wherever it comes from: the environment, a file, the data directory. */

const shortestToken = 32
const fewestCharacters = 8
/** It stands in the vectors, for everybody to read. */
const published = 'civic-orchestrator-test-vectors-token'

/** What is wrong with it, as the end of a sentence that begins with where it stands; undefined when it can be used. */
export function tokenMistake(token: string): string | undefined {
  if (token.length < shortestToken) return `must hold at least ${shortestToken} characters`
  if (!/^[!-~](?:[ -~]*[!-~])?$/.test(token))
    return 'must hold printable ASCII characters only, for it goes into a header'
  return undefined
}

/** Beside that, for production: the SHA-256 of the token stands in records, for every reader to guess at. */
export function weakness(token: string): string | undefined {
  if (token === published) return 'must not hold the token that is published in the test vectors'
  if (new Set(token).size < fewestCharacters)
    return `must hold at least ${fewestCharacters} different characters, for example the output of: openssl rand -hex 32`
  return undefined
}
