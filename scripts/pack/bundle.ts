/**
 * Bundles the server and each tool into one file with everything that it imports.
 *
 * The bundles are CommonJS, because write-file-atomic needs `__filename`. They contain no native code, so one archive runs wherever Node runs.
 */
import { basename, join } from 'node:path'
import { build } from 'esbuild'
import type { Source } from './source.ts'
import type { TarEntry } from './tar.ts'

/** The programs of a host: the name of each bundle and its entry file. */
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
  /** The packages with code in a bundle, by their paths in package-lock.json. */
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
    // The directory is never written. It is fixed, because the paths in source maps are relative to it.
    outdir: join(directory, 'out'),
    outExtension: { '.js': '.cjs' },
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // node_modules is a link, and its target would reveal a path of this machine.
    preserveSymlinks: true,
    tsconfigRaw: {},
    minifySyntax: true,
    minifyWhitespace: true,
    // Names are kept for stack traces. The sources are in the commit, so the source maps leave them out.
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    // This native part of pg is loaded only by code that names it.
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
