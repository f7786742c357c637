/**
 * Several machines (OPERATORS, "On several machines"), with a primary and a standby as two clusters of the one machine of the test: the commands as
 * they stand there, but for the ports. The records move from the files into the database; then the primary is lost.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Machine } from './machine.ts'

const root = '/srv/civic-orchestrator'
const program = `node ${root}/current/database.cjs`
const owner = 'postgres://postgres@/civic?host=/var/run/postgresql'
const tls = 'sslmode=verify-full&sslrootcert=/etc/civic-orchestrator/db-ca.pem'
const hosts = 'localhost:5432,localhost:5433'
const url = `postgres://civic_receiver:receiver-secret@${hosts}/civic?${tls}`
const feed = `printf '%s\\n' '${url}' | ${root}/current/deploy/database -`
const readerUrl = `postgres://civic_reader:reader-secret@${hosts}/civic?${tls}`
const envFile = '/etc/civic-orchestrator/env_file'
const psql = (port: number, ...statements: readonly string[]): string =>
  `runuser -u postgres -- psql -q -At -p ${port} ${statements.map((text) => `-c "${text}"`).join(' ')}`

/** `posted` posts the envelope of the test again, or a new one, and gives the status. */
export async function onDatabase(machine: Machine, posted: (narrative?: string) => string): Promise<string> {
  const { must, run } = machine
  makePrimary(machine)
  makeStandby(machine)
  const refused = run(feed)
  assert.equal(refused.code, 1)
  assert.match(refused.output, /there are records in/)
  const imported = moveRecords(machine)
  const told = must(feed)
  assert.match(told, /REQUIRE_STANDBY=1/)
  assert.equal(must('systemctl show -P PrivateNetwork civic-orchestrator').trim(), 'no')
  assert.equal(posted(), '200', 'a record that was imported is known')
  assert.equal(posted('on two disks'), '201')
  assert.match(must('curl -s http://127.0.0.1:8787/ready'), /synchronous standbys attached: 1/)

  must(`cd /root && DATABASE_URL='${readerUrl}' ${program} mirror /root/mirror`)
  const verified = must(`node ${root}/current/audit.cjs verify --data /root/mirror`)
  assert.match(verified, /result +NOTHING FOUND/)

  must('systemctl disable --now postgresql@17-main')
  must('runuser -u postgres -- pg_ctlcluster 17 db2 promote')
  await untilStatus(() => posted('with no standby'), '503')
  must(`sed -i s/REQUIRE_STANDBY=1/REQUIRE_STANDBY=0/ ${envFile} && systemctl restart civic-orchestrator`)
  await untilStatus(() => posted('on one disk'), '201')
  assert.equal(posted('on two disks'), '200', 'what was acknowledged before the failover is there')
  return imported
}

function makePrimary({ must }: Machine): void {
  must('pg_lsclusters -h | grep -q "^17 *main" || pg_createcluster 17 main')
  must(`openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout /etc/postgresql/db.key -out /etc/postgresql/db.pem`)
  must('chown postgres: /etc/postgresql/db.* && chmod 600 /etc/postgresql/db.key')
  must(
    'cp /etc/postgresql/db.pem /etc/civic-orchestrator/db-ca.pem && chmod 644 /etc/civic-orchestrator/db-ca.pem',
  )
  must(`printf '%s\\n' "listen_addresses = '*'" 'wal_log_hints = on' 'wal_compression = on' 'checkpoint_timeout = 30min' \
    'max_slot_wal_keep_size = 20GB' 'ssl = on' "ssl_cert_file = '/etc/postgresql/db.pem'" "ssl_key_file = '/etc/postgresql/db.key'" \
    > /etc/postgresql/17/main/conf.d/civic.conf`)
  for (const here of ['127.0.0.1/32', '::1/128']) {
    must(
      `echo 'hostssl civic civic_receiver,civic_reader ${here} scram-sha-256' >> /etc/postgresql/17/main/pg_hba.conf`,
    )
    must(
      `echo 'hostssl replication civic_standby ${here} scram-sha-256' >> /etc/postgresql/17/main/pg_hba.conf`,
    )
  }
  must('systemctl restart postgresql@17-main')
  must(
    psql(
      5432,
      "CREATE ROLE civic_receiver LOGIN PASSWORD 'receiver-secret'",
      "CREATE ROLE civic_reader LOGIN PASSWORD 'reader-secret'",
      "CREATE ROLE civic_standby LOGIN REPLICATION PASSWORD 'standby-secret'",
    ),
  )
  must('cd / && runuser -u postgres -- createdb --encoding=UTF8 --template=template0 civic')
  must(
    `cd / && runuser -u postgres -- ${program} prepare --owner '${owner}' --role civic_receiver --reader civic_reader`,
  )
}

function makeStandby({ must }: Machine): void {
  must('pg_createcluster 17 db2 --port 5433')
  must(
    'cp /etc/postgresql/17/main/pg_hba.conf /etc/postgresql/17/db2/ && cp /etc/postgresql/17/main/conf.d/civic.conf /etc/postgresql/17/db2/conf.d/',
  )
  must('rm -rf /var/lib/postgresql/17/db2')
  must(
    `cd / && runuser -u postgres -- pg_basebackup -d 'host=localhost user=civic_standby password=standby-secret application_name=db2' -D /var/lib/postgresql/17/db2 -R -C -S db2`,
  )
  must('systemctl start postgresql@17-db2')
  must(psql(5432, "ALTER SYSTEM SET synchronous_standby_names = 'db2'", 'SELECT pg_reload_conf()'))
  const attached = psql(5432, 'SELECT application_name, state, sync_state FROM pg_stat_replication')
  must(`until [ "$(${attached})" = 'db2|streaming|sync' ]; do sleep 0.1; done`)
}

function moveRecords({ must }: Machine): string {
  must('systemctl stop civic-orchestrator.socket civic-orchestrator.service')
  must('usermod -a -G civic-auditors postgres')
  const told = must(`cd / && runuser -u postgres -- ${program} import ${root}/data --owner '${owner}'`)
  must(`mv ${root}/data ${root}/data-before-the-database`)
  must(`install -d -m 2750 -o civic-orchestrator -g civic-auditors ${root}/data`)
  must(
    `runuser -u civic-orchestrator -- env DATA_DIR=${root}/data node ${root}/current/server.cjs --mark-data-dir`,
  )
  must('systemctl start civic-orchestrator.socket')
  return told.trim().split('\n').at(-1) as string
}

async function untilStatus(post: () => string, wanted: string): Promise<void> {
  while (post() !== wanted) await delay(200)
}
