/**
 * Reads the environment and turns it into a typed configuration (SPEC 7). All mistakes are reported at once.
 *
 * Who is trusted: a person who reads NODE_TOKEN can post. A person who sets DATA_DIR or DATABASE_URL decides where records are
 * stored. A person who reads a password in DATABASE_URL can add records, and can replace records of which only the latest is
 * kept.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { type LogLevel, logLevels } from './log.ts'
import { tokenMistake, weakness } from './token-rule.ts'
import type { Tokens } from './tokens.ts'

export type Config = {
  /** Undefined outside production only. Then a development token is made. */
  readonly tokens: Tokens | undefined
  readonly dataDir: string
  /** The path of a unix socket to listen on. */
  readonly socket: string | undefined
  /** Where to listen on TCP; undefined when SOCKET is set, and neither HOST nor PORT is. */
  readonly tcp: { readonly host: string; readonly port: number } | undefined
  readonly maxBodyBytes: number
  readonly minFreeBytes: number
  readonly logLevel: LogLevel
  /** Records are stored in this PostgreSQL instead of files. `storage/postgres/url.ts` reads the URL. */
  readonly databaseUrl: string | undefined
  /** With a database: nothing is acknowledged unless the database waits for a standby. */
  readonly requireStandby: boolean
  /** Whether there is a `GET /metrics`. */
  readonly metrics: boolean
  /** The file in which the backup notes how it ended, for the metrics. */
  readonly backupStatus: string | undefined
  /** NODE_ENV=production: tokens must be configured, and the data directory must have its mark. */
  readonly isProduction: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The line of a larger body could not be read back, and could not be told from damage if a crash tore it
 * (`storage/files/recover.ts`).
 */
const mostBodyBytes = 7 * 1_048_576

/** All mistakes, one sentence each. No sentence repeats a value, because the value could be a token. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(mistakes.join('\n'))
    this.mistakes = mistakes
  }
}

/** In bytes; longer than any header that can hold a token. */
const longestFile = 8_192

export function readConfig(env: Environment): Config {
  const mistakes: string[] = []
  const config = {
    tokens: tokensOf(env, mistakes),
    dataDir: dataDirIn(env),
    socket: socketOf(env, mistakes),
    tcp: tcpOf(env, mistakes),
    maxBodyBytes: number(env, 'MAX_BODY_BYTES', 1_048_576, [1, mostBodyBytes], mistakes),
    minFreeBytes: number(env, 'MIN_FREE_BYTES', 67_108_864, [0, Number.MAX_SAFE_INTEGER], mistakes),
    logLevel: levelOf(env, mistakes),
    databaseUrl: text(env, 'DATABASE_URL'),
    requireStandby: number(env, 'REQUIRE_STANDBY', 0, [0, 1], mistakes) === 1,
    metrics: number(env, 'METRICS', 0, [0, 1], mistakes) === 1,
    backupStatus: text(env, 'BACKUP_STATUS'),
    isProduction: isProduction(env),
  }
  if (config.requireStandby && config.databaseUrl === undefined)
    mistakes.push('REQUIRE_STANDBY is of use only with DATABASE_URL: records in files are on one disk')
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return config
}

export function dataDirIn(env: Environment): string {
  return text(env, 'DATA_DIR') ?? './data'
}

function isProduction(env: Environment): boolean {
  return env.NODE_ENV === 'production'
}

/** Reads only the tokens, for a reload. The rest of the environment is read once. */
export function readTokens(env: Environment): Tokens | undefined {
  const mistakes: string[] = []
  const tokens = tokensOf(env, mistakes)
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return tokens
}

