/**
 * The server and the tools, one file each, with everything they import.
 *
 * CommonJS, because write-file-atomic needs `__filename`. No native code, so one archive runs wherever Node does.
 */
import { basename, join } from 'node:path'
import { build } from 'esbuild'
import type { Source } from './source.ts'
import type { TarEntry } from './tar.ts'

/** What runs on a host: the name of the bundle and where it starts. */
const programs = {
  server: 'src/main.ts',
  audit: 'scripts/audit.ts',
  backup: 'scripts/backup.ts',
  restore: 'scripts/restore.ts',
  database: 'scripts/database.ts',
  'self-test': 'scripts/self-test.ts',
}

export type Bundles = {
  readonly files: readonly TarEntry[]
  /** Packages of which something is in a bundle, by the path that package-lock.json has for them. */
  readonly packages: readonly string[]
}

export async function bundle({
  directory,
  version,
  commit,
}: Pick<Source, 'directory' | 'version' | 'commit'>): Promise<Bundles> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: directory,
    entryPoints: programs,
    // never written; fixed, since the source maps count from here
    outdir: join(directory, 'out'),
    outExtension: { '.js': '.cjs' },
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // node_modules is a link: its target would show the path of this machine
    preserveSymlinks: true,
    tsconfigRaw: {},
    minifySyntax: true,
    minifyWhitespace: true,
    // names stay, for stack traces; the sources are in the commit
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    // the library's other half, in native code, which is asked for only by who names it
    external: ['pg-native'],
    metafile: true,
    banner: { js: `/* civic-orchestrator ${version} (commit ${commit}); licences: LICENSES-BUNDLED.txt */` },
    logLevel: 'warning',
  })
  const files = outputFiles.map(({ path, contents }) => ({
    path: basename(path),
    bytes: contents,
    executable: false,
  }))
  return { files, packages: [...packagesOf(Object.keys(metafile.inputs))].sort() }
}

/** `node_modules/a/node_modules/@b/c/index.js` → `node_modules/a/node_modules/@b/c` */
export function packagesOf(inputs: readonly string[]): Set<string> {
  const found = inputs.map((path) => /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
  return new Set(found.filter((path) => path !== undefined))
}
