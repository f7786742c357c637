/** The commands list, show, snapshot and export, and the command line itself. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  openSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import type { Receipt } from '../contracts/record.ts'
import { run } from '../src/audit/cli.ts'
import { cell, spread } from '../src/audit/csv.ts'
import { plain } from '../src/cli/plain.ts'
import { association, build, envelope, lines, makeDirectory, slug } from './audit-build.ts'
import { commandOf } from './bundle.ts'
import { linesOf } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { audit, saidTo } from './said.ts'

/** Makes one association with these envelopes, and gives the path of its records file. */
function store(root: string, envelopes: readonly JsonObject[]): string {
  const { directory, records, head } = association(root)
  makeDirectory(join(root, 'scn01'))
  makeDirectory(directory)
  const made = lines(envelopes)
  writeFileSync(records, made.text)
  writeFileSync(head, made.head)
  return records
}

const evil = 'before\u001b[2J\u001b]0;title\u0007\u009b31m\u202eafter\r\nnext line\u2028still'

test('show prints the content of a record only as text, and keeps its lines', async () => {
  const root = scratchDir()
  store(root, [{ ...envelope, narrative: evil, vs_snapshot: { '\u001bkey': '\u001bvalue' } }])
  const { exit, out } = await audit('show', slug, '--data', root)
  assert.equal(exit, 0)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
  assert.match(out, /before\\u\{1b\}\[2J/)
  assert.match(out, /\n│ +next line\\u\{2028\}still/)
  assert.match(out, /\\u\{1b\}key/)
})

test('list prints the content of a record only as text, one line a record', async () => {
  const root = scratchDir()
  store(root, [{ ...envelope, narrative: evil }, envelope])
  const { out } = await audit('list', slug, '--data', root)
  const [heading, ...rows] = out.trimEnd().split('\n')
  assert.equal(heading, `scn01/${slug}`)
  assert.equal(rows.length, 2)
  assert.equal(out.includes('\u001b'), false)
})

test('show keeps texts as they were sent and wraps them to the terminal', async () => {
  const root = scratchDir()
  const narrative = `${'word '.repeat(100)}${'x'.repeat(300)}`
  store(root, [
    { ...envelope, narrative, vs_snapshot: { source: '["management_company","closing_documents"]' } },
  ])
  const { out } = await audit('show', slug, '--data', root)
  assert.match(out, /│ +\["management_company","closing_documents"\]\n/)
  assert.ok(out.split('\n').every((line) => line.length <= 100))
  assert.equal(out.replace(/[\s┆]/g, '').includes('x'.repeat(300)), true)
})

test('show selects by participant and by sequence, and says when nothing is selected', async () => {
  const root = scratchDir()
  const other = '@5sb-8hm-54v'
  store(root, [
    envelope,
    { ...envelope, narrative: 'second', participant_id: other },
    { ...envelope, narrative: 'third' },
  ])
  const shown = async (...args: string[]): Promise<unknown[]> => {
    const { out } = await audit('show', slug, '--data', root, '--json', ...args)
    return out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { record: { receipt: Receipt } }).record.receipt.sequence)
  }
  assert.deepEqual(await shown(), [1, 2, 3])
  assert.deepEqual(await shown('--participant', other), [2])
  assert.deepEqual(await shown('--sequence', '3'), [3])
  assert.equal((await audit('show', slug, '--data', root, '--participant', '22d@5sb-8hm-54v')).exit, 2)
  assert.equal((await audit('show', slug, '--data', root, '--participant', '../../etc/passwd')).exit, 2)
  assert.equal((await audit('show', '../..', '--data', root)).exit, 2)
})

