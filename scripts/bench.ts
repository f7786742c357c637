/** `npm run bench`: compares the speed of the receiver with its limits and with other programs (deploy/BENCHMARKS.md). */
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { processIo } from '../src/cli/io.ts'
import { progressOn } from '../src/cli/progress.ts'
import { lonePosts } from '../test/bench/calls.ts'
import { costs } from '../test/bench/costs.ts'
import { type Disk, openDisk } from '../test/bench/disk.ts'
import { machine } from '../test/bench/machine.ts'
import { pairsIn, runPairs } from '../test/bench/paired.ts'
import { findPeers } from '../test/bench/peers.ts'
import { type Mode, plan, selected, timings } from '../test/bench/plan.ts'
import { bundlePrograms, killAll, type Programs } from '../test/bench/programs.ts'
import { type BenchReport, callsText, costsText, pairsText, reportOf, textOf } from '../test/bench/report.ts'
import { bytesFor, prepare, run } from '../test/bench/run.ts'

const help = `npm run bench -- [--quick | --full | --paired | --costs | --calls] [--only WORDS]... [--rounds N] [--json FILE] [--dir DIR]
                 [--as-it-is] [--no-peer]

Measures the receiver over real HTTP on a real disk, beside peers that do the same work (SQLite and PostgreSQL behind the same
intake, contract, id and chain), beside the obvious program (lock, read, push, write), and beside its floors: the same HTTP
server without storage, and with storage but without any check; the system calls alone in a loop. First of all in the shape of
real traffic: a new connection for each request, the first requests after a start, a request every 10 s, and none at all.
Each point has fresh processes; at the end of a load the receiver is killed (SIGKILL), and every acknowledged record is looked for
on disk. And the receiver on PostgreSQL, with and without a synchronous standby, beside one transaction for each request and beside
itself on files; what became of its rows is for test:faults.

  --quick       about two minutes: one round, short points, 0 and 100,000 records stored
  --full        five rounds, and 1,000,000 records stored (needs 10 GB; an hour and a half)
                without either: three rounds, 0 to 100,000 records stored (about half an hour)
  --paired      instead of one point after the other, both sides of a ratio in turns of a part of a second: what to use on a machine
                that is busy with something else (--rounds: how many turns, 40 without it; about ten minutes)
  --costs       instead: what grows with associations (10,000) and records (250,000), and a cold first touch of 1 GB;
                of a database, what an append costs beside 0 and 1,000,000 records
                (as root it empties the page cache of this machine for that)
  --calls       instead: the system calls and turns of the event loop of one lone append and one lone overwrite (strace)
  --only WORDS  only points whose name holds the words, and what they are compared with; may be given more than once
  --rounds N    so many rounds; ratios are medians over them, and a busy machine needs more
  --list        the names of the points, and nothing else
  --json FILE   everything that was measured, with the machine
  --dir DIR     where to write while measuring; must be on a disk (default: the directory for temporary files). Unless that is an
                ext4 with a journal, an image of one is made there and mounted, which needs root
  --as-it-is    no image: on the file system of that directory
  --no-peer     without SQLite and PostgreSQL; the native part of SQLite is installed on first use, in test/bench/peer

Run it on an idle machine. Exit: 0 measured, 1 an acknowledged record was lost, 2 could not measure all of it.
`

/** The space on the disk that --costs and --calls need, in bytes. */
const bytesForCosts = 4e9
const usualTurns = 40

const io = processIo()
const { show, clear } = progressOn(io)

function options() {
  return parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      paired: { type: 'boolean', default: false },
      costs: { type: 'boolean', default: false },
      calls: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      list: { type: 'boolean', default: false },
      json: { type: 'string' },
      dir: { type: 'string', default: tmpdir() },
      'as-it-is': { type: 'boolean', default: false },
      'no-peer': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values
}

type Options = ReturnType<typeof options>

