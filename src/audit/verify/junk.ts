/** The names of files that file managers, memory sticks, file systems and editors leave in a directory. */
import { keptOpenPattern } from '../../records/layout.ts'
import type { Entry } from './directory.ts'

const junkFiles =
  /^(\.DS_Store|\.localized|\._.*|Thumbs\.db|ehthumbs\.db|desktop\.ini|\.directory|\.VolumeIcon\.icns)$/i
const junkDirectories =
  /^(\.Spotlight-V100|\.Trashes|\.Trash-\d+|\.fseventsd|\.TemporaryItems|System Volume Information|\$RECYCLE\.BIN|lost\+found)$/i
export const editorsFile = /(~|\.sw[a-p]|\.bak|\.orig|\.tmp)$|^#.*#$|^\.#|^~\$/

export function isJunk({ kind, name }: Entry): boolean {
  if (kind === 'directory') return junkDirectories.test(name)
  return kind === 'file' && (junkFiles.test(name) || keptOpenPattern.test(name))
}
