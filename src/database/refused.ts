/**
 * Ends a command with exit status 1, because the state that it found must not be built upon. The message is for the person at
 * the terminal.
 */
export class DatabaseRefused extends Error {
  override readonly name = 'DatabaseRefused'
}
