/**
 * Reads a URL such as `postgres://user:password@host1:5432,host2/database?sslmode=verify-full&sslrootcert=/path`.
 *
 * Neither `URL` nor the library supports several hosts, and the library ignores a misspelt parameter. Here every unknown part is a
 * mistake. No message repeats the text, because there may be a password in it.
 */
import { readFileSync, statSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { openToOthers } from '../../records/layout.ts'

export type Host = { readonly host: string; readonly port: number }

export type DatabaseTarget = {
  readonly hosts: readonly Host[]
  readonly user: string
  readonly database: string
  readonly password: string | undefined
  readonly ssl: false | ConnectionOptions
}

type Environment = Readonly<Record<string, string | undefined>>

/** Each mistake is a sentence that says what to change. */
export class UrlMistakes extends Error {
  override readonly name = 'UrlMistakes'
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(mistakes.join('\n'))
    this.mistakes = mistakes
  }
}

const shape = /^postgres(?:ql)?:\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^@/?#]*)\/([^/?#]*)(?:\?([^#]*))?$/
const parameters = ['sslmode', 'sslrootcert', 'host', 'port']

/** `name` is the variable or the option from which the text comes. Throws `UrlMistakes`. */
export function readUrl(name: string, text: string, env: Environment = process.env): DatabaseTarget {
  const found = shape.exec(text)
  if (!found)
    throw new UrlMistakes([
      `${name} must have the form postgres://user@host1,host2/database?sslmode=verify-full; characters such as @ : / ? # in a password are written as %40 %3A %2F %3F %23`,
    ])
  const [, user, password, hosts, database, query] = found
  const mistakes: string[] = []
  const decode = (part: string | undefined): string => decoded(part ?? '', name, mistakes)
  const options = optionsOf(query ?? '', name, mistakes, decode)
  const list = hostsOf(hosts ?? '', options, name, mistakes)
  if (!user) mistakes.push(`${name} must name the role to log in as, before an @`)
  if (!database) mistakes.push(`${name} must name the database, behind the last /`)
  const target = { hosts: list, user: decode(user), database: decode(database) }
  const ssl = sslOf(list, options, name, mistakes)
  const given = password === undefined ? env.PGPASSWORD || undefined : decode(password)
  const secret = given ?? passwordFrom(env.PGPASSFILE, target, mistakes)
  if (mistakes.length > 0) throw new UrlMistakes(mistakes)
  return { ...target, password: secret, ssl }
}

function decoded(part: string, name: string, mistakes: string[]): string {
  try {
    return decodeURIComponent(part)
  } catch {
    mistakes.push(`${name} has a % that is not followed by two hex digits; write it as %25`)
    return ''
  }
}

function optionsOf(
  query: string,
  name: string,
  mistakes: string[],
  decode: (part: string) => string,
): ReadonlyMap<string, string> {
  const options = new Map<string, string>()
  for (const part of query.split('&').filter((part) => part !== '')) {
    const [key, ...value] = part.split('=') as [string, ...string[]]
    if (!parameters.includes(key) || options.has(key))
      mistakes.push(`${name} may have each of these parameters once, and no other: ${parameters.join(', ')}`)
    else options.set(key, decode(value.join('=')))
  }
  return options
}

const defaultPort = 5432

function hostsOf(
  list: string,
  options: ReadonlyMap<string, string>,
  name: string,
  mistakes: string[],
): readonly Host[] {
  const directory = options.get('host')
  if (directory !== undefined) {
    if (list === '' && directory.startsWith('/'))
      return [{ host: directory, port: portOf(options.get('port'), name, mistakes) }]
    mistakes.push(
      `in ${name}, the parameter host is for the directory of a unix socket, with no host before the /`,
    )
    return []
  }
  if (options.has('port')) mistakes.push(`in ${name}, write the port behind its host: host:5433`)
  return list.split(',').map((each) => {
    const found = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d+))?$/.exec(each)
    if (!found) mistakes.push(`${name} must name at least one host, several with commas and without blanks`)
    const [, six, plain, port] = found ?? []
    return { host: six ?? plain ?? '', port: portOf(port, name, mistakes) }
  })
}

function portOf(text: string | undefined, name: string, mistakes: string[]): number {
  if (text === undefined) return defaultPort
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    mistakes.push(`a port in ${name} must be from 1 to 65535`)
  return port
}

const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|::1|\/.*)$/

/** Refuses the modes of libpq that do not check the certificate, because such a connection could end at anybody's machine. */
function sslOf(
  hosts: readonly Host[],
  options: ReadonlyMap<string, string>,
  name: string,
  mistakes: string[],
): false | ConnectionOptions {
  const mode = options.get('sslmode')
  const isLocal = hosts.every(({ host }) => loopback.test(host))
  if (mode === 'disable' || (mode === undefined && isLocal)) {
    if (options.has('sslrootcert'))
      mistakes.push(`in ${name}, sslrootcert is of use only with sslmode=verify-full or verify-ca`)
    return false
  }
  if (mode !== 'verify-full' && mode !== 'verify-ca') {
    mistakes.push(
      `in ${name}, sslmode must be verify-full or verify-ca, or disable where nobody else has the network`,
    )
    return false
  }
  const ca = certificate(options.get('sslrootcert'), name, mistakes)
  return {
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  }
}

function certificate(path: string | undefined, name: string, mistakes: string[]): string | undefined {
  if (path === undefined || path === 'system') return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    mistakes.push(
      `the file that sslrootcert names in ${name} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    )
    return undefined
  }
}

type Login = Pick<DatabaseTarget, 'hosts' | 'user' | 'database'>

/** Reads the password file of libpq: `host:port:database:user:password` on each line, `*` for any, `\:` for a colon. */
function passwordFrom(path: string | undefined, login: Login, mistakes: string[]): string | undefined {
  if (!path) return undefined
  try {
    if ((statSync(path).mode & openToOthers) !== 0) {
      mistakes.push('the file that PGPASSFILE names may be read by others than its owner: chmod 600')
      return undefined
    }
    return passwordIn(readFileSync(path, 'utf8'), login)
  } catch (error) {
    mistakes.push(`the file that PGPASSFILE names cannot be read (${(error as NodeJS.ErrnoException).code})`)
    return undefined
  }
}

function passwordIn(text: string, { hosts, user, database }: Login): string | undefined {
  const [first] = hosts
  const wanted = [first?.host, String(first?.port), database, user]
  for (const line of text.split('\n').filter((line) => !line.startsWith('#'))) {
    const fields = (line.match(/(?:\\.|[^:\\])*(?::|$)/g) ?? []).map((field) =>
      field.replace(/:$/, '').replace(/\\(.)/g, '$1'),
    )
    if (wanted.every((value, at) => fields[at] === '*' || fields[at] === value)) return fields[4]
  }
  return undefined
}
