/** Selects the records for `g1`: all of an association, those of one address, one by its number, or one from a file. */
import { readFileSync } from 'node:fs'
import type { JsonObject } from '../../../contracts/contract.ts'
import { CannotRun } from '../../cli/io.ts'
import type { Parsed } from '../../cli/options.ts'
import { addonsWithPayment } from '../addons.ts'
import { namedAssociation } from '../argument.ts'
import { objectOf, textMember } from '../members.ts'
import { appendOnlyPlaces, dataRoot, eachRecord, nameOf } from '../read.ts'
import type { Trouble } from '../trouble.ts'

export type Subject = { readonly place: string; readonly record: JsonObject; readonly detailed: boolean }

export async function eachSubject(
  options: Parsed,
  trouble: Trouble,
  see: (subject: Subject) => Promise<void>,
): Promise<void> {
  const file = options.text('record')
  if (file !== undefined)
    return see({ place: file === '-' ? 'standard input' : file, record: recordIn(file), detailed: true })
  const root = dataRoot(options.data)
  const [argument] = options.positionals
  const named = argument === undefined ? undefined : namedAssociation(argument)
  const participant = options.text('participant')
  const sequence = options.number('sequence', 1)
  const withPayment = addonsWithPayment()
  for (const place of appendOnlyPlaces(root, named, trouble)) {
    if (!withPayment.includes(place.addon)) continue
    await eachRecord(root, place, trouble, async (stored) => {
      if (sequence !== undefined && stored.receipt?.sequence !== sequence) return
      if (participant !== undefined && textMember(stored.value, 'participant_id') !== participant) return
      if (stored.value)
        await see({ place: nameOf(stored), record: stored.value, detailed: named !== undefined })
    })
  }
}

function recordIn(file: string): JsonObject {
  try {
    const record = objectOf(readFileSync(file === '-' ? 0 : file))
    if (record) return record
  } catch (error) {
    throw new CannotRun(`cannot read ${file}: ${(error as Error).message}`)
  }
  throw new CannotRun(`${file} does not hold one JSON object`)
}
