/**
 * Makes a hub from a checkout of Hubzilla: a copy, set up by Hubzilla's own wizard, with an administrator and a member who register on its pages.
 * Beside it there is a host as OPERATORS.md sets it up. Mails are written to a file.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { client, fixtures, token } from '../hubzilla-site.ts'
import { until } from '../postgres/cluster.ts'
import { type Receiver, scratchDir, startReceiver } from '../receiver.ts'
import { hubUser, type Services, startServices } from './services.ts'
import { type Visitor, visitor } from './visitor.ts'

export const adminMail = 'admin@hub.example'
/** The directories of the receiver and its settings on a host. */
const settings = '/etc/civic-orchestrator'
const socket = '/run/civic-orchestrator/http.sock'
const password = 'correct horse battery'

export type Hub = Awaited<ReturnType<typeof makeHub>>

export async function makeHub(core: string) {
  const directory = scratchDir()
  chmodSync(directory, 0o755)
  const at = (name: string): string => join(directory, name)
  const data = join(scratchDir(), 'data')
  const web = at('web')
  layOut(core, directory, web)
  const services = await startServices(directory, web)
  await wizard(services)
  appendSettings(web)
  const mails = (): readonly string[] =>
    existsSync(at('mail')) ? readFileSync(at('mail'), 'utf8').split('\n--end of mail--\n').slice(0, -1) : []
  const admin = await register(services, mails, 'operator', adminMail)
  const member = await register(services, mails, 'member', 'member@hub.example')
  for (const path of [settings, dirname(socket)]) mkdirSync(path, { recursive: true })
  writeFileSync(join(settings, 'env_file'), `NODE_TOKEN=${token}\n`, { mode: 0o600 })
  const site = new URL(services.root).host.replace(':', '_')
  const spool = join('/var/spool/civic-orchestrator', site)
  return {
    ...services,
    admin,
    member,
    directory,
    data,
    web,
    site,
    /** The release that an operator has unpacked. */
    release: at('release'),
    version:
      /'STD_VERSION', *'([^']*)'/.exec(readFileSync(join(web, 'boot.php'), 'utf8'))?.[1] ?? 'of no version',
    php: services.command('hub', 'php', '-r', 'echo PHP_VERSION;').output,
    /** The errors in PHP's log that ended a page or a command. */
    errors: (): string => (existsSync(at('php.log')) ? readFileSync(at('php.log'), 'utf8').slice(-4000) : ''),
    /** Makes Hubzilla log everything. By default it logs nothing. */
    logAll(): void {
      writeFileSync(at('hub.log'), '', { mode: 0o666 })
      execFileSync('chown', [hubUser, at('hub.log')])
      for (const [name, value] of [
        ['logfile', at('hub.log')],
        ['loglevel', '4'],
        ['debugging', '1'],
      ] as const) {
        services.command('hub', 'util/config', 'system', name, value)
      }
    },
    log: (): string => readFileSync(at('hub.log'), 'utf8'),
    /** The mails of the hub so far. */
    mails,
    /** The warnings and deprecations of PHP about the addon. */
    complaints: (): string => (existsSync(at('complaints')) ? readFileSync(at('complaints'), 'utf8') : ''),
    waiting: (): readonly string[] => readdirSync(spool).filter((name) => /^\d.*\.json$/.test(name)),
    /** The files in the spool that do not belong to its owner. */
    strangers: (): string =>
      execFileSync('find', [spool, '!', '-user', hubUser], { encoding: 'utf8' }).trim(),
    setToken: (text: string): void => writeFileSync(join(settings, 'hubzilla_token'), `${text}\n`),
    async receiver(): Promise<Receiver> {
      const receiver = await startReceiver({ NODE_TOKEN: token, DATA_DIR: data, SOCKET: socket })
      chmodSync(socket, 0o666)
      return receiver
    },
    /** Runs Hubzilla's cron as its crontab does, and the work that cron has queued. */
    async cron(as: 'hub' | 'root' = 'hub'): Promise<void> {
      await idle(services)
      const { status, output } = services.command(as, 'php', 'Zotlabs/Daemon/Master.php', 'Cron')
      assert.equal(status, 0, output)
      await idle(services)
    },
  }
}

