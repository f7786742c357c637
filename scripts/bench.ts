/** `npm run bench`: how fast the receiver is, beside what limits it and what would be used instead (deploy/BENCHMARKS.md). */
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { processIo } from '../src/audit/io.ts'
import { progressOn } from '../src/audit/progress.ts'
import { costs } from '../test/bench/costs.ts'
import { isInMemory, machine } from '../test/bench/machine.ts'
import { type Mode, plan, selected, timings } from '../test/bench/plan.ts'
import { bundlePrograms, killAll, peerFolder } from '../test/bench/programs.ts'
import { costsText, reportOf, textOf } from '../test/bench/report.ts'
import { makeScratch, run } from '../test/bench/run.ts'

const help = `npm run bench -- [--quick | --full | --costs] [--only WORDS]... [--json FILE] [--dir DIR] [--no-peer]

Measures the receiver over real HTTP on a real disk, beside its floors: the same HTTP server without storage, and with
storage but without any check; the system calls alone in a loop; one row per request in SQLite (WAL, synchronous=FULL).
Each point has fresh processes; at its end the receiver is killed (SIGKILL) under load, and every acknowledged record is
looked for on disk.

  --quick       under a minute: one round, short points, 0 and 100,000 records stored
  --full        five rounds, and 1,000,000 records stored (needs 7 GB; perhaps three quarters of an hour)
                without either: three rounds, 0 to 100,000 records stored (about fifteen minutes)
  --costs       instead: what grows with associations (10,000) and records (250,000), and a cold first touch of 1 GB
                (as root it empties the page cache of this machine for that)
  --only WORDS  only points whose name holds the words, and what they are compared with; may be given more than once
  --list        the names of the points, and nothing else
  --json FILE   everything that was measured, with the machine
  --dir DIR     where to write while measuring; must be on a disk (default: the directory for temporary files)
  --no-peer     without SQLite; its native part is installed on first use, in test/bench/peer

Run it on an idle machine. Exit: 0 measured, 1 an acknowledged record was lost, 2 could not measure all of it.
`

const io = processIo(process.stdout, process.stderr, undefined)
const { show, clear } = progressOn(io)

function options() {
  return parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      costs: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      json: { type: 'string' },
      dir: { type: 'string', default: tmpdir() },
      'no-peer': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values
}

async function main(): Promise<number> {
  const {
    quick,
    full,
    only,
    list,
    json,
    dir,
    help: wantsHelp,
    costs: wantsCosts,
    'no-peer': noPeer,
  } = options()
  if (wantsHelp) {
    await io.out(help)
    return 0
  }
  if (Number(quick) + Number(full) + Number(wantsCosts) > 1)
    throw new Error('--quick, --full and --costs exclude each other')
  const mode: Mode = quick ? 'quick' : full ? 'full' : 'standard'
  const all = selected(plan(mode), only)
  if (all.length === 0) throw new Error('no point has these words in its name; --list shows the names')
  if (list) {
    await io.out(`${all.map(({ name }) => name).join('\n')}\n`)
    return 0
  }
  const scratch = makeScratch(dir)
  const end = (): void => {
    killAll()
    rmSync(scratch, { recursive: true, force: true })
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      end()
      process.exit(2)
    })
  }
  try {
    if (isInMemory(scratch)) throw new Error('that directory is in memory; name one on a disk with --dir')
    const here = { at: new Date().toISOString(), machine: machine(scratch) }
    if (wantsCosts) {
      const found = await costs(await bundlePrograms(scratch, ''), scratch, show)
      clear()
      await io.out(`${costsText(here, found)}\n`)
      if (json !== undefined) writeFileSync(json, `${JSON.stringify({ ...here, costs: found }, null, 2)}\n`)
      return 0
    }
    const about = { ...here, mode, timing: timings[mode] }
    const peer = noPeer
      ? { folder: '', missing: 'left out by --no-peer' }
      : await peerFolder((text) => show(0, undefined, text))
    const points = all.filter((point) => !(peer.missing && 'server' in point && point.server === 'sqlite'))
    const programs = await bundlePrograms(scratch, peer.folder)
    const results = await run(points, programs, timings[mode], scratch, { progress: show })
    clear()
    const notes = peer.missing ? [`SQLite was not measured: ${peer.missing}.`] : []
    const report = reportOf(results, { ...about, notes })
    await io.out(`${textOf(report)}\n`)
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
    if (report.lost > 0) return 1
    return results.some(({ failed }) => failed !== undefined) ? 2 : 0
  } finally {
    clear()
    end()
  }
}

process.exitCode = await main().catch((error: Error) => {
  io.err(`bench: ${error.message}\n`)
  return 2
})
