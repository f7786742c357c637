/** Tests the witness as OPERATORS.md describes it, on a Debian with systemd: its user, unit and timer. For scripts/test-deploy.ts. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { build } from 'esbuild'
import type { Machine } from './machine.ts'

const stamps = '/srv/civic-orchestrator/stamps'
const data = '/srv/civic-orchestrator/data'
const unit = 'civic-orchestrator-witness'
const often = '[Timer]\\nOnCalendar=\\nOnActiveSec=1s\\nRandomizedDelaySec=0\\nAccuracySec=100ms\\n'

/** Runs the test. `post` stores one more record. */
export async function witnessed(machine: Machine, post: () => void): Promise<string> {
  const { must, run } = machine
  await bundleAuthority(machine)
  must('mkdir -p authority && cp /shared/authority.mjs .')
  const child = machine.start('node authority.mjs authority')
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const tell = async (line: string): Promise<void> => {
    child.stdin?.write(`${line}\n`)
    await once(lines, 'line')
  }
  const stamped = (): number => Number(must(`ls ${stamps} | grep -c 'tsr$' || true`))
  const log = (): string => must(`journalctl -o cat -u ${unit}`)
  const [url] = await once(lines, 'line')

  must(`systemctl start ${unit}`)
  assert.equal(must(`ls ${stamps}`), '', 'without an authority nothing is made')
  must('install -m 0644 authority/own/root.pem /etc/civic-orchestrator/own.pem')
  must(`echo 'own ${url} /etc/civic-orchestrator/own.pem' >> /etc/civic-orchestrator/witness`)
  must(`systemctl start ${unit} && systemctl start ${unit}`)
  assert.equal(stamped(), 1, 'nothing new, nothing sent')
  assert.equal(
    must(`stat -c '%a %U %G' ${stamps} ${stamps}/*.tsr`),
    '2750 civic-witness civic-auditors\n640 civic-witness civic-auditors\n',
  )
  const asWitness = 'setpriv --reuid civic-witness --regid civic-auditors --clear-groups'
  for (const path of [`${data}/x`, `${data}/scn01/heron-ridge/x`, `${data}/scn01/heron-ridge/records.json`])
    assert.notEqual(run(`${asWitness} sh -c 'echo x >> ${path}'`).code, 0, path)
  assert.notEqual(run(`${asWitness} cat /etc/civic-orchestrator/env_file`).code, 0)
  const checked = `node /srv/civic-orchestrator/current/audit.cjs verify --data ${data} --stamps ${stamps} --authority /etc/civic-orchestrator/own.pem`
  assert.match(must(checked), /this head existed, says "own": it covers record/)

  await tell('down')
  post()
  must(`systemctl start ${unit}`)
  assert.match(log(), /own: it cannot be reached: .*It is kept for the next run/)
  assert.notEqual(run(`systemctl is-failed ${unit}`).code, 0, 'which is no failure of the unit')
  must(`echo $(($(date +%s) - 90000)) > ${stamps}/.failing-own`)
  assert.notEqual(run(`systemctl start ${unit}`).code, 0)
  assert.equal(run(`systemctl is-failed ${unit}`).code, 0, 'after a day it is one')
  assert.match(must(`journalctl -o cat -p crit -u ${unit}`), /own: nothing has been stamped since /)

  await tell('up')
  must(
    `mkdir -p /etc/systemd/system/${unit}.timer.d && printf '${often}' > /etc/systemd/system/${unit}.timer.d/often.conf`,
  )
  must(`systemctl daemon-reload && systemctl enable --now --quiet ${unit}.timer`)
  while (stamped() < 2) await delay(100)
  must(`systemctl disable --now --quiet ${unit}.timer`)
  while (/ating$/.test(run(`systemctl is-active ${unit}`).output.trim())) await delay(100)
  assert.notEqual(run(`systemctl is-failed ${unit}`).code, 0)
  must('systemctl start civic-orchestrator-backup')
  const [kept, copied] = [stamps, '/var/backups/civic-orchestrator/stamps'].map((path) =>
    must(`cd ${path} && sha256sum heads-*`),
  )
  assert.equal(copied, kept)
  child.stdin?.end()
  return `${stamped()} stamps, ${must(`systemd-analyze security ${unit}`)
    .split('\n')
    .at(-2)
    ?.replace(/^[^A-Z]*|[^\d.]+$/g, '')}`
}

async function bundleAuthority({ shared }: Machine): Promise<void> {
  await build({
    entryPoints: ['test/deploy/authority.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(shared, 'authority.mjs'),
  })
}
