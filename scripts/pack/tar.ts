/** Makes a tar.gz with GNU tar and gzip. Its bytes depend only on the entries and one time: sorted, one owner, and no name or time of gzip. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export type TarEntry = { readonly path: string; readonly bytes: Uint8Array; readonly executable: boolean }

/** `root` is the only directory at the top, which holds all entries. */
export function tarGz(root: string, entries: readonly TarEntry[], time: Date): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'civic-tar-'))
  // The environment leaves out TAR_OPTIONS and GZIP of the person who packs.
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
