/** The environment: what each variable does, which sentence names each mistake, and which token is made when none is set. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { ConfigError, readConfig, readTokens } from '../src/server/config.ts'
import { type DevelopmentToken, developmentToken } from '../src/server/development-token.ts'
import { tokenCheck } from '../src/server/tokens.ts'
import { receiverCommand } from './bundle.ts'
import { scn01, scratchDir, startReceiver, token, vs01 } from './receiver.ts'
import { audit } from './said.ts'

const other = 'other-token-'.padEnd(40, 'o')

function mistakesIn(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.mistakes
  }
  return []
}

function fileWith(content: string): string {
  const file = join(scratchDir(), 'file')
  writeFileSync(file, content)
  return file
}

describe('the environment', () => {
  test('may be empty: everything has its default', () => {
    assert.deepEqual(readConfig({}), {
      tokens: undefined,
      dataDir: './data',
      socket: undefined,
      tcp: { host: '127.0.0.1', port: 8787 },
      maxBodyBytes: 1_048_576,
      minFreeBytes: 67_108_864,
      logLevel: 'info',
      databaseUrl: undefined,
      requireStandby: false,
      metrics: false,
      backupStatus: undefined,
      isProduction: false,
    })
  })

  test('sets each value', () => {
    const env = {
      NODE_TOKEN: token,
      NODE_TOKEN_PREVIOUS: other,
      DATA_DIR: '/srv/data',
      SOCKET: '/run/civic-orchestrator/http.sock',
      HOST: '::1',
      PORT: '0',
      MAX_BODY_BYTES: '2000000',
      MIN_FREE_BYTES: '0',
      LOG_LEVEL: 'warn',
      DATABASE_URL: 'postgres://a@localhost/b',
      REQUIRE_STANDBY: '1',
      METRICS: '1',
      BACKUP_STATUS: '/status.json',
      NODE_ENV: 'production',
    }
    assert.deepEqual(readConfig(env), {
      tokens: { current: token, previous: other },
      dataDir: '/srv/data',
      socket: '/run/civic-orchestrator/http.sock',
      tcp: { host: '::1', port: 0 },
      maxBodyBytes: 2_000_000,
      minFreeBytes: 0,
      logLevel: 'warn',
      databaseUrl: 'postgres://a@localhost/b',
      requireStandby: true,
      metrics: true,
      backupStatus: '/status.json',
      isProduction: true,
    })
  })

  test('may set a variable to nothing, which means not to set it', () => {
    const names = [
      'NODE_TOKEN',
      'NODE_TOKEN_FILE',
      'NODE_TOKEN_PREVIOUS',
      'DATA_DIR',
      'SOCKET',
      'HOST',
      'PORT',
      'LOG_LEVEL',
    ]
    assert.deepEqual(readConfig(Object.fromEntries(names.map((name) => [name, '']))), readConfig({}))
  })

  test('with SOCKET alone means no TCP; with HOST or PORT as well it means both', () => {
    const SOCKET = '/run/a/b'
    assert.equal(readConfig({ SOCKET }).tcp, undefined)
    assert.deepEqual(readConfig({ SOCKET, PORT: '1' }).tcp, { host: '127.0.0.1', port: 1 })
    assert.deepEqual(readConfig({ SOCKET, HOST: '::1' }).tcp, { host: '::1', port: 8787 })
  })

  test('may name files that hold the tokens; one final line feed is not part of a token', () => {
    for (const end of ['', '\n', '\r\n']) {
      const files = {
        NODE_TOKEN_FILE: fileWith(token + end),
        NODE_TOKEN_PREVIOUS_FILE: fileWith(other + end),
      }
      assert.deepEqual(readConfig(files).tokens, { current: token, previous: other })
      assert.deepEqual(readTokens(files), { current: token, previous: other })
    }
  })

  test('has all its mistakes reported at once', () => {
    const env = {
      NODE_TOKEN: 'too short',
      NODE_TOKEN_PREVIOUS_FILE: '/nowhere/at/all',
      PORT: '65536',
      MAX_BODY_BYTES: '1 MB',
      MIN_FREE_BYTES: '-1',
      LOG_LEVEL: 'loud',
    }
    const mistakes = mistakesIn(env)
    assert.equal(mistakes.length, 6)
    for (const name in env) {
      const own = mistakes.filter((mistake) => mistake.match(/\b[A-Z_]{4,}\b/g)?.[0] === name)
      assert.equal(own.length, 1, name)
    }
  })

  test('has none of its values repeated in a message', () => {
    const file = fileWith('secret in a file')
    const env = {
      NODE_TOKEN: 'secret-token',
      NODE_TOKEN_PREVIOUS_FILE: file,
      PORT: 'secret-port',
      MAX_BODY_BYTES: 'secret-size',
      MIN_FREE_BYTES: 'secret-space',
      LOG_LEVEL: 'secret-level',
    }
    const said = mistakesIn(env).join('\n')
    assert.doesNotMatch(said, /secret/)
    assert.ok(!said.includes(file))
  })

  test('must hold a token that fits into a header and is long enough', () => {
    for (const bad of [
      'x',
      'x'.repeat(31),
      `${'x'.repeat(40)}é`,
      `${'x'.repeat(40)}\n${'x'.repeat(9)}`,
      ` ${token}`,
      `${token} `,
      `\t${token}`,
    ]) {
      assert.equal(mistakesIn({ NODE_TOKEN: bad }).length, 1, JSON.stringify(bad))
      assert.equal(mistakesIn({ NODE_TOKEN_FILE: fileWith(bad) }).length, 1, JSON.stringify(bad))
      assert.equal(mistakesIn({ NODE_TOKEN: token, NODE_TOKEN_PREVIOUS: bad }).length, 1, JSON.stringify(bad))
    }
    for (const good of ['x'.repeat(32), 'with a blank inside it, and length', '!'.repeat(4000)]) {
      assert.equal(readConfig({ NODE_TOKEN: good }).tokens?.current, good)
    }
    assert.equal(mistakesIn({ NODE_TOKEN_FILE: fileWith('') }).length, 1)
    assert.equal(mistakesIn({ NODE_TOKEN_FILE: scratchDir() }).length, 1)
  })

  test('must hold a token in a regular file: nobody writes to a FIFO, and a device has no end', () => {
    const fifo = join(scratchDir(), 'fifo')
    execFileSync('mkfifo', [fifo])
    for (const path of [fifo, '/dev/zero', scratchDir()])
      assert.match(String(mistakesIn({ NODE_TOKEN_FILE: path })), /not a regular file|EISDIR/, path)
    assert.match(String(mistakesIn({ NODE_TOKEN_FILE: fileWith('x'.repeat(9_000)) })), /longer than/)
    const link = join(scratchDir(), 'link')
    symlinkSync(fileWith(token), link)
    assert.equal(readConfig({ NODE_TOKEN_FILE: link }).tokens?.current, token)
  })

  test('must hold a token that cannot be guessed, in production', () => {
    for (const [weak, why] of [
      ['civic-orchestrator-test-vectors-token', /published/],
      ['abcdefg'.repeat(6), /8 different characters/],
    ] as const) {
      assert.deepEqual(mistakesIn({ NODE_TOKEN: weak }), [])
      for (const env of [{ NODE_TOKEN: weak }, { NODE_TOKEN: token, NODE_TOKEN_PREVIOUS: weak }])
        assert.match(String(mistakesIn({ NODE_ENV: 'production', ...env })), why)
    }
    assert.deepEqual(mistakesIn({ NODE_ENV: 'production', NODE_TOKEN: 'abcdefgh'.repeat(4) }), [])
  })

  test('must not set a token twice, nor a previous one without a current one, nor none in production', () => {
    assert.match(String(mistakesIn({ NODE_TOKEN: token, NODE_TOKEN_FILE: fileWith(token) })), /both set/)
    assert.match(String(mistakesIn({ NODE_TOKEN_PREVIOUS: other })), /without NODE_TOKEN/)
    assert.match(String(mistakesIn({ NODE_ENV: 'production' })), /openssl rand -hex 32/)
    assert.match(String(mistakesIn({ NODE_ENV: 'production', NODE_TOKEN_PREVIOUS: other })), /must be set/)
    assert.deepEqual(mistakesIn({ NODE_ENV: 'production', NODE_TOKEN: token }), [])
  })

  test('has numbers written as whole numbers in their range', () => {
    const ranges = { PORT: [0, 65_535], MAX_BODY_BYTES: [1, 7_340_032], MIN_FREE_BYTES: [0, 2 ** 53 - 1] }
    for (const [name, [least, most]] of Object.entries(ranges) as [string, [number, number]][]) {
      for (const good of [least, most])
        assert.deepEqual(mistakesIn({ [name]: String(good) }), [], `${name}=${good}`)
      for (const bad of [least - 1, most + 1, '1e3', '0x10', ' 1', '1.5', '1_000', 'NaN', '9'.repeat(17)]) {
        assert.equal(mistakesIn({ [name]: String(bad) }).length, 1, `${name}=${bad}`)
      }
    }
  })
})

test('a development token is made once and kept, also where two receivers start at once', async () => {
  const file = join(scratchDir(), '.node_token')
  const both = await Promise.all([developmentToken(file), developmentToken(file)])
  const made = both.find(({ isNew }) => isNew) as DevelopmentToken
  assert.match(made.token, /^[0-9a-f]{64}$/)
  assert.deepEqual(
    both.map(({ token }) => token),
    [made.token, made.token],
  )
  assert.equal(both.filter(({ isNew }) => isNew).length, 1)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(await developmentToken(file), { token: made.token, isNew: false })
})

test('a development token that is empty or cut short is accepted from nobody, and is made anew', async () => {
  for (const left of ['', '\n', 'abc\n', 'x'.repeat(31)]) {
    const dataDir = scratchDir()
    writeFileSync(join(dataDir, '.node_token'), left)
    const receiver = await startReceiver({ DATA_DIR: dataDir, NODE_TOKEN: '' })
    const made = readFileSync(join(dataDir, '.node_token'), 'utf8').trim()
    assert.match(made, /^[0-9a-f]{64}$/)
    for (const headers of [
      { 'x-node-token': '' },
      { 'x-node-token': left.trim() },
      { authorization: 'Bearer ' },
    ]) {
      const answer = await fetch(`${receiver.url}/receive`, {
        method: 'POST',
        headers,
        body: JSON.stringify(vs01()),
      })
      assert.equal(answer.status, 401)
    }
    assert.equal((await receiver.post(vs01(), { 'x-node-token': made })).status, 201)
    await receiver.stop()
  }
})

test('no token and an empty one match nothing, whatever is configured', () => {
  const check = tokenCheck({ current: '', previous: '' })
  assert.equal(check.match(''), undefined)
  assert.equal(check.match(undefined), undefined)
})

type End = { readonly code: number | null; readonly out: string; readonly err: string }

/** Runs the receiver until it ends by itself, as it does after a mistake in its settings. */
async function endOf(env: Record<string, string>): Promise<End> {
  const [program, ...args] = receiverCommand
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk) => (said.out += chunk))
  child.stderr.on('data', (chunk) => (said.err += chunk))
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const [code] = await once(child, 'close')
  clearTimeout(timer)
  return { code, ...said }
}

