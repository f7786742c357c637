/** A tar.gz by GNU tar and gzip, which depends on nothing but its entries and one time: sorted, one owner, no name and no time. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export type TarEntry = { readonly path: string; readonly bytes: Uint8Array; readonly executable: boolean }

/** `root`: the one directory in which all entries are. */
export function tarGz(root: string, entries: readonly TarEntry[], time: Date): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'civic-tar-'))
  // neither TAR_OPTIONS nor GZIP of whoever packs
  const options = { env: { PATH: process.env.PATH, LC_ALL: 'C' }, maxBuffer: 2 ** 28 }
  try {
    for (const { path, bytes, executable } of entries) {
      const file = join(directory, root, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, bytes, { mode: executable ? 0o755 : 0o644 })
    }
    const same = ['--sort=name', '--format=ustar', '--owner=root:0', '--group=root:0', '--mode=u=rwX,go=rX']
    const when = `--mtime=@${Math.floor(time.getTime() / 1000)}`
    const tar = execFileSync('tar', ['--create', ...same, when, '-C', directory, root], options)
    return execFileSync('gzip', ['-n', '-9'], { ...options, input: tar })
  } finally {
    rmSync(directory, { recursive: true })
  }
}
