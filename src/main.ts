/** Puts the receiver together. The only file that uses the environment, signals and exit codes of the process. */
import { hasCode } from './error-code.ts'
import './server/no-debugger.ts'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { contracts } from '../contracts/index.ts'
import { createApp } from './http/app.ts'
import { reasonsOf } from './http/ready.ts'
import type { Closed } from './http/receive.ts'
import { teller } from './http/tell.ts'
import { umask } from './records/layout.ts'
import { type Config, ConfigError, dataDirIn, readConfig, readTokens } from './server/config.ts'
import { type DevelopmentToken, developmentToken, exampleCommand } from './server/development-token.ts'
import { createHttpServer } from './server/http-server.ts'
import { type ListenPlace, listen, SocketRefusal, targetsOf } from './server/listen.ts'
import { createLog } from './server/log.ts'
import type { createMetrics } from './server/metrics.ts'
import { isScarce, openFilesLimit, openFilesShared } from './server/open-files.ts'
import { pauseCheck } from './server/pause.ts'
import { SenderClock } from './server/sender-clock.ts'
import { tokenCheck } from './server/tokens.ts'
import { holdsRecords, makeDataDirectory, markDirectory, readMark } from './storage/files/mark.ts'
import { developmentTokenFile, pausedFile, timelineFile } from './storage/files/paths.ts'
import { openFileStore } from './storage/files/store.ts'
import type { Store } from './storage/store.ts'

type ProcessMetrics = ReturnType<typeof createMetrics>
type ReplaceableTokens = ReturnType<typeof tokenCheck>

/** sysexits.h: EX_CONFIG. */
const configurationMistake = 78
/** A terminal and npm both deliver the first signal, so only a signal after this time counts as the second one. */
const impatienceMs = 1_000
const longestDrainMs = 20_000

// records of some kilobytes share larger pieces of memory, because an allocation for each record costs more than its bytes
Buffer.poolSize = 64 * 1024
// the garbage of hundreds of requests is collected before the heap has grown by more than a tenth; a version of V8 that does not
// know this option ignores it
setFlagsFromString('--heap-growing-percent=10')

// records are readable for the owner and the auditors' group, whatever umask this process was started with
process.umask(umask)

const fewFiles = 'few files may be open at once (ulimit -n): fewer connections and requests are taken at once'

/** The option of an installation: makes and marks the data directory, and ends. */
const markOption = '--mark-data-dir'
let log: ReturnType<typeof createLog>
/** What became of the last reload of the tokens. */
const reload = { areRefused: false }
const filesLimit = openFilesLimit()
const files = openFilesShared(filesLimit)

void (process.argv[2] === markOption ? markDataDir() : run())

async function run(): Promise<void> {
  const config = configOrExit()
  log = createLog(config.logLevel)
  process.on('uncaughtException', (error) => fail('a mistake in this program', error))
  // without a listener, a file size limit would end the process; with one, the write fails and is answered with 507
  process.on('SIGXFSZ', () => {})
  const token = await prepareDataDir(config)
  const tokens = tokenCheck(config.tokens ?? { current: token?.token as string })
  process.on('SIGHUP', () => reloadTokens(tokens))
  // loaded only when needed, because prom-client takes 2 MB
  const metrics = config.metrics
    ? (await import('./server/metrics.ts')).createMetrics(contracts.keys())
    : undefined
  await start(config, tokens, metrics, token, await openStore(config, metrics?.storage))
}

/** Opens the file store, or with DATABASE_URL the PostgreSQL store, which is not even loaded otherwise. */
async function openStore(config: Config, observer: ProcessMetrics['storage'] | undefined): Promise<Store> {
  const { dataDir, minFreeBytes, databaseUrl, requireStandby } = config
  if (databaseUrl === undefined) {
    const mostOpen = files.associations
    return openFileStore({ root: dataDir, minFreeBytes, mostOpen, log, observer })
  }
  const { readUrl, UrlMistakes } = await import('./storage/postgres/url.ts')
  const { openPostgresStore } = await import('./storage/postgres/store.ts')
  try {
    const target = readUrl('DATABASE_URL', databaseUrl)
    return openPostgresStore({ target, timelineFile: timelineFile(dataDir), requireStandby, log, observer })
  } catch (error) {
    if (!(error instanceof UrlMistakes)) throw error
    for (const mistake of error.mistakes) console.error(`civic-orchestrator: ${mistake}`)
    process.exit(configurationMistake)
  }
}