const idle = (services: Services): Promise<void> =>
  until(() => services.sql('SELECT COUNT(*) FROM hub.workerq') === '0')

function layOut(core: string, directory: string, web: string): void {
  assert.ok(existsSync(join(core, 'boot.php')), 'HUBZILLA_CORE names no directory of a Hubzilla')
  cpSync(core, web, { recursive: true, filter: (path) => basename(path) !== '.git' })
  mkdirSync(join(web, 'store/[data]/smarty3'), { recursive: true })
  cpSync(client, join(directory, 'release/deploy/hubzilla'), { recursive: true })
  mkdirSync(join(directory, 'ini'))
  const sendmail = join(directory, 'sendmail')
  writeFileSync(sendmail, `#!/bin/sh\n{ cat; echo; echo '--end of mail--'; } >> '${directory}/mail'\n`, {
    mode: 0o755,
  })
  // PHP writes mails to one file, and each complaint about a file of the addon to another.
  const settings = {
    sendmail_path: sendmail,
    auto_prepend_file: join(directory, 'complaints.php'),
    memory_limit: '512M',
    'opcache.revalidate_freq': '0',
    log_errors: '1',
    error_log: join(directory, 'php.log'),
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = "${value}"\n`)
  writeFileSync(join(directory, 'ini', 'hub.ini'), lines.join(''))
  cpSync(join(fixtures, 'complaints.php'), join(directory, 'complaints.php'))
  execFileSync('chown', ['-R', `${hubUser}:${hubUser}`, directory])
}

/** Goes through the four pages of Hubzilla's own wizard. */
async function wizard({ root, sql, socket }: Services): Promise<void> {
  sql(
    "CREATE DATABASE hub CHARACTER SET utf8mb4; CREATE USER hub@localhost IDENTIFIED BY 'hub'; GRANT ALL ON hub.* TO hub@localhost",
  )
  const person = visitor(root)
  const checks = await person.open('/setup')
  const database = await person.send(checks, 'phpath')
  const settings = await person.send(database, 'dbhost', {
    dbhost: `:${socket}`,
    dbuser: 'hub',
    dbpass: 'hub',
    dbdata: 'hub',
    dbtype: '0',
  })
  const done = await person.send(settings, 'siteurl', {
    adminmail: adminMail,
    siteurl: root,
    timezone: 'UTC',
  })
  assert.match(done.text, /Installation succeeded/)
  await person.open('/')
}

/** Isolates the hub: it asks no directory server, and does not look up the mail addresses of its members. */
function appendSettings(web: string): void {
  const file = join(web, '.htconfig.php')
  const settings = {
    directory_mode: 'DIRECTORY_MODE_STANDALONE',
    disable_email_validation: '1',
    disable_dns_check: '1',
  }
  const lines = Object.entries(settings).map(
    ([name, value]) => `App::$config['system']['${name}'] = ${value};\n`,
  )
  writeFileSync(file, `${readFileSync(file, 'utf8')}\n${lines.join('')}`)
}

/** Registers a person: takes the code from the mail and gets an account and a channel. */
async function register(
  { root, sql }: Services,
  mails: () => readonly string[],
  nickname: string,
  email: string,
): Promise<Visitor> {
  const person = visitor(root)
  const form = await person.open('/register')
  const confirm = await person.send(form, 'password2', {
    name: `The ${nickname}`,
    nickname,
    email,
    password,
    password2: password,
    tos: '1',
  })
  const code = /^([0-9a-f]{24})\s*$/m.exec(mails().at(-1) ?? '')?.[1]
  assert.ok(code, `no code was mailed: ${confirm.text}`)
  // Hubzilla refuses a code in the second in which it was requested.
  const asked = `SELECT COUNT(*) FROM hub.register WHERE reg_did2 = '${email}' AND reg_startup < UTC_TIMESTAMP()`
  await until(() => sql(asked) === '1')
  await person.send(confirm, 'acpin', { acpin: code })
  const page = await person.open(`/channel/${nickname}`)
  assert.match(page.text, new RegExp(`The ${nickname}`))
  return person
}
