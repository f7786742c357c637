/** The shipped configuration of each proxy on this machine. Only what depends on the host is changed: ports, certificate, users, paths. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { freePort } from '../bound.ts'
import { endTogether } from '../guard.ts'
import { lacking } from '../needs.ts'
import { type Receiver, scratchDir, startReceiver } from '../receiver.ts'
import { serverName } from './provoke.ts'

type Host = {
  readonly work: string
  readonly port: number
  readonly socket: string
  readonly certificate: string
  readonly key: string
}
export type Proxy = {
  readonly program: string
  readonly source: string
  /** The texts of the configuration to replace on this host. Each must be in the configuration. */
  readonly altered: (host: Host) => readonly (readonly [there: string, here: string])[]
  readonly config: (shipped: string, host: Host) => string
  readonly command: (config: string, host: Host) => readonly string[]
  /** Patterns that are found only in its access log and in its error log. */
  readonly logged: readonly RegExp[]
}

const socketThere = '/run/civic-orchestrator/http.sock'

const nginx: Proxy = {
  program: 'nginx',
  source: 'nginx.conf',
  altered: ({ work, port, socket, certificate, key }) => [
    [socketThere, socket],
    ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
    ['    listen [::]:443 ssl;\n', ''],
    ['/etc/ssl/receiver/fullchain.pem', certificate],
    ['/etc/ssl/receiver/privkey.pem', key],
    ['/var/log/nginx/', `${work}/`],
  ],
  config: (shipped, { work }) =>
    [
      // Without this line nginx, when root starts it, runs its workers as another user, who cannot enter this directory.
      `user ${execFileSync('id', ['-un']).toString().trim()};`,
      `daemon off; pid ${work}/pid; error_log ${work}/error.log info;`,
      'events {}',
      `http { access_log ${work}/access.log;`,
      ...['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (name) => `${name}_temp_path ${work}/${name};`,
      ),
      shipped,
      '}',
    ].join('\n'),
  command: (config, { work }) => ['-p', work, '-e', `${work}/error.log`, '-c', config],
  logged: [/"POST \/receive HTTP\/1\.1" 413/, /connect\(\) to unix:.* failed/],
}

const caddy: Proxy = {
  program: 'caddy',
  source: 'Caddyfile',
  altered: ({ port, socket, certificate, key }) => [
    [socketThere, socket],
    [`${serverName} {`, `${serverName}:${port} {\n\ttls ${certificate} ${key}`],
    ['\n{\n', '\n{\n\tadmin off\n\tauto_https disable_redirects\n'],
  ],
  config: (shipped) => shipped,
  command: (config) => ['run', '--config', config, '--adapter', 'caddyfile'],
  logged: [/"logger":"http.log.access[^\n]*"status":413/, /"logger":"http.log.error[^\n]*"status":502/],
}

const haproxy: Proxy = {
  program: 'haproxy',
  source: 'haproxy.cfg',
  altered: ({ port, socket, certificate, key, work }) => {
    writeFileSync(join(work, 'receiver.pem'), readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'))
    return [
      [socketThere, socket],
      ['bind :443', `bind 127.0.0.1:${port}`],
      ['/etc/haproxy/receiver.pem', join(work, 'receiver.pem')],
      ['log /dev/log local0', 'log stdout format raw local0'],
      ['    user haproxy\n', ''],
      ['    group www-data\n', ''],
    ]
  },
  config: (shipped) => shipped,
  command: (config) => ['-db', '-f', config],
  logged: [/receiver~? civic_orchestrator\/receiver .* 413 /, /receiver~? civic_orchestrator\/\S+ \S+ 503 /],
}

export const proxies: readonly Proxy[] = [nginx, caddy, haproxy]

/** The reason why the proxy cannot be tried. */
export function missing({ program }: Proxy): string | undefined {
  return lacking(program) && `${program} is not installed`
}

/** A proxy in front of a real receiver. */
export type Front = {
  host: Host
  receiver: Receiver
  proxy: ChildProcess
  /** What the proxy has printed so far. */
  said: string
  /** Starts a receiver on the same socket and the same data directory. */
  startReceiver(): Promise<Receiver>
}

/** Called in a `describe` block: starts the proxy and a receiver before its tests, and ends both after them. */
export function inFrontOfReceiver(proxy: Proxy): Front {
  const dataDir = scratchDir()
  const front = {
    said: '',
    startReceiver: () => startReceiver({ SOCKET: front.host.socket, METRICS: '1', DATA_DIR: dataDir }),
  } as Front
  before(async () => {
    front.host = await makeHost()
    front.receiver = await front.startReceiver()
    front.proxy = startProxy(proxy, front.host, (text) => {
      front.said += text
    })
  })
  after(async () => {
    front.proxy?.kill('SIGTERM')
    await front.receiver?.stop()
    if (front.proxy?.exitCode === null && front.proxy.signalCode === null) await once(front.proxy, 'exit')
  })
  return front
}

async function makeHost(): Promise<Host> {
  const work = scratchDir()
  const [certificate, key] = [join(work, 'certificate.pem'), join(work, 'key.pem')]
  const make = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${serverName}`]
  const names = ['-addext', `subjectAltName=DNS:${serverName}`]
  execFileSync('openssl', [...make, ...names, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
  mkdirSync(join(work, 'run'))
  return { work, port: await freePort(), socket: join(work, 'run', 'http.sock'), certificate, key }
}

function startProxy(proxy: Proxy, host: Host, hear: (text: string) => void): ChildProcess {
  let text = readFileSync(join('deploy/proxy', proxy.source), 'utf8')
  for (const [there, here] of proxy.altered(host)) {
    assert.ok(text.includes(there), `${proxy.source} has no ${there}`)
    text = text.replaceAll(there, here)
  }
  const config = join(host.work, proxy.source)
  writeFileSync(config, proxy.config(text, host))
  const child = spawn(proxy.program, proxy.command(config, host), {
    env: { PATH: `${process.env.PATH}:/usr/sbin`, HOME: host.work },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endTogether(child)
  for (const stream of [child.stdout, child.stderr]) stream.on('data', hear)
  return child
}