async function start(
  config: Config,
  tokens: ReplaceableTokens,
  metrics: ProcessMetrics | undefined,
  token: DevelopmentToken | undefined,
  store: Store,
): Promise<void> {
  const { dataDir, minFreeBytes, maxBodyBytes, backupStatus } = config
  const pauseReason = pauseCheck(pausedFile(dataDir))
  let isDraining = false
  const closed = (): Closed | undefined => {
    const reason = pauseReason()
    if (reason !== undefined) return { kind: 'paused', reason }
    return isDraining ? { kind: 'draining' } : undefined
  }
  const clock = new SenderClock()
  metrics?.watch({
    dataDir,
    minFreeBytes,
    backupStatus,
    clock,
    tokens: reload,
    log: log.state,
    async readiness() {
      const ofStore = await store.readiness()
      return { ...ofStore, reasons: reasonsOf(closed(), ofStore.reasons) }
    },
  })
  const { tell, end: endTelling } = teller(log, metrics?.http)
  const app = createApp({
    contracts,
    store,
    tokens,
    closed,
    readiness: store.readiness,
    metrics: metrics?.http,
    accepted: (agoMs) => clock.came(agoMs),
    log,
    tell,
    maxBodyBytes,
    maxInFlight: files.inFlight,
  })
  const http = createHttpServer(app, tell, files.connections)
  http.server.on('error', cannotListen)
  const listening = await listen(http.server, targetsOf(config, process.env, process.pid)).catch(cannotListen)
  for (const place of listening.places) log.info(place, 'listening')
  if (isScarce(files)) log.warn({ files: filesLimit, ...files }, fewFiles)
  if (token) greet(listening.places[0] as ListenPlace, token, dataDir)
  store.start().catch((error) => log.error({ code: error.code }, 'leftovers could not be put in order'))
  const finish = async (): Promise<void> => {
    const closed = listening.close()
    await http.drain(() => {
      isDraining = true
    })
    await closed
    endTelling()
    await store.close()
  }
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

async function prepareDataDir(config: Config): Promise<DevelopmentToken | undefined> {
  const { dataDir, isProduction, tokens } = config
  if (isProduction) {
    await requireMark(dataDir)
    return undefined
  }
  try {
    await makeDataDirectory(dataDir)
    return tokens ? undefined : await developmentToken(developmentTokenFile(dataDir))
  } catch (error) {
    return cannotUse(error)
  }
}

/** In production the data directory must exist and have its mark. It is never made, because its file system may not be mounted. */
async function requireMark(dataDir: string): Promise<void> {
  if (readMark(dataDir) !== undefined) return
  if (!holdsRecords(dataDir, contracts.keys())) {
    return refuseToStart(
      'DATA_DIR names a directory that is not there, or that holds neither records nor the mark of this program. ' +
        'If a file system belongs there, mount it. To begin with no records, make and mark the directory, as the user ' +
        `of this service and with the same DATA_DIR: node ${process.argv[1]} ${markOption}`,
    )
  }
  try {
    await markDirectory(dataDir)
  } catch (error) {
    // for example records of version 1.0 on a full disk: they are served, and the next start tries again
    log.warn({ code: (error as NodeJS.ErrnoException).code }, 'the data directory could not be marked')
  }
}

async function markDataDir(): Promise<void> {
  try {
    await markDirectory(dataDirIn(process.env))
  } catch (error) {
    cannotUse(error)
  }
}

function cannotUse(error: unknown): never {
  return refuseToStart(`DATA_DIR cannot be used (${(error as NodeJS.ErrnoException).code})`)
}

function refuseToStart(why: string): never {
  console.error(`civic-orchestrator: ${why}`)
  process.exit(configurationMistake)
}

/** The errors of a listening socket name its address and port. */
function cannotListen(error: NodeJS.ErrnoException & { address?: string; port?: number }): never {
  if (error instanceof SocketRefusal) return refuseToStart(error.message)
  const { address, port } = error
  const taken = `port ${port} of ${address} is taken. Stop the program that listens there, or choose another port with PORT=`
  if (hasCode(error, 'EADDRINUSE') && port !== undefined) console.error(`civic-orchestrator: ${taken}`)
  return fail('cannot listen', error)
}

/** Greets on standard error, so that standard output has only JSON lines and never shows a token. */
function greet(place: ListenPlace, token: DevelopmentToken, dataDir: string): void {
  const file = developmentTokenFile(dataDir)
  const presented = token.isNew ? token.token : `$(cat ${file})`
  console.error(
    [
      `No token is configured. This one is for development; it is kept in ${file}.`,
      'Store a first record, from another terminal:',
      '',
      `  ${exampleCommand(curlTarget(place), presented, new Date())}`,
      '',
      `Then look at ${join(dataDir, 'vs01', 'first-association')}/`,
    ].join('\n'),
  )
}

/** The arguments of curl that lead to the receiver, without the path. */
function curlTarget(place: ListenPlace): string {
  if ('socket' in place) return `--unix-socket ${place.socket} http://localhost`
  const { address, port } = place
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`
}

let stopping = 0

/** Ends the process. `finish` answers the requests in flight and ends the writing. */
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

function reloadTokens(tokens: ReplaceableTokens): void {
  try {
    const next = readTokens(process.env)
    if (next) tokens.replace(next)
    reload.areRefused = false
    log.info({ previous: next?.previous !== undefined }, 'tokens were read again')
  } catch (error) {
    reload.areRefused = true
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
