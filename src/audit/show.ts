/** `show`: records to be read by a person. */
import { readFileSync } from 'node:fs'
import type { Json, JsonObject } from '../../contracts/contract.ts'
import { placekeyFile } from '../storage/paths.ts'
import { CannotRun, type Command, type Io } from './io.ts'
import { dataDirectory, parse, slugArgument } from './options.ts'
import { plain } from './plain.ts'
import { aligned, type Printer, printer } from './print.ts'
import { eachRecord, objectOf, type Stored, slugsOf, stop, textMember } from './read.ts'

const help = `npm run audit -- show SLUG [--participant ID] [--sequence N] [--data DIR] [--json]

Prints the Scenarios (scn01) of an association, one after another; with --participant those of one address, after
its Vital Signs (vs01) and Diagnostics (dsc01); with --sequence one Scenario. Texts are wrapped, lists of choices
unfolded. What a record holds reaches the terminal as text only: control characters are shown, not sent.
With --json the records come as they are stored, one a line.`

export const show: Command = {
  summary: 'records of an association or of an address, to be read',
  help,
  run: async (args, io) => {
    const options = parse(args, { participant: { type: 'string' }, sequence: { type: 'string' } }, 1)
    const root = dataDirectory(options.data)
    const slug = slugArgument(options.positionals[0])
    const participant = options.text('participant')
    const sequence = options.number('sequence', 1)
    const print = printer(io, options.json)
    let shown = 0
    if (participant !== undefined && sequence === undefined) {
      for (const addon of ['vs01', 'dsc01'])
        shown += await showFile(root, addon, slug, participant, print, io)
    }
    if (shown === 0 || slugsOf(root, 'scn01').includes(slug)) {
      await eachRecord(root, slug, async (stored) => {
        const isMeant =
          (sequence === undefined || stored.number === sequence) &&
          (participant === undefined || textMember(stored.value, 'participant_id') === participant)
        if (isMeant) await showRecord(stored, print, io)
        if (isMeant) shown++
        return stored.number === sequence ? stop : undefined
      })
    }
    if (shown === 0) throw new CannotRun('no record is selected by this')
    return 0
  },
}

async function showRecord({ slug, number, value, sha256 }: Stored, print: Printer, io: Io): Promise<void> {
  const place = `scn01/${slug}`
  await print.give('record', { place, number, record_sha256: sha256(), record: value ?? null })
  await print.say(`${text(`${place}, record ${number}`, value, io, [['record_sha256', sha256()]])}\n`)
}

async function showFile(
  root: string,
  addon: string,
  association_slug: string,
  participant_id: string,
  print: Printer,
  io: Io,
): Promise<number> {
  const bytes = readIfThere(root, addon, association_slug, participant_id)
  if (!bytes) return 0
  const place = `${addon}/${association_slug}/${participant_id}.json`
  const record = objectOf(bytes)
  await print.give('record', { place, record: record ?? null })
  await print.say(`${text(place, record, io)}\n`)
  return 1
}

function readIfThere(
  root: string,
  addon: string,
  association_slug: string,
  participant_id: string,
): Buffer | undefined {
  if (!/^[A-Za-z0-9@_-]{1,64}$/.test(participant_id))
    throw new CannotRun('--participant takes a Placekey as it is stored')
  try {
    return readFileSync(placekeyFile(root, { addon, association_slug, participant_id }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
}

type Row = readonly [name: string, value: string]

function text(title: string, record: JsonObject | undefined, io: Io, more: readonly Row[] = []): string {
  const heading = plain(title)
  const line = '─'.repeat(Math.min(heading.length, io.columns))
  if (!record) return `${heading}\n${line}\n  cannot be read as JSON; run verify`
  return `${heading}\n${line}\n${aligned([...rows(record, ''), ...more], io)}`
}

/** Objects are shown under their name, their members indented. */
function rows(object: JsonObject, indent: string): Row[] {
  return Object.entries(object).flatMap(([name, value]): Row[] => {
    const shown = indent + plain(name)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return [[shown, valueText(value)]]
    const members = rows(value as JsonObject, `${indent}  `)
    return [[shown, members.length === 0 ? '(nothing)' : ''], ...members]
  })
}

function valueText(value: Json): string {
  if (value === null) return 'none'
  if (typeof value === 'string')
    return (
      choices(value)
        ?.map((choice) => `· ${choice}`)
        .join('\n') ?? value
    )
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join('\n')
  return JSON.stringify(value)
}

/** A multiselect is stored as a string that holds a JSON list of strings. */
function choices(value: string): string[] | undefined {
  if (!value.startsWith('[') || !value.endsWith(']')) return undefined
  try {
    const list = JSON.parse(value) as unknown
    return Array.isArray(list) && list.length > 0 && list.every((item) => typeof item === 'string')
      ? list
      : undefined
  } catch {
    return undefined
  }
}