describe('a receiver', { concurrency: 3 }, () => {
  test('with mistakes in its environment names them all on standard error, ends with 78, and makes nothing', async () => {
    const dataDir = join(scratchDir(), 'data')
    const { code, out, err } = await endOf({
      DATA_DIR: dataDir,
      NODE_TOKEN: 'secret-and-short',
      PORT: 'secret-port',
      LOG_LEVEL: 'secret-level',
    })
    assert.equal(code, 78)
    assert.equal(out, '')
    const lines = err.trimEnd().split('\n')
    assert.equal(lines.length, 3)
    for (const line of lines) assert.match(line, /^civic-orchestrator: (the file that )?[A-Z_]+ /)
    assert.doesNotMatch(err, /secret/)
    assert.equal(existsSync(dataDir), false)
  })

  test('reads back the largest record that it may be told to take', async () => {
    const env = { MAX_BODY_BYTES: '7340032', DATA_DIR: scratchDir() }
    const first = await startReceiver(env)
    const rest = JSON.stringify(scn01({ extra: '' })).length
    assert.equal((await first.post(scn01({ extra: 'x'.repeat(7_340_032 - rest) }))).status, 201)
    await first.stop()
    const second = await startReceiver(env)
    assert.equal((await second.post(scn01({ narrative: 'the next one' }))).status, 201)
    await second.stop()
  })

  test('refuses, by either storage rule, what would be too long once its numbers and blanks are written out', async () => {
    const receiver = await startReceiver({ MAX_BODY_BYTES: '7340032' })
    const few = Array.from({ length: 49_000 }, () => '1e20').join()
    const deep = '['.repeat(29) + few + ']'.repeat(29)
    const long = 'x'.repeat(7_000_000)
    for (const envelope of [scn01({ extra: '?', long }), vs01({ extra: '?', long })]) {
      const response = await receiver.post(JSON.stringify(envelope).replace('"?"', deep))
      assert.equal(response.status, 413)
      assert.match(((await response.json()) as { detail: string }).detail, /as stored/)
      assert.equal((await receiver.post({ ...envelope, extra: '', long: '' })).status, 201)
    }
    await receiver.stop()
    assert.equal((await audit('verify', '--data', receiver.dataDir)).exit, 0)
  })

  test('does not start in production without a token', async () => {
    const { code, err } = await endOf({ NODE_ENV: 'production', DATA_DIR: scratchDir() })
    assert.equal(code, 78)
    assert.match(err, /NODE_TOKEN or NODE_TOKEN_FILE must be set in production/)
  })

  test('does not start on a data directory that cannot be one', async () => {
    const { code, err } = await endOf({ NODE_TOKEN: token, DATA_DIR: join(fileWith(''), 'data') })
    assert.equal(code, 78)
    assert.match(err, /DATA_DIR cannot be used \(ENOTDIR\)/)
  })

  test('does not start on an address that is taken, and says so', async () => {
    const first = await startReceiver()
    const { port } = new URL(first.url)
    const { code, out, err } = await endOf({ NODE_TOKEN: token, DATA_DIR: scratchDir(), PORT: port })
    assert.equal(code, 1)
    assert.match(
      err,
      new RegExp(`^civic-orchestrator: port ${port} of 127\\.0\\.0\\.1 is taken\\..* PORT=$`, 'm'),
    )
    assert.match(out, /"level":60.*"code":"EADDRINUSE".*cannot listen/)
    await first.stop()
  })

  test('listens where it is told', async () => {
    const six = await startReceiver({ HOST: '::1' })
    const { port } = new URL(six.url)
    assert.equal((await fetch(`http://[::1]:${port}/health`)).status, 200)
    await assert.rejects(fetch(`http://127.0.0.1:${port}/health`))
    await six.stop()
  })

  test('logs as much as LOG_LEVEL says', async () => {
    const quiet = await startReceiver({ LOG_LEVEL: 'info' })
    await quiet.post(vs01())
    await quiet.stop()
    assert.match(quiet.output(), /"msg":"request"/)
    const silent = await endOf({
      NODE_TOKEN: token,
      LOG_LEVEL: 'fatal',
      DATA_DIR: scratchDir(),
      HOST: '256.0.0.1',
    })
    assert.equal(silent.code, 1)
    assert.deepEqual(
      silent.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).level),
      [60],
    )
  })

  test('makes a development token when none is set, prints it once, and the printed command stores a record', async () => {
    const dataDir = join(scratchDir(), 'not', 'yet', 'there')
    const unset = { NODE_TOKEN: '', DATA_DIR: dataDir }
    const commandIn = (output: string) => /^ {2}(curl .*)$/m.exec(output)?.[1] ?? assert.fail(output)
    const run = async (command: string) => {
      const shell = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'ignore'] })
      let answer = ''
      shell.stdout.on('data', (chunk) => (answer += chunk))
      await once(shell, 'close')
      return answer
    }
    const printed = async (started: Awaited<ReturnType<typeof startReceiver>>) => {
      for (let n = 0; n < 100 && !started.output().includes('Then look at'); n++) await delay(20)
      return started.output()
    }

    const first = await startReceiver(unset)
    const kept = readFileSync(join(dataDir, '.node_token'), 'utf8').trim()
    assert.equal(statSync(join(dataDir, '.node_token')).mode & 0o777, 0o600)
    const greeting = await printed(first)
    assert.equal(greeting.split(kept).length - 1, 1, 'printed once')
    assert.match(await run(commandIn(greeting)), /^HTTP\/1\.1 201 Created.*"outcome":"created"/s)
    const directory = /Then look at (.+)\//.exec(greeting)?.[1] as string
    assert.equal(readdirSync(directory).length, 1)
    assert.equal((await first.post(vs01())).status, 401, 'no other token')
    assert.equal(await first.stop(), 0)
    assert.equal(
      first
        .output()
        .split('\n')
        .filter((line) => line.startsWith('{') && line.includes(kept)).length,
      0,
    )

    const second = await startReceiver(unset)
    const again = await printed(second)
    assert.ok(!again.includes(kept), 'not printed again')
    assert.match(await run(commandIn(again)), /^HTTP\/1\.1 200 OK.*"outcome":"replaced"/s)
    assert.equal((await second.post(scn01(), { 'x-node-token': kept })).status, 201)
    await second.stop()
  })

  test('reads its token files again on SIGHUP, without an answer lost, and keeps the old ones when the new are bad', async () => {
    const [current, previous] = [fileWith(token), fileWith('')]
    writeFileSync(previous, other)
    const rotating = await startReceiver({
      NODE_TOKEN: '',
      NODE_TOKEN_FILE: current,
      NODE_TOKEN_PREVIOUS_FILE: previous,
    })
    const third = 'third-token-'.padEnd(40, '3')
    const statuses = async () => {
      const all = []
      for (const presented of [token, other, third]) {
        all.push((await rotating.post(vs01(), { 'x-node-token': presented })).status)
      }
      return all.map((status) => status < 300)
    }
    const hup = async (said: RegExp) => {
      const before = rotating.output().length
      rotating.process.kill('SIGHUP')
      for (let n = 0; n < 100 && !said.test(rotating.output().slice(before)); n++) await delay(20)
      assert.match(rotating.output().slice(before), said)
    }
    assert.deepEqual(await statuses(), [true, true, false])
    writeFileSync(current, 'short')
    await hup(/the new tokens are refused; the old ones stay/)
    assert.deepEqual(await statuses(), [true, true, false])
    rmSync(current)
    execFileSync('mkfifo', [current])
    await hup(/the new tokens are refused; the old ones stay/)
    assert.deepEqual(await statuses(), [true, true, false])
    rmSync(current)
    writeFileSync(current, third)
    writeFileSync(previous, token)
    await hup(/tokens were read again/)
    assert.deepEqual(await statuses(), [true, false, true])
    assert.doesNotMatch(rotating.output(), /other-token|third-token|test-token|short"/)
    assert.equal(await rotating.stop(), 0)
  })
})
