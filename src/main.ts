/** The composition root, and the only file that knows the process: environment, signals, exit codes. */
import { chmodSync, mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { contracts } from '../contracts/index.ts'
import { type Config, ConfigError, readConfig, readTokens } from './config.ts'
import { developmentToken, exampleCommand } from './development-token.ts'
import { createApp } from './http/app.ts'
import type { Closed } from './http/receive.ts'
import { createLog } from './log.ts'
import type { createMetrics } from './metrics.ts'
import { pauseCheck } from './pause.ts'
import { createHttpServer } from './server.ts'
import { developmentTokenFile, pausedFile } from './storage/paths.ts'
import { openStore, type Store } from './storage/store.ts'
import { tokenCheck } from './tokens.ts'

/** sysexits.h: EX_CONFIG. */
const configurationMistake = 78
/** A terminal and npm each deliver a signal, so only a later one means impatience. */
const impatienceMs = 1_000
const longestDrainMs = 20_000
const maxInFlight = 256
/** Temporaries of a receiver that was killed right before this start are old enough by then. */
const secondSweepMs = 30_000

// records of some kilobytes share their memory: an allocation for each costs more than its bytes
Buffer.poolSize = 64 * 1024
// what hundreds of requests in flight leave behind is collected before it has grown to as much again; a version of V8 that
// does not know this goes on as it is used to
setFlagsFromString('--heap-growing-percent=10')

const config = configOrExit()
// records are for the owner and the auditors' group, whatever umask this was started with
process.umask(0o027)
const log = createLog(config.logLevel)
process.on('uncaughtException', (error) => fail('a mistake in this program', error))
// without a listener, a file size limit would end the process; with one, the write fails and is answered with 507
process.on('SIGXFSZ', () => {})

const token = prepareDataDir(config)
const tokens = tokenCheck(config.tokens ?? { current: token?.token as string })
process.on('SIGHUP', reloadTokens)
// prom-client takes 2 MB and is off as a rule
if (config.metrics) void import('./metrics.ts').then(({ createMetrics }) => start(createMetrics()))
else start()

function start(metrics?: ReturnType<typeof createMetrics>): void {
  const { dataDir, minFreeBytes, maxBodyBytes } = config
  const store = openStore({ root: dataDir, minFreeBytes, log, observer: metrics?.storage })
  metrics?.watch({
    dataDir,
    minFreeBytes,
    refused: async () => (await store.readiness()).refused.length,
  })
  const pauseReason = pauseCheck(pausedFile(dataDir))
  let isDraining = false
  const closed = (): Closed | undefined => {
    const reason = pauseReason()
    if (reason !== undefined) return { kind: 'paused', reason }
    return isDraining ? { kind: 'draining' } : undefined
  }
  const app = createApp({
    contracts,
    store,
    tokens,
    closed,
    readiness: store.readiness,
    metrics: metrics?.http,
    log,
    maxBodyBytes,
    maxInFlight,
  })
  const { server, drain } = createHttpServer(app, log)
  const finish = async (): Promise<void> => {
    await drain(() => {
      isDraining = true
    })
    await store.close()
  }
  server.on('error', (error) => fail('cannot listen', error))
  server.listen(listenTarget(), () => {
    const { address, port } = server.address() as AddressInfo
    log.info({ address, port }, 'listening')
    greet(`http://${address.includes(':') ? `[${address}]` : address}:${port}`)
    sweep(store)
    setTimeout(sweep, secondSweepMs, store).unref()
  })
  process.on('SIGTERM', (signal) => stop(signal, finish))
  process.on('SIGINT', (signal) => stop(signal, finish))
}

function configOrExit(): Config {
  try {
    return readConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const mistake of error.mistakes) console.error(`civic-orchestrator: ${mistake}`)
    process.exit(configurationMistake)
  }
}

function prepareDataDir({ dataDir, tokens }: Config): ReturnType<typeof developmentToken> | undefined {
  try {
    // mkdir(2) ignores the set-group-id bit of its mode
    if (mkdirSync(dataDir, { recursive: true })) chmodSync(dataDir, 0o2750)
    return tokens ? undefined : developmentToken(developmentTokenFile(dataDir))
  } catch (error) {
    console.error(`civic-orchestrator: DATA_DIR cannot be used (${(error as NodeJS.ErrnoException).code})`)
    process.exit(configurationMistake)
  }
}

/** The socket that systemd holds open across restarts (sd_listen_fds(3)), or the configured address. */
function listenTarget(): { fd: number } | { host: string; port: number } {
  const isHanded = process.env.LISTEN_PID === String(process.pid) && Number(process.env.LISTEN_FDS) > 0
  return isHanded ? { fd: 3 } : { host: config.host, port: config.port }
}

/** On standard error, so that standard output stays one JSON line per event and never shows a token. */
function greet(url: string): void {
  if (!token) return
  const file = developmentTokenFile(config.dataDir)
  const presented = token.isNew ? token.token : `$(cat ${file})`
  console.error(
    [
      `No token is configured. This one is for development; it is kept in ${file}.`,
      'Store a first record, from another terminal:',
      '',
      `  ${exampleCommand(url, presented, new Date())}`,
      '',
      `Then look at ${join(config.dataDir, 'vs01', 'first-association')}/`,
    ].join('\n'),
  )
}

function sweep(store: Store): void {
  const rules = new Map([...contracts.values()].flat().map(({ addon, storage }) => [addon, storage]))
  store.sweep(rules).catch((error) => log.error({ code: error.code }, 'leftovers could not be put in order'))
}

let stopping = 0

/** `finish` answers what is in flight and ends what is being written. */
function stop(signal: NodeJS.Signals, finish: () => Promise<void>): void {
  const now = performance.now()
  if (stopping > 0) {
    if (now - stopping >= impatienceMs) end(1, 'stopped at once, on a second signal')
    return
  }
  stopping = now
  log.info({ signal }, 'stopping')
  setTimeout(end, longestDrainMs, 1, 'stopped with requests unanswered').unref()
  finish().then(
    () => end(0, 'stopped'),
    (error) => fail('stopping failed', error),
  )
}

function reloadTokens(): void {
  try {
    const next = readTokens(process.env)
    if (next) tokens.replace(next)
    log.info({ previous: next?.previous !== undefined }, 'tokens were read again')
  } catch (error) {
    const mistakes = error instanceof ConfigError ? error.mistakes : []
    log.error({ mistakes }, 'the new tokens are refused; the old ones stay')
  }
}

function fail(what: string, error: NodeJS.ErrnoException): never {
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  log.fatal({ code: error.code ?? error.name, at: frames.slice(0, 8) }, what)
  return end(1, 'ended')
}

function end(code: number, message: string): never {
  log.info({ code }, message)
  log.flush()
  process.exit(code)
}