function tokensOf(env: Environment, mistakes: string[]): Tokens | undefined {
  const current = secret(env, 'NODE_TOKEN', mistakes)
  const previous = secret(env, 'NODE_TOKEN_PREVIOUS', mistakes)
  if (current !== undefined) return { current, previous }
  const isNamed = text(env, 'NODE_TOKEN') !== undefined || text(env, 'NODE_TOKEN_FILE') !== undefined
  if (!isNamed && isProduction(env)) {
    mistakes.push(
      'NODE_TOKEN or NODE_TOKEN_FILE must be set in production, for example to the output of: openssl rand -hex 32',
    )
  } else if (!isNamed && previous !== undefined) {
    mistakes.push('NODE_TOKEN_PREVIOUS is set without NODE_TOKEN or NODE_TOKEN_FILE')
  }
  return undefined
}

/** A token from its variable or from the file that the variable with `_FILE` names; one final line feed is not part of it. */
function secret(env: Environment, name: string, mistakes: string[]): string | undefined {
  const inline = text(env, name)
  const file = text(env, `${name}_FILE`)
  if (inline !== undefined && file !== undefined) {
    mistakes.push(`${name} and ${name}_FILE are both set; set one of them`)
    return undefined
  }
  const source = file === undefined ? name : `the file that ${name}_FILE names`
  const token = file === undefined ? inline : contentOf(file, name, mistakes)
  // a unit always names the file of the previous token, and between rotations that file is empty
  if (token === undefined || (token === '' && name === 'NODE_TOKEN_PREVIOUS')) return undefined
  const mistake = tokenMistake(token) ?? (isProduction(env) ? weakness(token) : undefined)
  if (mistake === undefined) return token
  mistakes.push(`${source} ${mistake}`)
  return undefined
}

function contentOf(file: string, name: string, mistakes: string[]): string | undefined {
  try {
    return readShortFile(file).replace(/\r?\n$/, '')
  } catch (error) {
    const why = error instanceof NoShortFile ? error.message : (error as NodeJS.ErrnoException).code
    mistakes.push(`the file that ${name}_FILE names cannot be read (${why})`)
    return undefined
  }
}

class NoShortFile extends Error {}

/** Follows a link, because secrets are often handed over as links. Never waits for a FIFO, which would also hold up the reload. */
function readShortFile(file: string): string {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = fstatSync(fd)
    if (!found.isFile()) throw new NoShortFile('it is not a regular file')
    if (found.size > longestFile) throw new NoShortFile(`it is longer than ${longestFile} bytes`)
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

/** An empty variable counts as not set, which is what `NAME=` in an env file means. */
function text(env: Environment, name: string): string | undefined {
  return env[name] === '' ? undefined : env[name]
}

function number(
  env: Environment,
  name: string,
  otherwise: number,
  [least, most]: [number, number],
  mistakes: string[],
): number {
  const written = text(env, name)
  if (written === undefined) return otherwise
  const value = /^\d{1,16}$/.test(written) ? Number(written) : Number.NaN
  if (value >= least && value <= most) return value
  mistakes.push(`${name} must be a whole number from ${least} to ${most}`)
  return otherwise
}

/** The system allows 107 bytes, and the socket is first made under a longer name. */
const longestSocket = 90

function socketOf(env: Environment, mistakes: string[]): string | undefined {
  const path = text(env, 'SOCKET')
  if (path !== undefined && (!/^\/.*[^/]$/s.test(path) || Buffer.byteLength(path) > longestSocket))
    mistakes.push(`SOCKET must be the absolute path of a unix socket, of at most ${longestSocket} bytes`)
  return path
}

function tcpOf(env: Environment, mistakes: string[]): Config['tcp'] {
  const host = text(env, 'HOST')
  const port = number(env, 'PORT', 8787, [0, 65_535], mistakes)
  const isMeant = text(env, 'SOCKET') === undefined || host !== undefined || text(env, 'PORT') !== undefined
  return isMeant ? { host: host ?? '127.0.0.1', port } : undefined
}

function levelOf(env: Environment, mistakes: string[]): LogLevel {
  const written = text(env, 'LOG_LEVEL') ?? 'info'
  const level = logLevels.find((known) => known === written)
  if (!level) mistakes.push(`LOG_LEVEL must be one of ${logLevels.join(', ')}`)
  return level ?? 'info'
}
