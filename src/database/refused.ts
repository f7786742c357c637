/** The reason is for the person who typed the command. Exit status 1: something is there that must not be gone on with. */
export class DatabaseRefused extends Error {
  override readonly name = 'DatabaseRefused'
}
