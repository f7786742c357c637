/**
 * Time-stamping authorities for the tests. Each has a CA, a certificate for stamps, and `openssl ts -reply` behind a real HTTP server. A
 * test can make the server fail in the ways in which authorities fail.
 */
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sha256 } from './disk.ts'
import { lacking } from './needs.ts'

/** The first program that is missing; undefined when all are here. */
export const withoutAuthority = lacking('openssl', 'curl', 'flock')

export type Keys = {
  readonly directory: string
  /** The root certificate, PEM. */
  readonly root: string
}

const openssl = (directory: string, ...args: readonly string[]): string =>
  execFileSync('openssl', args, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

const settings = `
[ca]
default_ca = own
[own]
new_certs_dir = .
database = index.txt
serial = ca-serial
default_md = sha256
policy = any
x509_extensions = stamps
unique_subject = no
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[stamps]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = authority
[authority]
serial = tsa-serial
signer_cert = tsa.pem
certs = root.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
`

/** `until` is the time when the certificate for stamps expires, in openssl's form (YYYYMMDDHHMMSSZ). */
export function makeKeys(parent: string, name: string, until = '20960101000000Z'): Keys {
  const directory = join(parent, name)
  mkdirSync(directory)
  const write = (file: string, text: string): void => writeFileSync(join(directory, file), text)
  write('openssl.cnf', settings)
  write('index.txt', '')
  write('ca-serial', '01\n')
  write('tsa-serial', '01\n')
  const certify = (file: string, subject: string, end: string, ...by: readonly string[]): void => {
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      `${file}.key`,
    ]
    openssl(directory, 'req', ...key, '-subj', `/CN=${subject}`, '-out', `${file}.csr`)
    const validity = ['-startdate', '20200101000000Z', '-enddate', end]
    const files = ['-in', `${file}.csr`, '-out', `${file}.pem`, '-keyfile', 'root.key']
    openssl(directory, 'ca', '-config', 'openssl.cnf', '-batch', '-notext', ...by, ...validity, ...files)
  }
  certify('root', `Root of ${name}`, '21200101000000Z', '-selfsign', '-extensions', 'root')
  certify('tsa', name, until, '-cert', 'root.pem')
  return { directory, root: join(directory, 'root.pem') }
}

const run = promisify(execFile)

/** Answers a request with a stamp that is signed with these keys. */
async function reply({ directory }: Keys, query: Buffer): Promise<Buffer> {
  const work = mkdtempSync(join(directory, 'request-'))
  const [asked, answered] = [join(work, 'query'), join(work, 'answer')]
  writeFileSync(asked, query)
  const files = ['-queryfile', asked, '-out', answered]
  await run('openssl', ['ts', '-reply', '-config', 'openssl.cnf', ...files], { cwd: directory })
  return readFileSync(answered)
}

/** Makes `heads-<time>.<name>.tsr` and `.pem` beside a heads file, as deploy/witness keeps them. */
export async function stampFile(keys: Keys, heads: string, name: string): Promise<string> {
  const base = heads.replace(/\.txt$/, `.${name}`)
  writeFileSync(`${base}.tsr`, await reply(keys, queryFor(keys, sha256(readFileSync(heads)))))
  copyFileSync(keys.root, `${base}.pem`)
  return `${base}.tsr`
}

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}
const [sequence, integer, octets, time] = [0x30, 0x02, 0x04, 0x18]
const [policy, sha256Id] = ['06042a030401', '300d06096086480165030402010500'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

/** Does the same with another time, which `openssl ts -reply` cannot do, because it stamps only the present time. */
export function stampFileAt(keys: Keys, heads: string, name: string, at: string): string {
  const base = heads.replace(/\.txt$/, `.${name}`)
  const imprint = der(sequence, sha256Id!, der(octets, Buffer.from(sha256(readFileSync(heads)), 'hex')))
  const one = der(integer, Buffer.from([1]))
  const info = der(sequence, one, policy!, imprint, one, der(time, Buffer.from(at)))
  writeFileSync(join(keys.directory, 'info'), info)
  const signed = [
    '-signer',
    'tsa.pem',
    '-inkey',
    'tsa.key',
    '-md',
    'sha256',
    '-cades',
    '-binary',
    '-nodetach',
  ]
  const files = ['-in', 'info', '-outform', 'DER', '-out', 'token']
  openssl(keys.directory, 'cms', '-sign', ...signed, '-econtent_type', '1.2.840.113549.1.9.16.1.4', ...files)
  const granted = der(sequence, der(integer, Buffer.from([0])))
  writeFileSync(`${base}.tsr`, der(sequence, granted, readFileSync(join(keys.directory, 'token'))))
  copyFileSync(keys.root, `${base}.pem`)
  return `${base}.tsr`
}

/** A request for a stamp of this digest, with a nonce of its own. */
function queryFor({ directory }: Keys, digest: string): Buffer {
  openssl(directory, 'ts', '-query', '-digest', digest, '-sha256', '-cert', '-out', 'other.tsq')
  return readFileSync(join(directory, 'other.tsq'))
}

/** The SHA-256 in a request, which is its only octet string of 32 bytes. */
function digestIn(query: Buffer): string {
  const at = query.indexOf(Buffer.from([0x04, 0x20])) + 2
  return query.toString('hex', at, at + 32)
}

export type Behaviour =
  | 'well'
  | 'wrong digest'
  | 'html'
  | 'unavailable'
  | 'silent'
  | 'endless'
  | 'another request'
  | 'refuses'

const megabyte = Buffer.alloc(1024 * 1024)

export type Authority = {
  readonly url: string
  readonly keys: Keys
  /** The number of requests that came. */
  readonly asked: () => number
  behaves(how: Behaviour): void
  /** Ends the server, so that nobody listens on its port any more. */
  goDown(): Promise<void>
  comeBack(): Promise<void>
}

export async function startAuthority(keys: Keys): Promise<Authority> {
  let how: Behaviour = 'well'
  let asked = 0
  const answer = async (query: Buffer, response: ServerResponse): Promise<void> => {
    const give = (bytes: Buffer): unknown =>
      response.setHeader('content-type', 'application/timestamp-reply') && response.end(bytes)
    if (how === 'well') return void give(await reply(keys, query))
    if (how === 'wrong digest') return void give(await reply(keys, queryFor(keys, 'ab'.repeat(32))))
    if (how === 'another request') return void give(await reply(keys, queryFor(keys, digestIn(query))))
    // openssl answers an invalid request with the status "rejection".
    if (how === 'refuses') return void give(await reply(keys, Buffer.from('none')))
    if (how === 'unavailable') return void response.writeHead(503).end()
    if (how === 'html')
      return void response.setHeader('content-type', 'text/html; charset=utf-8').end('<h1>Sign in</h1>')
    if (how === 'endless') response.write(megabyte)
  }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    asked++
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      response.on('drain', () => how === 'endless' && response.write(megabyte))
      answer(Buffer.concat(chunks), response).catch(() => response.destroy())
    })
  }
  let server: Server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.unref()
  return {
    url: `http://127.0.0.1:${port}/tsr`,
    keys,
    asked: () => asked,
    behaves: (next) => {
      how = next
    },
    async goDown() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
    async comeBack() {
      server = createServer(listener).listen(port, '127.0.0.1')
      await once(server, 'listening')
      server.unref()
    },
  }
}
