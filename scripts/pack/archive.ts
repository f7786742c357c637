/** Makes the archive of a release. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { buildPage } from '../page/build.ts'
import { bundle, packagesOf } from './bundle.ts'
import { billOfMaterials, componentsOf, licencesText } from './components.ts'
import { Refusal, type Source, withSource } from './source.ts'
import { type TarEntry, tarGz } from './tar.ts'

/** In bytes. The archive holds the audit page, its pictures, the database and source maps. The limit shows a file that grew by mistake. */
const largest = 2.5 * 1024 * 1024
/** Files and directories that are packed as they are in the commit. `data/` is not packed. */
const asCommitted = ['LICENSE', 'CHANGELOG.md', 'README.md', 'contracts', 'deploy']
/** Files of contracts/ that are left out, because the bundles contain the TypeScript. */
const leftOut = /\.ts$/

export type Release = {
  readonly name: string
  readonly version: string
  readonly commit: string
  readonly bytes: Buffer
  readonly sha256: string
}

/** Makes an archive of one directory `civic-orchestrator-<version>/` with everything that a host needs besides Node. */
export function releaseArchive(options: { commit: string; version?: string | undefined }): Promise<Release> {
  return withSource(options.commit, async (committed) => {
    const source = { ...committed, version: options.version ?? committed.version }
    if (!/^\d+\.\d+\.\d+(-[0-9a-z.-]{1,40})?$/.test(source.version))
      throw new Refusal('a version has the form 1.2.3 or 1.2.3-name')
    const { commit, version, date } = source
    const root = `civic-orchestrator-${version}`
    const bytes = tarGz(root, await entriesOf(source), date)
    if (bytes.length > largest)
      throw new Refusal(`the archive has ${bytes.length} bytes; at most ${largest} are meant`)
    return { name: `${root}.tar.gz`, version, commit, bytes, sha256: sha256(bytes) }
  })
}

async function entriesOf(source: Source): Promise<TarEntry[]> {
  const { files, packages } = await bundle(source)
  const { directory, version, commit } = source
  const page = await buildPage({ directory, version: `${version} (${commit.slice(0, 12)})` })
  const bundled = [...new Set([...packages, ...packagesOf(page.inputs)])].sort()
  const components = componentsOf(source, bundled)
  const text = (path: string, content: string): TarEntry => ({
    path,
    bytes: Buffer.from(content),
    executable: false,
  })
  const entries = [
    ...files,
    ...documented(asCommitted.flatMap((path) => committedFiles(source.directory, path))),
    // An administrator reads this file before `database prepare` applies it.
    text('schema.sql', readFileSync(join(source.directory, 'src/storage/postgres/schema.sql'), 'utf8')),
    text('auditor.html', page.html),
    text('VERSION', `${source.version} ${source.commit}\n`),
    text('LICENSES-BUNDLED.txt', licencesText(components)),
    text('sbom.cdx.json', billOfMaterials(source, components)),
  ]
  return [...entries, text('SHA256SUMS', sumsOf(entries))]
}

function committedFiles(directory: string, path: string): TarEntry[] {
  const found = statSync(join(directory, path), { throwIfNoEntry: false })
  if (!found) return []
  if (found.isDirectory())
    return readdirSync(join(directory, path)).flatMap((name) => committedFiles(directory, `${path}/${name}`))
  if (leftOut.test(path)) return []
  return [{ path, bytes: readFileSync(join(directory, path)), executable: (found.mode & 0o100) !== 0 }]
}

/** Leaves out the pictures that no document of the release shows, because they are larger than everything else together. */
function documented(entries: readonly TarEntry[]): TarEntry[] {
  const documents = entries.filter(({ path }) => path.endsWith('.md')).map(({ bytes }) => bytes.toString())
  const isShown = ({ path }: TarEntry): boolean =>
    documents.some((text) => text.includes(`pictures/${basename(path)}`))
  return entries.filter((entry) => !entry.path.startsWith('deploy/pictures/') || isShown(entry))
}

/** The SHA256SUMS file, for `sha256sum --check --strict`. */
function sumsOf(entries: readonly TarEntry[]): string {
  const lines = entries.map(({ path, bytes }) => `${sha256(bytes)}  ${path}\n`)
  return lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join('')
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
