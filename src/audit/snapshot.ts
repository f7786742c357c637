/** `snapshot` prints a records file as one valid JSON array, also while a receiver is appending to the file. */

import { CannotRun, type Command, type Io } from '../cli/io.ts'
import { parse } from '../cli/options.ts'
import { hasCode } from '../error-code.ts'
import { closing } from '../records/position.ts'
import { type Snapshot, withSnapshot } from '../storage/files/snapshot-file.ts'
import { type Place, placeName } from './addons.ts'
import { namedAssociation } from './argument.ts'
import { appendOnlyPlaces, dataRoot, recordsPath } from './read.ts'
import { Trouble } from './trouble.ts'
import { whyUnread } from './verify/directory.ts'

const help = `node scripts/audit.mjs snapshot [ADDON/]SLUG [--data DIR] > copy.json

Writes the records of an association to standard output as they are stored, byte for byte: what was whole when the command
began. The file must begin and end as a receiver leaves it; nothing between is checked. Where verify finds nothing, what is
written is one valid JSON array.`

export const snapshot: Command = {
  summary: 'a records file as one valid JSON array, taken while a receiver appends',
  help,
  run: async (args, io) => {
    const options = parse(args, {}, 1)
    if (io.terminal)
      throw new CannotRun('what is stored could act on a terminal: send it to a file, or use show')
    const root = dataRoot(options.data)
    const trouble = new Trouble()
    const places = appendOnlyPlaces(root, namedAssociation(options.positionals[0]), trouble)
    const [place] = places
    if (places.length > 1)
      throw new CannotRun(`name one of ${places.map(placeName).join(', ')}: each has a file of its own`)
    if (place) await copyOf(root, place, io)
    return trouble.end(io)
  },
}

async function copyOf(root: string, place: Place, io: Io): Promise<void> {
  const path = recordsPath(root, place)
  try {
    await withSnapshot(path, (taken) => copy(taken, io))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) throw new CannotRun(`there is no ${path}`)
    if (hasCode(error, 'ENOTREGULAR')) throw new CannotRun(`${path} ${whyUnread(error)}`)
    throw error
  }
}

const chunkBytes = 1024 * 1024

async function copy({ source, size, end, closed }: Snapshot, io: Io): Promise<void> {
  if (size === 0) return io.out(`[${closing}`)
  if (!closed) throw new CannotRun('the file does not end as one at rest does; run verify')
  if (Buffer.from(await source.read(0, 2)).toString('latin1') !== '[\n')
    throw new CannotRun('the file does not begin as one that a receiver wrote; run verify')
  for (let at = 0; at < end; ) {
    const bytes = await source.read(at, Math.min(at + chunkBytes, end))
    if (bytes.length === 0) throw new CannotRun('the file became shorter while it was read')
    await io.out(bytes)
    at += bytes.length
  }
  await io.out(closing)
}
