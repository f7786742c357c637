/** Writes a note of how the last backup ended, for the receiver's metrics (`server/backup-status.ts`). The receiver cannot read the backups. */

import type { Exit } from '../cli/io.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import { writeSmallFile } from '../storage/files/small-file.ts'

const longest = 4_096
type Ended = { readonly exit: Exit; readonly isMade: boolean }

/** Everybody can read the note, because the receiver runs as another user. */
const forAll = 0o644

/** Writes the note. `made_at` stays that of the last complete backup. */
export async function noteStatus(path: string, { exit, isMade }: Ended, now: Date): Promise<void> {
  const ended_at = now.toISOString()
  const made_at = isMade ? ended_at : lastMadeAt(path)
  await writeSmallFile(path, `${JSON.stringify({ ended_at, exit, made_at })}\n`, { mode: forAll })
}

function lastMadeAt(path: string): string | undefined {
  try {
    const { made_at } = JSON.parse(readRegularSync(path, longest).toString('utf8'))
    return typeof made_at === 'string' ? made_at : undefined
  } catch {
    return undefined
  }
}
