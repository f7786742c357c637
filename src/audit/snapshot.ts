/** `snapshot`: a records file as one valid JSON array, while a receiver may be appending to it. */
import { closing } from '../storage/records-file.ts'
import { CannotRun, type Command, type Io } from './io.ts'
import { dataDirectory, parse, slugArgument } from './options.ts'
import { recordsPath } from './read.ts'
import { type Snapshot, withSnapshot } from './snapshot-file.ts'

const help = `npm run audit -- snapshot SLUG [--data DIR] > copy.json

Writes the Scenarios of an association to standard output as they are stored, byte for byte, as one valid JSON array:
what was whole when the command began. Nothing is checked.`

export const snapshot: Command = {
  summary: 'a records file as one valid JSON array, taken while a receiver appends',
  help,
  run: async (args, io) => {
    const options = parse(args, {}, 1)
    const path = recordsPath(dataDirectory(options.data), slugArgument(options.positionals[0]))
    try {
      await withSnapshot(path, (taken) => copy(taken, io))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new CannotRun(`there is no ${path}`)
      throw error
    }
    return 0
  },
}

const chunkBytes = 1024 * 1024

async function copy({ file, size, end, closed }: Snapshot, io: Io): Promise<void> {
  if (size === 0) return io.out(`[${closing}`)
  if (!closed) throw new CannotRun('the file does not end as one at rest does; run verify')
  for (let at = 0; at < end; ) {
    const want = Math.min(chunkBytes, end - at)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(want), 0, want, at)
    if (bytesRead === 0) throw new CannotRun('the file became shorter while it was read')
    await io.out(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  await io.out(closing)
}