async function main(): Promise<number> {
  const given = options()
  if (given.help) {
    await io.out(help)
    return 0
  }
  const { quick, full, paired, costs: wantsCosts, calls: wantsCalls } = given
  if ([quick, full, paired, wantsCosts, wantsCalls].filter(Boolean).length > 1)
    throw new Error('--quick, --full, --paired, --costs and --calls exclude each other')
  const rounds = Number(given.rounds ?? 1)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a whole number from 1 on')
  const mode: Mode = quick ? 'quick' : full ? 'full' : 'standard'
  const all = selected(plan(mode), given.only)
  if (all.length === 0) throw new Error('no point has these words in its name; --list shows the names')
  if (given.list) {
    await io.out(`${all.map(({ name }) => name).join('\n')}\n`)
    return 0
  }
  show(0, undefined, 'preparing the disk')
  const isInstead = wantsCosts || wantsCalls
  const disk = openDisk(given.dir, isInstead ? bytesForCosts : bytesFor(all), given['as-it-is'])
  process.once('exit', () => {
    killAll()
    disk.remove()
  })
  return isInstead ? instead(given, disk) : measure(given, disk, mode, all)
}

async function measure(
  given: Options,
  disk: Disk,
  mode: Mode,
  all: ReturnType<typeof plan>,
): Promise<number> {
  const { json, rounds } = given
  const timing = { ...timings[mode], ...(rounds !== undefined && { rounds: Number(rounds) }) }
  const about = { at: new Date().toISOString(), machine: machine(disk.fileSystem), mode, timing }
  const { peers, missing } = await findPeers(disk.path, given['no-peer'] ? 'none' : 'all', (text) =>
    show(0, undefined, text),
  )
  const points = all.filter(({ name }) => !missing.some(({ server }) => name.includes(server)))
  const programs = await bundlePrograms(disk.path, peers)
  const notes = missing.map(({ server, why }) => `${server} was not measured: ${why}.`)
  if (given.paired) return paired(given, about, points, programs, disk, notes)
  const results = await run(points, programs, timing, disk, { progress: show })
  clear()
  const report = reportOf(results, { ...about, notes })
  await io.out(`${textOf(report)}\n`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
  if (report.lost > 0) return 1
  return results.some(({ failed }) => failed !== undefined) ? 2 : 0
}

async function paired(
  { rounds, json }: Options,
  about: Pick<BenchReport, 'at' | 'machine' | 'timing'>,
  points: ReturnType<typeof plan>,
  programs: Programs,
  disk: Disk,
  notes: readonly string[],
): Promise<number> {
  const pairs = pairsIn(points)
  if (pairs.length === 0) throw new Error('none of these points is compared with a peer')
  const both = pairs.flatMap(({ of, to }) => [of, to])
  const bench = await prepare(both, programs, about.timing, disk, { progress: show })
  const found = await runPairs(pairs, Number(rounds ?? usualTurns), bench, { progress: show })
  clear()
  await io.out(`${pairsText(about, found, notes)}\n`)
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ ...about, notes, pairs: found }, null, 2)}\n`)
  if (found.some(({ lost }) => lost > 0)) return 1
  return found.some(({ failed }) => failed !== undefined) ? 2 : 0
}

/** Runs the modes that compare nothing. */
async function instead({ costs: wantsCosts, json }: Options, disk: Disk): Promise<number> {
  const about = { at: new Date().toISOString(), machine: machine(disk.fileSystem) }
  const { peers } = await findPeers(disk.path, 'none', () => {})
  const programs = await bundlePrograms(disk.path, peers)
  const found = wantsCosts
    ? { costs: await costs(programs, disk.path, show) }
    : { calls: await lonePosts(programs, disk.path) }
  clear()
  await io.out(`${found.costs ? costsText(about, found.costs) : callsText(about, found.calls)}\n`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ ...about, ...found }, null, 2)}\n`)
  return 0
}

main().then(
  (code) => {
    clear()
    process.exit(code)
  },
  (error: Error) => {
    clear()
    io.err(`bench: ${error.message}\n`)
    process.exit(2)
  },
)
