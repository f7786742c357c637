/**
 * The environment, read in one place and turned into a typed configuration (SPEC 7). All mistakes are reported at once.
 *
 * Who must be trusted with what: whoever reads NODE_TOKEN can post; whoever sets DATA_DIR decides where records go.
 */
import { readFileSync } from 'node:fs'
import { type LogLevel, logLevels } from './log.ts'
import type { Tokens } from './tokens.ts'

export type Config = {
  /** undefined outside production only: a development token is made. */
  readonly tokens: Tokens | undefined
  readonly dataDir: string
  readonly host: string
  readonly port: number
  readonly maxBodyBytes: number
  readonly minFreeBytes: number
  readonly logLevel: LogLevel
  /** Whether there is a `GET /metrics`. */
  readonly metrics: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

/** A line of a larger one could not be read back, nor told from damage when a crash has torn it (`storage/recover.ts`). */
const mostBodyBytes = 7 * 1_048_576

/** Every mistake, a sentence each. None repeats a value: one could be a token. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(mistakes.join('\n'))
    this.mistakes = mistakes
  }
}

const shortestToken = 32

export function readConfig(env: Environment): Config {
  const mistakes: string[] = []
  const config = {
    tokens: tokensOf(env, mistakes),
    dataDir: text(env, 'DATA_DIR') ?? './data',
    host: text(env, 'HOST') ?? '127.0.0.1',
    port: number(env, 'PORT', 8787, [0, 65_535], mistakes),
    maxBodyBytes: number(env, 'MAX_BODY_BYTES', 1_048_576, [1, mostBodyBytes], mistakes),
    minFreeBytes: number(env, 'MIN_FREE_BYTES', 67_108_864, [0, Number.MAX_SAFE_INTEGER], mistakes),
    logLevel: levelOf(env, mistakes),
    metrics: number(env, 'METRICS', 0, [0, 1], mistakes) === 1,
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return config
}

/** The tokens alone, for a reload: what else is in the environment was read once. */
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
  if (!isNamed && env.NODE_ENV === 'production') {
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
  // a unit file names the file of the previous token at all times; between rotations it is empty
  if (token === undefined || (token === '' && name === 'NODE_TOKEN_PREVIOUS')) return undefined
  if (token.length < shortestToken) mistakes.push(`${source} must hold at least ${shortestToken} characters`)
  else if (!/^[!-~](?:[ -~]*[!-~])?$/.test(token))
    mistakes.push(`${source} must hold printable ASCII characters only, for it goes into a header`)
  else return token
  return undefined
}

function contentOf(file: string, name: string, mistakes: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    mistakes.push(
      `the file that ${name}_FILE names cannot be read (${(error as NodeJS.ErrnoException).code})`,
    )
    return undefined
  }
}

/** An empty variable counts as not set: that is what an env file with `NAME=` means to its writer. */
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

function levelOf(env: Environment, mistakes: string[]): LogLevel {
  const written = text(env, 'LOG_LEVEL') ?? 'info'
  const level = logLevels.find((known) => known === written)
  if (!level) mistakes.push(`LOG_LEVEL must be one of ${logLevels.join(', ')}`)
  return level ?? 'info'
}
