/** The archive of a release, made from the checked-out commit once for all test files. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { releaseArchive } from '../scripts/pack/archive.ts'
import { kept, sourcesIn } from './kept.ts'

export const headCommit = (): string =>
  execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim()

/** The path of the archive. */
export function packed(version: string): Promise<string> {
  const commit = headCommit()
  const state = [version, commit, readFileSync('package-lock.json'), ...sourcesIn('scripts', 'src')]
  return kept('release.tar.gz', state, async (path) => {
    const { bytes } = await releaseArchive({ commit, version })
    writeFileSync(path, bytes)
  })
}
