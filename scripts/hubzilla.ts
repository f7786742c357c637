/**
 * `npm run test:hubzilla`: tests the example addon in a real Hubzilla, made from the checkout that HUBZILLA_CORE names. The hub runs with a network,
 * processes and an /etc of its own, so it asks nobody outside, and nothing is left after the run.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeHub } from '../test/hubzilla/hub.ts'
import { scenes } from '../test/hubzilla/scenes.ts'
import { phpFpm } from '../test/hubzilla/services.ts'

const core = process.env.HUBZILLA_CORE
process.exitCode = core ? await tested(core) : skipped('HUBZILLA_CORE names no checkout of Hubzilla')

function skipped(why: string): number {
  console.log(`skipped: ${why}`)
  return 0
}

async function tested(core: string): Promise<number> {
  const missing = obstacle(core)
  if (missing) {
    console.error(`Hubzilla cannot be set up: ${missing}`)
    return 2
  }
  return process.env.HUBZILLA_ALONE ? whole(core) : alone()
}

function obstacle(core: string): string | undefined {
  if (!existsSync(join(core, 'boot.php'))) return 'HUBZILLA_CORE is no directory with a boot.php'
  if (process.getuid?.() !== 0) return 'it needs root'
  const programs = ['php', 'nginx', 'mariadbd', 'mariadb-install-db', 'mariadb', 'ip']
  const absent = programs.filter((name) => spawnSync('which', [name]).status !== 0)
  if (!phpFpm()) absent.push('php-fpm')
  if (absent.length > 0) return `${absent.join(', ')} missing`
  const loaded = String(spawnSync('php', ['-m']).stdout).split('\n')
  const wanted = ['curl', 'gd', 'mbstring', 'pdo_mysql', 'xml', 'zip'].filter(
    (name) => !loaded.includes(name),
  )
  return wanted.length > 0 ? `PHP's extensions ${wanted.join(', ')} missing` : undefined
}

function alone(): number {
  const spaces = ['--net', '--pid', '--fork', '--kill-child', '--mount-proc']
  // The files that the README makes below /etc, /run and /var/spool are gone after the run.
  const again = `set -e
    ip link set lo up
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/spool
    mkdir /run/etc /run/work
    mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work overlay /etc
    exec "$0" --import tsx "$1"`
  const command = ['sh', '-c', again, process.execPath, fileURLToPath(import.meta.url)]
  const env = { ...process.env, HUBZILLA_ALONE: '1' }
  return spawnSync('unshare', [...spaces, ...command], { env, stdio: 'inherit' }).status ?? 1
}

async function whole(core: string): Promise<number> {
  const hub = await step('set Hubzilla up with its own wizard, register two people', () => makeHub(core))
  try {
    console.log(`          Hubzilla ${hub.version}, PHP ${hub.php}`)
    for (const [name, run] of await scenes(hub)) await step(name, run)
    console.log('all of it')
    return 0
  } catch (error) {
    console.error(error, hub.errors())
    return 1
  } finally {
    await hub.end()
  }
}

async function step<T>(name: string, run: () => Promise<T>): Promise<T> {
  const began = performance.now()
  const result = await run()
  const told = typeof result === 'string' ? `: ${result}` : ''
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${name}${told}`)
  return result
}
