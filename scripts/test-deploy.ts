/**
 * `npm run test:deploy`: takes all steps of an operator on a Debian 13 with systemd, as OPERATORS.md describes them.
 *
 * With --long it sends 100,000 posts during 100 restarts and upgrades, with and without keep-alive, and during 20 rotations.
 *
 * It is longer than 300 lines, because each step needs the machine as the step before left it, in the order of OPERATORS.md.
 */
// biome-ignore-all lint/style/noExcessiveLinesPerFile: the reason stands in the header
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { build } from 'esbuild'
import { onDatabase } from '../test/deploy/database.ts'
import { makePublisher, type Publisher } from '../test/deploy/host.ts'
import { bootMachine, debianTree, type Machine, obstacle } from '../test/deploy/machine.ts'
import { witnessed } from '../test/deploy/witness.ts'
import { scn01 } from '../test/envelopes.ts'

const isLong = process.argv.includes('--long')
const deploy = '/srv/civic-orchestrator/current/deploy'
const socket = '/run/civic-orchestrator/http.sock'
const port = 'http://127.0.0.1:8787'
/** A curl command without the path. */
const curl = `curl -s --unix-socket ${socket} http://localhost`
/** The file from which the senders in the machine read the token, as Hubzilla reads it from its configuration. */
const hubzilla = '/root/hubzilla-token'
const envFile = '/etc/civic-orchestrator/env_file'

async function whole(): Promise<void> {
  const publisher = makePublisher()
  const machine = await step('boot a Debian 13', () => bootMachine(debianTree()))
  try {
    await prepare(machine, publisher)
    for (const [name, run] of steps) await step(name, () => run(machine, publisher))
    if (isLong) for (const [name, run] of longSteps) await step(name, () => run(machine, publisher))
    console.log('all of it')
  } catch (error) {
    console.error(
      machine.run('journalctl -o cat -u civic-orchestrator | grep -v request_id | tail -n 40').output,
    )
    throw error
  } finally {
    await machine.end()
    rmSync(publisher.directory, { recursive: true })
  }
}

