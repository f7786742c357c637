/** Starts the programs that a hub needs, in a directory of their own: MariaDB on a socket, php-fpm with four workers, nginx on loopback. */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from '../bound.ts'
import { until } from '../postgres/cluster.ts'

/** The user of a Hubzilla on Debian. */
export const hubUser = 'www-data'
const asHub = ['setpriv', `--reuid=${hubUser}`, `--regid=${hubUser}`, '--clear-groups']

export type Services = Awaited<ReturnType<typeof startServices>>

/** The first php-fpm in the PATH, so that another PHP can be put before it. Its name contains the version. */
export function phpFpm(): string | undefined {
  for (const directory of [...(process.env.PATH ?? '').split(':'), '/usr/sbin']) {
    const found = existsSync(directory) && readdirSync(directory).find((name) => /^php-fpm(\d|$)/.test(name))
    if (found) return join(directory, found)
  }
  return undefined
}

/** `directory` belongs to the user of the hub. `web` is the directory of Hubzilla. */
export async function startServices(directory: string, web: string) {
  const settings = { ...process.env, HOME: directory, PHP_INI_SCAN_DIR: `:${join(directory, 'ini')}` }
  const port = await freePort()
  const socket = join(directory, 'db.sock')
  const running = programs(directory, web, port).map((command) => {
    const [program, ...args] = [...asHub, ...command] as [string, ...string[]]
    return spawn(program, args, { cwd: directory, env: settings, stdio: 'ignore' })
  })
  await until(async () => {
    const ended = running.find(({ exitCode }) => exitCode !== null)
    assert.ok(!ended, `${ended?.spawnargs.join(' ')} has ended`)
    return existsSync(socket) && existsSync(join(directory, 'fpm.sock')) && (await isOpen(port))
  })

  return {
    root: `http://127.0.0.1:${port}`,
    socket,
    sql(statement: string): string {
      const options = ['--no-defaults', `--socket=${socket}`, '--user=root', '--skip-column-names', '--batch']
      return execFileSync('mariadb', [...options, '-e', statement], { encoding: 'utf8' }).trim()
    },
    /** Runs a command in Hubzilla's directory, as its user or as root. */
    command(
      as: 'hub' | 'root',
      ...command: string[]
    ): { readonly status: number | null; readonly output: string } {
      const [program, ...args] = [...(as === 'hub' ? asHub : []), ...command] as [string, ...string[]]
      const done = spawnSync(program, args, { cwd: web, env: settings, encoding: 'utf8' })
      return { status: done.status, output: `${done.stdout}${done.stderr}` }
    },
    /** Runs lines of a shell as root. `typed` is their standard input. */
    shell(script: string, typed = ''): { readonly status: number | null; readonly output: string } {
      const done = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
        input: typed,
        env: settings,
        encoding: 'utf8',
      })
      return { status: done.status, output: `${done.stderr}${done.stdout}` }
    },
    async end(): Promise<void> {
      for (const child of running) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
    },
  }
}

/** Writes the files of the programs, and gives the command of each, in the order in which they are ended. */
function programs(directory: string, web: string, port: number): readonly string[][] {
  const at = (name: string): string => join(directory, name)
  writeFileSync(at('nginx.conf'), nginxConf(directory, web, port))
  writeFileSync(at('fpm.conf'), fpmConf(directory))
  const database = ['--no-defaults', `--datadir=${at('database')}`]
  const made = [...database, `--user=${hubUser}`, '--auth-root-authentication-method=normal']
  execFileSync('mariadb-install-db', made, { stdio: 'ignore' })
  // This database is removed after the test, so it need not survive a power cut.
  const quick = ['--innodb-flush-log-at-trx-commit=0', '--innodb-buffer-pool-size=64M']
  const only = ['--skip-networking', `--socket=${at('db.sock')}`, `--pid-file=${at('db.pid')}`]
  return [
    ['nginx', '-p', directory, '-e', at('nginx.log'), '-c', at('nginx.conf')],
    [phpFpm() ?? 'php-fpm', '--nodaemonize', '--fpm-config', at('fpm.conf')],
    ['mariadbd', ...database, ...quick, ...only],
  ]
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function fpmConf(directory: string): string {
  return `[global]
error_log = ${directory}/fpm.log
[hub]
listen = ${directory}/fpm.sock
pm = static
pm.max_children = 4
clear_env = no
php_admin_flag[display_errors] = off
`
}

function nginxConf(directory: string, web: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/nginx-${name};`)
    .join('\n  ')
  return `daemon off;
pid ${directory}/nginx.pid;
events {}
http {
  include /etc/nginx/mime.types;
  access_log off;
  ${temporary}
  server {
    listen 127.0.0.1:${port};
    server_name 127.0.0.1;
    root ${web};
    index index.php;
    location / {
      if (!-e $request_filename) { rewrite ^(.*)$ /index.php?q=$1; }
    }
    location ~* \\.php$ {
      try_files $uri =404;
      fastcgi_pass unix:${directory}/fpm.sock;
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
    }
    location ~ /\\. { deny all; }
    location ~ ^/(store|util)/ { deny all; }
  }
}
`
}
