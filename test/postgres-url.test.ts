/** DATABASE_URL: which forms are understood, and that every mistake is named without repeating the URL. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readUrl, UrlMistakes } from '../src/storage/postgres/url.ts'
import { receiverCommand } from './bundle.ts'
import { scratchDir, token } from './receiver.ts'

const read = (text: string, env = {}) => readUrl('DATABASE_URL', text, env)

test('several hosts, ports and an encoded password are read', () => {
  const { hosts, user, database, password, ssl } = read(
    'postgres://civic:p%40ss%3Aword@db1,db2:5433,[2001:db8::1]:5434/civic?sslmode=verify-full',
  )
  assert.deepEqual(hosts, [
    { host: 'db1', port: 5432 },
    { host: 'db2', port: 5433 },
    { host: '2001:db8::1', port: 5434 },
  ])
  assert.deepEqual({ user, database, password }, { user: 'civic', database: 'civic', password: 'p@ss:word' })
  assert.deepEqual(ssl, { rejectUnauthorized: true })
})

test('a local server needs no sslmode, by loopback or by the directory of its socket', () => {
  assert.equal(read('postgres://a@127.0.0.1/b').ssl, false)
  assert.deepEqual(read('postgresql://a@/b?host=/var/run/postgresql&port=5433').hosts, [
    { host: '/var/run/postgresql', port: 5433 },
  ])
})

test('sslrootcert is read; verify-ca checks the authority and not the name', () => {
  const file = join(scratchDir(), 'root.crt')
  writeFileSync(file, 'a certificate')
  const { ssl } = read(`postgres://a@db/b?sslmode=verify-ca&sslrootcert=${file}`)
  assert.ok(ssl)
  assert.equal(ssl.ca, 'a certificate')
  assert.equal(ssl.checkServerIdentity?.('other', {} as never), undefined)
  assert.equal(read('postgres://a@db/b?sslmode=verify-full&sslrootcert=system').ssl !== false, true)
})

test('the password comes from the URL, else PGPASSWORD, else the file that PGPASSFILE names', () => {
  const file = join(scratchDir(), 'pass')
  writeFileSync(file, '# a comment\nother:*:*:*:no\n*:5432:b:a:from\\:file\n', { mode: 0o600 })
  assert.equal(read('postgres://a:url@localhost/b', { PGPASSWORD: 'env', PGPASSFILE: file }).password, 'url')
  assert.equal(read('postgres://a@localhost/b', { PGPASSWORD: 'env', PGPASSFILE: file }).password, 'env')
  assert.equal(read('postgres://a@localhost/b', { PGPASSFILE: file }).password, 'from:file')
  assert.equal(read('postgres://a@localhost/c', { PGPASSFILE: file }).password, undefined)
  chmodSync(file, 0o640)
  assert.throws(() => read('postgres://a@localhost/b', { PGPASSFILE: file }), /chmod 600/)
})

test('an unknown scheme, option or value is a mistake, and no message repeats the URL', () => {
  const wrong = [
    'mysql://secret:secret@db/b',
    'postgres://secret:se@cret@db/b',
    'postgres://secret:secret@db/b?sslmode=verify-fully',
    'postgres://secret:secret@db/b?sslmode=require',
    'postgres://secret:secret@db/b?sslmode=prefer',
    'postgres://secret:secret@db/b',
    'postgres://secret:secret@localhost/b?ssl_mode=secret',
    'postgres://secret:secret@localhost/b?target_session_attrs=any',
    'postgres://secret:secret@localhost/b?sslmode=disable&sslmode=disable',
    'postgres://secret:secret@localhost/b?sslrootcert=/secret',
    'postgres://secret:secret@db/b?sslmode=verify-full&sslrootcert=/secret',
    'postgres://secret:secret@localhost:0/b',
    'postgres://secret:secret@localhost:secret/b',
    'postgres://secret:secret@localhost, secret/b',
    'postgres://secret:secret@localhost/',
    'postgres://localhost/secret',
    'postgres://secret:%secret@localhost/b',
    'postgres://secret@db/b?host=/secret',
    'postgres://secret@/b?host=secret',
    'secret',
  ]
  for (const text of wrong) {
    assert.throws(
      () => read(text, {}),
      (error: unknown) => {
        assert.ok(error instanceof UrlMistakes, text)
        assert.doesNotMatch(error.message, /secret/, text)
        return true
      },
      text,
    )
  }
})

test('a receiver with a mistake in DATABASE_URL, or REQUIRE_STANDBY without it, ends with 78 and does not show it', () => {
  const attempts = [
    { DATABASE_URL: 'postgres://a:hidden@localhost/b?sslmode=hidden', says: /sslmode must be/ },
    { REQUIRE_STANDBY: '1', says: /only with DATABASE_URL/ },
  ]
  const [program, ...args] = receiverCommand
  for (const { says, ...env } of attempts) {
    const { status, stderr, stdout } = spawnSync(program, args, {
      env: { PATH: process.env.PATH, DATA_DIR: scratchDir(), NODE_TOKEN: token, PORT: '0', ...env },
      encoding: 'utf8',
    })
    assert.equal(status, 78, stderr)
    assert.match(stderr, says)
    assert.doesNotMatch(stderr + stdout, /hidden/)
  }
})
