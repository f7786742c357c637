/** `show` prints records for a person to read, as they were sent. */
import type { JsonObject } from '../../contracts/contract.ts'
import { CannotRun, type Command, type Exit, type Io } from '../cli/io.ts'
import { type Parsed, parse } from '../cli/options.ts'
import { plain } from '../cli/plain.ts'
import { type Printer, printer } from '../cli/print.ts'
import { addonsWith, placeName } from './addons.ts'
import { type Named, namedAssociation } from './argument.ts'
import { textMember } from './members.ts'
import { parted } from './parted.ts'
import {
  appendOnlyPlaces,
  dataRoot,
  eachRecord,
  nameOf,
  placekeyRecord,
  placesIn,
  type ReadRecord,
} from './read.ts'
import { Trouble } from './trouble.ts'
import { verbatimLines } from './verbatim.ts'

const help = `node scripts/audit.mjs show [ADDON/]SLUG [--participant ID] [--sequence N] [--data DIR] [--json]

Prints the records of an association, one after another; with --participant those of one address, after what its addons
keep as the latest state (Vital Signs, Diagnostics); with --sequence the record whose receipt has that number.

What was sent stands behind a bar, as it was sent: line breaks, blanks and tabs. A second line that begins with a dotted
bar goes on with the line above. Members that no contract names are shown apart: the participant's side sent them, and
nobody checked them. What the tool itself says has no bar. Control characters are shown as \\u{…}, not sent to the screen.
With --json the records come as they are stored, one a line.`

export const show: Command = {
  summary: 'records of an association or of an address, as they were sent',
  help,
  run: async (args, io) => {
    const options = parse(args, { participant: { type: 'string' }, sequence: { type: 'string' } }, 1)
    const root = dataRoot(options.data)
    return showAll(root, namedAssociation(options.positionals[0]), options, io)
  },
}

async function showAll(root: string, named: Named, options: Parsed, io: Io): Promise<Exit> {
  const trouble = new Trouble()
  const print = printer(io, options.json)
  const participant = participantIn(options)
  const sequence = options.number('sequence', 1)
  let shown = 0
  if (participant !== undefined && sequence === undefined)
    shown += await showLatest(root, named, participant, trouble, print, io)
  const places =
    shown > 0
      ? placesIn(root, addonsWith('append-only'), named, trouble)
      : appendOnlyPlaces(root, named, trouble)
  for (const place of places) {
    const isWanted =
      sequence === undefined ? undefined : (receipt: { sequence: number }) => receipt.sequence === sequence
    const see = async (stored: ReadRecord): Promise<void> => {
      if (sequence !== undefined && stored.receipt?.sequence !== sequence) return
      if (participant !== undefined && textMember(stored.value, 'participant_id') !== participant) return
      shown++
      await showRecord(stored, print, io)
    }
    await eachRecord(root, place, trouble, see, isWanted)
  }
  if (shown > 0 || trouble.any) return trouble.end(io)
  throw new CannotRun('no record is selected by this')
}

function participantIn(options: Parsed): string | undefined {
  const participant = options.text('participant')
  if (participant !== undefined && !/^[A-Za-z0-9@_-]{1,64}$/.test(participant))
    throw new CannotRun('--participant takes a Placekey as it is stored')
  return participant
}

async function showRecord(stored: ReadRecord, print: Printer, io: Io): Promise<void> {
  const { place, number, receipt, value, sha256 } = stored
  await print.give('record', {
    place: placeName(place),
    sequence: receipt?.sequence ?? null,
    line: number + 1,
    record_sha256: sha256(),
    record: value ?? null,
  })
  if (print.json) return
  const says = [
    `SHA-256 of the stored line: ${sha256()}`,
    `line ${number + 1} of the file. Whether the chain holds, verify tells`,
  ]
  await sayRecord(nameOf(stored), says, value, place.addon, io)
}

/** Shows the records of an address under the addons that keep only the latest state. */
async function showLatest(
  root: string,
  named: Named,
  participant: string,
  trouble: Trouble,
  print: Printer,
  io: Io,
): Promise<number> {
  let shown = 0
  for (const place of placesIn(root, addonsWith('overwrite-by-placekey'), named, trouble)) {
    const found = placekeyRecord(root, place, participant, trouble)
    if (!found) continue
    shown++
    const path = `${placeName(place)}/${participant}.json`
    await print.give('record', { place: path, record: found.record ?? null })
    const says = ['the latest state only: no history is kept, and nothing protects this file against change']
    if (!print.json) await sayRecord(path, says, found.record, place.addon, io)
  }
  return shown
}

async function sayRecord(
  title: string,
  says: readonly string[],
  record: JsonObject | undefined,
  addon: string,
  io: Io,
): Promise<void> {
  const heading = plain(title)
  const head = [heading, '─'.repeat(Math.min(heading.length, io.columns)), ...says.map((line) => `  ${line}`)]
  await io.out(`${head.join('\n')}\n`)
  if (!record) return io.out('  cannot be read as JSON; run verify\n\n')
  const { sent, unnamed, written } = parted(record, addon)
  await section('  Written by the receiver:', written, io)
  await section('  Sent, as the contract names it:', sent, io)
  if (Object.keys(unnamed).length > 0)
    await section("  Sent by the participant's side, named by no contract, not checked:", unnamed, io)
  await io.out('\n')
}

async function section(title: string, members: JsonObject, io: Io): Promise<void> {
  let text = `${title}\n`
  for (const line of verbatimLines(members, io.columns)) {
    text += `${line}\n`
    if (text.length < 64 * 1024) continue
    await io.out(text)
    text = ''
  }
  await io.out(text)
}