test('show of an address begins with its Vital Signs and Diagnostics', async () => {
  const root = scratchDir()
  store(root, [envelope])
  for (const addon of ['vs01', 'dsc01']) {
    makeDirectory(join(root, addon))
    makeDirectory(join(root, addon, slug))
    const record = { ...envelope, addon, fields: { notes: `of ${addon}` } }
    writeFileSync(join(root, addon, slug, `${String(envelope.participant_id)}.json`), JSON.stringify(record))
  }
  const { out } = await audit('show', slug, '--data', root, '--participant', String(envelope.participant_id))
  assert.deepEqual(
    [...out.matchAll(/^(vs01|dsc01|scn01)\//gm)].map(([, addon]) => addon),
    ['vs01', 'dsc01', 'scn01'],
  )
})

test('list counts without reading the files through, and finds associations of every addon', async () => {
  const root = scratchDir()
  build(root, 700)
  makeDirectory(join(root, 'vs01'))
  makeDirectory(join(root, 'vs01', 'heron-ridge'))
  writeFileSync(join(root, 'vs01', 'heron-ridge', '22c@5sb-8hm-54v.json'), '{}')
  const { out } = await audit('list', '--data', root, '--json')
  const found = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(
    found.map(({ association_slug, scn01, vs01 }) => [association_slug, scn01, vs01]),
    [
      ['heron-ridge', 0, 1],
      [slug, 700, 0],
    ],
  )
})

test('snapshot writes the file byte for byte', async () => {
  const root = scratchDir()
  const { records } = build(root, 300)
  assert.equal((await audit('snapshot', slug, '--data', root)).out, readFileSync(records, 'utf8'))
})

test('snapshot leaves out an append that lands while it reads', async () => {
  const root = scratchDir()
  const { records } = build(root, 300)
  const whole = readFileSync(records, 'utf8')
  const next = `,\n${linesOf(records)[0]}\n]\n`
  const size = whole.length
  const file = openSync(records, 'r+')
  const started = audit('snapshot', slug, '--data', root)
  await new Promise((resolve) => setImmediate(resolve))
  writeSync(file, next, Buffer.byteLength(whole) - 3)
  const { out } = await started
  assert.equal((JSON.parse(out) as unknown[]).length >= 300, true)
  assert.equal(out.startsWith(whole.slice(0, size - 3)), true)
})

test('snapshot waits for an append under way, and refuses a file that stays torn', async () => {
  const root = scratchDir()
  const { records } = build(root, 3)
  const whole = readFileSync(records, 'utf8')
  truncateSync(records, Buffer.byteLength(whole) - 1)
  const waiting = audit('snapshot', slug, '--data', root)
  setTimeout(() => appendFileSync(records, '\n'), 20)
  assert.equal((await waiting).out, whole)
  truncateSync(records, Buffer.byteLength(whole) - 1)
  const { exit, out } = await audit('snapshot', slug, '--data', root)
  assert.deepEqual([exit, out], [2, ''])
})

test('an empty association is an empty array', async () => {
  const root = scratchDir()
  const records = store(root, [])
  writeFileSync(records, '')
  assert.deepEqual(JSON.parse((await audit('snapshot', slug, '--data', root)).out), [])
})

test('no cell can act as a formula', () => {
  for (const text of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1']) {
    assert.match(cell(text), /^"?'/, JSON.stringify(text))
  }
  assert.equal(cell('=HYPERLINK("http://x";"y")'), `"'=HYPERLINK(""http://x"";""y"")"`)
  assert.equal(cell('a = b'), '"a = b"')
  assert.equal(cell('a\u0000\u001bb'), '"a\ufffd\ufffdb"')
})

test('a long text is spread over cells that a spreadsheet accepts, in whole characters, and a cut is reported', () => {
  const narrative = '😀'.repeat(22_000)
  const [first, second] = spread(narrative, 2) as [string, string]
  assert.equal(first + second, narrative)
  assert.ok(first.isWellFormed() && first.length <= 32_767 && second.length <= 32_767)
  assert.match(spread('x'.repeat(40_000), 1)[0]!, /\[cut here: 8000 more characters\]$/)
})

/** Reads a table by RFC 4180, independently of the code that wrote it. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [['']]
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const row = rows.at(-1)!
    const character = text[at]!
    if (quoted && character === '"' && text[at + 1] === '"') {
      row[row.length - 1] += '"'
      at++
    } else if (character === '"') quoted = !quoted
    else if (!quoted && character === ',') row.push('')
    else if (!quoted && character === '\r' && text[at + 1] === '\n') {
      rows.push([''])
      at++
    } else row[row.length - 1] += character
  }
  return rows.slice(0, -1)
}

test('export writes one row a record, which reads back to what is stored', async () => {
  const root = scratchDir()
  const narrative = `=cmd|' /C calc'!A0, "quoted"\r\nsecond line; ${'long '.repeat(9_000)}`
  store(root, [
    { ...envelope, narrative, extra: { kept: true } },
    { ...envelope, g1_tx_hash: 'no hash' },
  ])
  const { out } = await audit('export', '--csv', '--data', root)
  const [names, first, second] = parseCsv(out) as [string[], string[], string[]]
  const column = (row: string[], name: string): string | undefined => row[names.indexOf(name)]
  assert.equal(parseCsv(out).length, 3)
  assert.deepEqual([first.length, second.length], [names.length, names.length])
  assert.equal(`${column(first, 'narrative')}${column(first, 'narrative_2')}`, `'${narrative}`)
  assert.equal(column(first, 'other'), '{"extra":{"kept":true}}')
  assert.equal(column(second, 'g1_tx_hash_raw'), 'no hash')
  assert.equal(column(second, 'sequence'), '2')
})

test('text for a terminal keeps letters of every script and joined emoji', () => {
  const text = 'façade – Ğ1 “quoted” 家 👩‍👩‍👧 عربي'
  assert.equal(plain(text), text)
  assert.equal(plain('\ud800'), '\\u{d800}')
})

const [node, ...entry] = await commandOf('scripts/audit.ts')
const program = (...args: string[]) => spawnSync(node, [...entry, ...args], { encoding: 'utf8' })

test('progress on a terminal overwrites itself, and is gone at the end', async () => {
  const root = scratchDir()
  build(root, 50)
  const { exit, err } = await saidTo({ watched: true }, run, 'verify', '--data', root)
  assert.equal(exit, 0)
  const eraseLine = '\r\u001b[K'
  assert.match(err, /\[#+\] +\d+ % {2}scn01\/plum-grove-21/)
  assert.deepEqual([err.startsWith(eraseLine), err.endsWith(eraseLine)], [true, true])
})

test('--json has no characters that control a terminal, and still has the same values', async () => {
  const root = scratchDir()
  store(root, [{ ...envelope, narrative: evil }])
  const { out } = await audit('show', slug, '--data', root, '--json')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
  assert.equal((JSON.parse(out) as { record: JsonObject }).record.narrative, evil)
})

test('the program answers --help for every command and says how it ends', () => {
  const { status, stdout } = program('--help')
  assert.equal(status, 0)
  for (const command of ['verify', 'heads', 'list', 'show', 'snapshot', 'export', 'g1']) {
    assert.match(stdout, new RegExp(`^  ${command} `, 'm'))
  }
})

test('every command has a help text, and none accepts an unknown option', async () => {
  for (const command of ['verify', 'heads', 'list', 'show', 'snapshot', 'export', 'g1']) {
    const help = await audit(command, '--help')
    assert.equal(help.exit, 0)
    assert.match(help.out, new RegExp(`node scripts/audit\\.mjs ${command}`))
    assert.equal((await audit(command, '--nonsense')).exit, 2)
    assert.equal(
      (
        await audit(
          command,
          '--data',
          '/nowhere/at/all',
          ...(command === 'export' ? ['--csv'] : []),
          ...(command === 'show' ? [slug] : []),
        )
      ).exit,
      2,
    )
  }
  assert.equal((await audit('verify', 'more')).exit, 2)
  assert.equal((await audit('unknown')).exit, 2)
  assert.equal((await audit()).exit, 2)
})

test('the program ends with 1 for findings, writes them to stdout, and shows no progress without a terminal', () => {
  const root = scratchDir()
  const { records } = build(root, 30)
  assert.equal(program('verify', '--data', root).status, 0)
  truncateSync(records, 1_000)
  const { status, stdout, stderr } = program('verify', '--data', root)
  assert.equal(status, 1)
  assert.match(stdout, /FINDING scn01\/plum-grove-21\/records\.json/)
  assert.equal(stderr, '')
})

test('the program ends quietly when its reader closes the pipe', () => {
  const root = scratchDir()
  build(root, 3_000)
  const list = `"$0" --import tsx scripts/audit.ts export --csv --data "$1" | head -n 1; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', list, process.execPath, root], {
    encoding: 'utf8',
  })
  assert.match(stdout, /^"association_slug".*\r\n0\n$/)
  assert.equal(stderr, '')
})

test('every command reports a link in the place of the directory of an addon, and does not follow it', async () => {
  const root = scratchDir()
  const elsewhere = scratchDir()
  build(elsewhere, 2)
  symlinkSync(join(elsewhere, 'scn01'), join(root, 'scn01'))
  const dates = ['--from', '2026-01-01', '--to', '2027-01-01']
  const commands = [
    ['verify'],
    ['heads'],
    ['list'],
    ['list', slug],
    ['show', slug],
    ['export', '--csv'],
    ['g1'],
  ]
  for (const args of [...commands, ['snapshot', slug], ['changes', slug, ...dates]]) {
    const { exit, out, err } = await audit(...args, '--data', root)
    assert.notEqual(exit, 0, args.join(' '))
    assert.match(out + err, /scn01:? is a symbolic link|link/, args.join(' '))
    assert.doesNotMatch(out, /Submission/)
  }
})

test('stored bytes are never written to a terminal as they are: neither by snapshot nor as a workbook', async () => {
  const root = scratchDir()
  build(root, 2)
  const terminal = { watched: true, terminal: true }
  for (const args of [
    ['snapshot', slug],
    ['export', '--xlsx'],
  ])
    assert.deepEqual(
      await saidTo(terminal, run, ...args, '--data', root).then(({ exit, out }) => ({ exit, out })),
      { exit: 2, out: '' },
    )
})

test('no control character and no mark of direction gets into a CSV, JSON or a list', async () => {
  const root = scratchDir()
  const all = Array.from({ length: 0xa0 }, (_, code) => String.fromCharCode(code)).join('')
  const bidi = '\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'
  store(root, [{ ...envelope, narrative: `a${all}b${bidi}c`, [`x${bidi}`]: { [all]: bidi } }])
  const dates = ['--from', '2026-01-01', '--to', '2027-01-01']
  for (const args of [
    ['show', slug],
    ['list', slug],
    ['export', '--csv'],
    ['changes', slug, ...dates],
    ['g1', slug],
  ])
    for (const more of [[], ['--json']]) {
      const { out, err } = await audit(...args, ...more, '--data', root)
      const lines = args[0] === 'export' ? '\t\r\n' : args[0] === 'show' ? '\t\n' : '\n'
      const left = [...(out + err)].filter((one) => (all + bidi).includes(one) && (one < ' ' || one > '~'))
      assert.deepEqual(
        [...new Set(left)].filter((one) => !lines.includes(one)),
        [],
        `${args[0]} ${more[0] ?? ''}`,
      )
    }
})

test('every command reports a file with hundreds of kilobytes on one line', async () => {
  const root = scratchDir()
  const { records } = build(root, 300)
  writeFileSync(records, `${JSON.stringify(JSON.parse(readFileSync(records, 'utf8')))}\n`)
  const dates = ['--from', '2026-01-01', '--to', '2027-01-01']
  for (const args of [
    ['list', slug],
    ['show', slug],
    ['export', '--csv'],
    ['g1', slug],
    ['changes', slug, ...dates],
  ]) {
    const { exit, err } = await audit(...args, '--data', root)
    assert.equal(exit, 1, args.join(' '))
    assert.match(err, /1 line could not be read as a record/)
  }
})
