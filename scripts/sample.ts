/**
 * `npm run sample -- DIR`: makes a data directory to look at, through a real receiver whose clock this program sets, and beside it the receipts and
 * heads that people keep. The same seed gives the same bytes. The dates of the files are those of the run.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startReceiver } from '../test/receiver.ts'
import { audit } from '../test/said.ts'
import { ended, type Sent, storyOf } from './sample/story.ts'

const help = `Usage: npm run sample -- DIR [--seed N] [--help]

Makes in DIR, which is empty or not there, what an auditor may be given:

  data/                  the data directory: three associations, forty addresses, two years of Scenarios
  receipts.jsonl         what six of the participants were answered, and kept
  heads-<date>.txt       the heads that somebody kept every half year

  --seed N   another story (default: 1); the same number gives the same bytes

Exit: 0 made, 2 not.`

const keepers = 6
/** A fixed token, because each record holds the hash of the token, and the bytes must depend only on the seed. */
const token = 'the-token-of-the-sample-which-opens-nothing-else'
const headDates = ['2025-01-01', '2025-07-01', '2026-01-01', '2026-07-01']

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seed: { type: 'string', default: '1' }, help: { type: 'boolean', short: 'h' } },
  })
  if (values.help) {
    console.log(help)
    return 0
  }
  const [directory, ...more] = positionals
  if (directory === undefined || more.length > 0 || !/^\d{1,9}$/.test(values.seed)) {
    console.error(help)
    return 2
  }
  mkdirSync(directory, { recursive: true })
  if (readdirSync(directory).length > 0) {
    console.error(`sample: ${directory} is not empty, and nothing in it is overwritten`)
    return 2
  }
  const told = await make(resolve(directory), Number(values.seed))
  console.log(`${told}\nLook at it: node scripts/audit.mjs list --data ${join(directory, 'data')}`)
  return 0
}

async function make(directory: string, seed: number): Promise<string> {
  const story = storyOf(seed)
  const work = mkdtempSync(join(tmpdir(), 'civic-sample-'))
  const clock = join(work, 'clock')
  writeFileSync(clock, String(story[0]?.at))
  const data = join(directory, 'data')
  const preloads = ['tsx', './scripts/sample/clock.ts'].flatMap((name) => ['--import', name])
  const receiver = await startReceiver({ NODE_TOKEN: token, DATA_DIR: data, SAMPLE_CLOCK: clock }, [
    process.execPath,
    ...preloads,
    'src/main.ts',
  ])
  const kept: string[] = []
  const keeps = keepersIn(story)
  const dates = [...headDates]
  try {
    for (const { at, envelope } of story) {
      for (let date = dates[0]; date && Date.parse(date) <= at; date = dates[0])
        await keepHeads(directory, data, dates.shift() as string)
      writeFileSync(clock, String(at))
      const response = await receiver.post(envelope, { 'x-node-token': token })
      const answer = await response.text()
      if (!response.ok) throw new Error(`the receiver answered ${response.status}: ${answer}`)
      if (envelope.addon === 'scn01' && keeps.has(envelope.participant_id as string)) kept.push(`${answer}\n`)
    }
  } finally {
    await receiver.stop()
    rmSync(work, { recursive: true })
  }
  for (const date of dates) if (Date.parse(date) <= ended) await keepHeads(directory, data, date)
  writeFileSync(join(directory, 'receipts.jsonl'), kept.join(''))
  return `${story.length} envelopes were sent to a receiver, which stored them in ${data}; ${kept.length} receipts and ${headDates.length} files of heads are beside it`
}

/** The participants who keep receipts: those who send most, because they have most to lose. */
function keepersIn(story: readonly Sent[]): ReadonlySet<string> {
  const counts = new Map<string, number>()
  for (const { envelope } of story)
    if (envelope.addon === 'scn01')
      counts.set(envelope.participant_id as string, (counts.get(envelope.participant_id as string) ?? 0) + 1)
  const names = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([name]) => name)
  return new Set(names.slice(0, keepers))
}

async function keepHeads(directory: string, data: string, date: string): Promise<void> {
  const { exit, out, err } = await audit('heads', '--data', data)
  if (exit !== 0) throw new Error(`the heads could not be made: ${err}`)
  writeFileSync(join(directory, `heads-${date}.txt`), out)
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    console.error(`sample: ${(error as Error).message}`)
    process.exitCode = 2
  },
)