async function step<T>(name: string, run: () => T | Promise<T>): Promise<T> {
  const began = performance.now()
  const result = await run()
  const told = typeof result === 'string' ? `: ${result}` : ''
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${name}${told}`)
  return result
}

async function prepare({ shared, must }: Machine, publisher: Publisher): Promise<void> {
  const broken = await publisher.release('0.0.3', (directory) => {
    const file = join(directory, 'server.cjs')
    const [head, ...rest] = readFileSync(file, 'utf8').split('\n')
    const trap = 'if (process.env.NODE_ENV === "production") process.exit(78);'
    writeFileSync(file, [head, trap, ...rest].join('\n'))
  })
  for (const path of [await publisher.release('0.0.1'), await publisher.release('0.0.2'), broken]) {
    for (const end of ['', '.sig']) copyFileSync(path + end, join(shared, `${basename(path)}${end}`))
  }
  copyFileSync(publisher.signers, join(shared, 'allowed_signers'))
  writeFileSync(join(shared, 'envelope.json'), JSON.stringify(scn01()))
  await build({
    entryPoints: ['test/deploy/load.ts', 'test/deploy/provoke-in-machine.ts'],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    outdir: shared,
  })
  must('cp /shared/* .')
}

type Step = readonly [name: string, run: (machine: Machine, publisher: Publisher) => unknown]

const post = (token: string): string =>
  `${curl}/receive -o /dev/null -w '%{http_code}' -H "X-Node-Token: ${token}" --data-binary @envelope.json`
const current = `$(sed -n s/^NODE_TOKEN=//p ${envFile})`
const tellHubzilla = `sed -n s/^NODE_TOKEN=//p ${envFile} > ${hubzilla}.new && mv ${hubzilla}.new ${hubzilla}`
const archive = (version: string): string => `/root/civic-orchestrator-${version}.tar.gz`

const steps: readonly Step[] = [
  [
    'install, to the first stored record',
    ({ must, run, shared }) => {
      const began = performance.now()
      must(`mkdir unpacked && tar -xzf ${archive('0.0.1')} -C unpacked`)
      must(`unpacked/*/deploy/install --signers allowed_signers ${archive('0.0.1')}`)
      assert.equal(must(post(current)), '201')
      const seconds = (performance.now() - began) / 1000
      assert.ok(seconds < 60, `${seconds} s`)
      must(tellHubzilla)
      must('unpacked/*/deploy/install --signers allowed_signers /root/civic-orchestrator-0.0.1.tar.gz')
      must('test -s /srv/civic-orchestrator/data/.civic-orchestrator')
      const token = must(`cat ${envFile}`)
      must(`: > ${envFile}`)
      const emptied = run(`unpacked/*/deploy/install --signers allowed_signers ${archive('0.0.1')}`)
      assert.equal(emptied.code, 1)
      assert.match(emptied.output, /there is no NODE_TOKEN in .*Write the token that Hubzilla has into it/s)
      writeFileSync(join(shared, 'env_file'), token)
      must(`cat /shared/env_file > ${envFile}`)
      return `${seconds.toFixed(1)} s; a second time changes nothing`
    },
  ],
  [
    'what is on the host: modes, groups, no token in the environment, hardening',
    ({ must, run }) => {
      const modes = must(
        'stat -c "%a %U %G" /srv/civic-orchestrator/data /srv/civic-orchestrator/data/scn01/heron-ridge /srv/civic-orchestrator/data/scn01/heron-ridge/records.json',
      )
      assert.equal(modes.replaceAll(/civic-orchestrator civic-auditors\n/g, ''), '2750 2750 640 ')
      assert.match(must(`stat -c "%a %U" ${envFile}`), /^640 root/)
      const token = must(`sed -n s/^NODE_TOKEN=//p ${envFile}`).trim()
      const pid = must('systemctl show -P MainPID civic-orchestrator').trim()
      assert.ok(!must(`tr '\\0' '\\n' </proc/${pid}/environ`).includes(token))
      assert.equal(
        must(`stat -c "%a %U %G" ${socket} ${dirname(socket)}`),
        '660 root www-data\n755 root root\n',
      )
      const asUser = (user: string): string =>
        run(
          `setpriv --reuid ${user} --regid ${user} --clear-groups ${curl}/health -o /dev/null -w '%{http_code}'`,
        ).output
      assert.equal(asUser('www-data'), '200')
      assert.equal(asUser('games'), '000')
      must('useradd -G civic-auditors anna')
      const records = '/srv/civic-orchestrator/data/scn01/heron-ridge/records.json'
      must(`setpriv --reuid anna --regid anna --init-groups jq -e length ${records}`)
      assert.notEqual(run(`setpriv --reuid nobody --regid nogroup --clear-groups cat ${records}`).code, 0)
      const score = /exposure level for .*: ([\d.]+)/.exec(
        must('systemd-analyze security civic-orchestrator'),
      )
      assert.ok(Number(score?.[1]) <= 0.5, score?.[0])
      return `exposure ${score?.[1]}`
    },
  ],
  [
    'upgrade and roll back under load',
    async (machine) => {
      const loads = [load(machine, 16, 'keep'), load(machine, 4, 'new')]
      machine.must(`${deploy}/pull ${archive('0.0.2')}`)
      machine.must(`${deploy}/pull rollback`)
      return storedBy(loads)
    },
  ],
  [
    'a release that does not get ready: back by itself, and no connection refused',
    ({ must, run }) => {
      const { code, output } = run(`CIVIC_READY_SECONDS=5 ${deploy}/pull ${archive('0.0.3')}`)
      assert.equal(code, 1, output)
      assert.match(output, /0\.0\.1 is in service again/)
      assert.equal(must(post(current)), '200')
    },
  ],
  [
    'a pull to such a release, killed after the switch, and a power cut there: back by itself',
    async ({ must, start, reboot }) => {
      for (const isPowerCut of [false, true]) {
        start(
          `echo $$ >/run/pull.pid; CIVIC_READY_SECONDS=600 exec ${deploy}/pull ${archive('0.0.3')} >/dev/null`,
        )
        must(
          'until [ "$(readlink /srv/civic-orchestrator/current)" = releases/0.0.3 ] && systemctl -q is-failed civic-orchestrator; do sleep 0.1; done',
        )
        if (isPowerCut) await reboot()
        else must('kill -KILL $(cat /run/pull.pid)')
        must('while [ -e /srv/civic-orchestrator/back ]; do sleep 0.1; done')
        assert.equal(must('cut -d" " -f1 /srv/civic-orchestrator/current/VERSION').trim(), '0.0.1')
        assert.equal(must(post(current)), '200')
      }
    },
  ],
  [
    'rotate, retire and revoke the token under load',
    async (machine) => {
      const { must } = machine
      const old = must(`cat ${hubzilla}`).trim()
      const loads = [load(machine, 8, 'keep')]
      must(`${deploy}/token rotate && ${tellHubzilla}`)
      await delay(300)
      must(`${deploy}/token retire`)
      const told = await storedBy(loads)
      assert.equal(must(post(old)), '401')
      const rotated = must(`cat ${hubzilla}`).trim()
      must(`${deploy}/token revoke`)
      assert.equal(must(post(rotated)), '401')
      assert.equal(must(post(current)), '200')
      must(tellHubzilla)
      return told
    },
  ],
  [
    'pause, and resume',
    ({ must }) => {
      must(`${deploy}/pause "the auditors are counting"`)
      assert.equal(must(post(current)), '503')
      assert.match(must(`${curl}/ready`), /the auditors are counting/)
      must(`${deploy}/resume`)
      assert.equal(must(post(current)), '200')
    },
  ],
  [
    'killed, and without power: back by itself',
    async (machine) => {
      const { must } = machine
      must('kill -9 $(systemctl show -P MainPID civic-orchestrator)')
      assert.equal(must(post(current)), '200')
      await machine.reboot()
      assert.equal(must(post(current)), '200')
    },
  ],
  [
    'a port beside the unix socket, and METRICS=1 on it',
    ({ must }) => {
      must(`sed -i s/^#METRICS=1/METRICS=1/ ${envFile}`)
      must(`mkdir -p /etc/systemd/system/civic-orchestrator.socket.d`)
      must(
        `printf '[Socket]\\nListenStream=127.0.0.1:8787\\n' >/etc/systemd/system/civic-orchestrator.socket.d/override.conf`,
      )
      must(
        'systemctl daemon-reload && systemctl restart civic-orchestrator.socket civic-orchestrator.service',
      )
      assert.equal(must(post(current)), '200')
      assert.match(must(`curl -s ${port}/metrics`), /^civic_free_bytes \d+$/m)
    },
  ],
  [
    'nginx in front: only /receive, refusals are the receiver’s, no token in a log',
    (machine) => proxied(machine, nginx),
  ],
  ['Caddy in front: the same', (machine) => proxied(machine, caddy)],
  ['HAProxy in front: the same', (machine) => proxied(machine, haproxy)],
  [
    'time stamps: an authority, down for a day, and the timer',
    (machine) =>
      witnessed(machine, () => {
        machine.must(`jq -c '.narrative = "one more"' envelope.json > more.json`)
        assert.equal(machine.must(post(current).replace('envelope.json', 'more.json')), '201')
      }),
  ],
  [
    'back up under load, lose the data, restore, find every receipt',
    async (machine) => {
      const { must } = machine
      const loads = [load(machine, 8, 'keep')]
      await delay(1_000)
      const program = 'node /srv/civic-orchestrator/current'
      const data = '/srv/civic-orchestrator/data'
      must(`${program}/backup.cjs /root/backup --data ${data}`)
      const { complete_until } = JSON.parse(must(`${program}/backup.cjs /root/backup --data ${data} --json`))
      must(
        `systemctl start civic-orchestrator-backup && ${program}/restore.cjs /var/backups/civic-orchestrator --check`,
      )
      backupHasItsOwnUser(machine)
      const receipts = (await ended(loads[0] as ChildProcess)).receipts.filter(
        ({ at }) => at < complete_until,
      )
      assert.ok(receipts.length > 10)
      writeFileSync(join(machine.shared, 'receipts'), receipts.map(({ body }) => `${body}\n`).join(''))
      must('systemctl stop civic-orchestrator.socket civic-orchestrator.service')
      must(`rm -rf ${data} && install -d -m 2750 -o civic-orchestrator -g civic-auditors ${data}`)
      const told = must(`${program}/restore.cjs /root/backup ${data}`)
      must('systemctl start civic-orchestrator.socket civic-orchestrator.service')
      must(`${program}/audit.cjs verify --data ${data} --receipts /shared/receipts`)
      assert.equal(must(post(current)), '200', 'the first record of all is known again')
      return `${told.trim().split('\n').at(-1)}; ${receipts.length} receipts found`
    },
  ],
  [
    'on a database: import, a standby, a mirror, the primary lost',
    (machine) =>
      onDatabase(machine, (narrative) => {
        if (narrative === undefined) return machine.must(post(current))
        machine.must(`jq -c '.narrative = "${narrative}"' envelope.json > other.json`)
        return machine.run(post(current).replace('envelope.json', 'other.json')).output
      }),
  ],
]

/** The backup can write only to the directory of the backups, and the log reports a failed run with high priority. */
function backupHasItsOwnUser({ must, run }: Machine): void {
  const backups = '/var/backups/civic-orchestrator'
  assert.equal(must(`find ${backups} ! -user civic-backup`), '')
  must(`chown root: ${backups}`)
  assert.notEqual(run('systemctl start civic-orchestrator-backup').code, 0)
  must(`chown civic-backup: ${backups}`)
  const said = (): string => run('journalctl -p crit -o cat -t civic-orchestrator-backup').output
  while (!said().includes('The backup of the records failed')) run('sleep 0.2')
  must('systemctl start civic-orchestrator-backup')
}

const longSteps: readonly Step[] = [
  [
    '100,000 posts across 100 restarts and upgrades',
    async (machine) => {
      const loads = [load(machine, 16, 'keep'), load(machine, 4, 'new')]
      const restarts = 100
      for (let n = 1; n <= restarts; n++) {
        await until(loads, (n * 100_000) / restarts)
        if (n % 10 === 0) machine.must(`${deploy}/pull rollback`)
        else machine.must('systemctl restart civic-orchestrator')
      }
      return `${await storedBy(loads)}, ${restarts} restarts`
    },
  ],
  [
    '100,000 posts across 20 rotations',
    async (machine) => {
      const loads = [load(machine, 16, 'keep'), load(machine, 4, 'new')]
      const rotations = 20
      for (let n = 1; n <= rotations; n++) {
        await until(loads, (n * 100_000) / rotations)
        machine.must(`${deploy}/token rotate && ${tellHubzilla}`)
        await delay(500)
        machine.must(`${deploy}/token retire`)
      }
      return `${await storedBy(loads)}, ${rotations} rotations`
    },
  ],
]

function load({ start }: Machine, senders: number, connections: 'keep' | 'new'): ChildProcess {
  return start(`node load.cjs ${socket} ${hubzilla} ${senders} ${connections}`)
}

async function until(loads: readonly ChildProcess[], posts: number): Promise<void> {
  while ((await counted(loads)) < posts) await delay(100)
}

async function counted(loads: readonly ChildProcess[]): Promise<number> {
  const counts = loads.map(async (child) => {
    child.stdin?.write('\n')
    const [line] = await once(linesOf(child), 'line')
    return Number(line)
  })
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

const interfaces = new WeakMap<ChildProcess, ReturnType<typeof createInterface>>()

function linesOf(child: ChildProcess): ReturnType<typeof createInterface> {
  const known = interfaces.get(child) ?? createInterface({ input: child.stdout as NodeJS.ReadableStream })
  interfaces.set(child, known)
  return known
}

type LoadResult = { stored: number; failed: string[]; receipts: { at: string; body: string }[] }

async function ended(child: ChildProcess): Promise<LoadResult> {
  child.stdin?.end()
  const [line] = await once(linesOf(child), 'line')
  return JSON.parse(line)
}

/** Ends two loads, the first with keep-alive and the second without, and gives what they stored. */
async function storedBy(loads: readonly ChildProcess[]): Promise<string> {
  const told = await Promise.all(loads.map(ended))
  for (const { stored, failed } of told) {
    assert.deepEqual(failed, [])
    assert.ok(stored > 20, `${stored}`)
  }
  return `${told.map(({ stored }, n) => `${stored} stored ${n === 0 ? 'with' : 'without'} keep-alive`).join(', ')}; 0 failed`
}

const nginx = {
  config: '/etc/nginx/conf.d/civic-orchestrator.conf',
  source: 'proxy/nginx.conf',
  start: 'nginx -t && systemctl restart nginx',
  stop: 'systemctl stop nginx',
  logs: 'cat /var/log/nginx/*.log',
}
const caddy = {
  config: '/etc/caddy/Caddyfile',
  source: 'proxy/Caddyfile',
  start:
    'usermod -aG www-data caddy && sed -i "s/^receiver.example.org {/&\\n\\ttls internal/; s/^{$/&\\n\\tskip_install_trust/" /etc/caddy/Caddyfile && (systemctl restart caddy || (journalctl -o cat -n 20 -u caddy; false))',
  stop: 'systemctl stop caddy',
  logs: 'journalctl -o cat -u caddy',
}
const haproxy = {
  config: '/etc/haproxy/haproxy.cfg',
  source: 'proxy/haproxy.cfg',
  start:
    'cat /etc/ssl/receiver/fullchain.pem /etc/ssl/receiver/privkey.pem >/etc/haproxy/receiver.pem && chmod 600 /etc/haproxy/receiver.pem && systemctl restart haproxy',
  stop: 'systemctl stop haproxy',
  logs: 'journalctl -o cat -u haproxy -t haproxy',
}

/** Tests a proxy. The provocations and the expected answers are in test/deploy/provoke.ts. */
function proxied({ must }: Machine, { config, source, start, stop, logs }: typeof nginx): void {
  must(
    'mkdir -p /etc/ssl/receiver && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=receiver.example.org -addext subjectAltName=DNS:receiver.example.org -keyout /etc/ssl/receiver/privkey.pem -out /etc/ssl/receiver/fullchain.pem 2>/dev/null',
  )
  must(`cp ${deploy}/${source} ${config} && ${start}`)
  assert.equal(must(`node provoke-in-machine.cjs 443 ${hubzilla}`), '')
  const said = must(logs) + must('journalctl -o cat -u civic-orchestrator')
  assert.ok(said.includes('/receive'), 'there is an access log')
  assert.ok(!said.includes(must(`cat ${hubzilla}`).trim()), 'and the token is not in it')
  must(stop)
}

const why = obstacle()
if (why) console.log(`test:deploy is skipped: ${why}`)
else await whole()
