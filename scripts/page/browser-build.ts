/** How whatever belongs to the page is bundled; a test bundles the engine alone in the same way. */
import { join } from 'node:path'
import type { BuildOptions, Plugin } from 'esbuild'

export function browserBuild(directory: string, entry: string): BuildOptions {
  return {
    absWorkingDir: directory,
    entryPoints: [entry],
    // never written; fixed, so that no path of this machine gets in
    outfile: join(directory, 'out.js'),
    bundle: true,
    // what needs Node does not resolve, and the build fails
    platform: 'browser',
    target: 'es2022',
    format: 'iife',
    charset: 'ascii',
    preserveSymlinks: true,
    tsconfigRaw: {},
    jsx: 'automatic',
    jsxImportSource: 'hono/jsx/dom',
    minify: true,
    legalComments: 'none',
    plugins: [browsersHash(directory)],
    logLevel: 'warning',
  }
}

/** `records/sha256.ts` asks Node; the page brings its own in its place. */
function browsersHash(directory: string): Plugin {
  return {
    name: 'sha256 of a browser',
    setup({ onResolve }) {
      onResolve({ filter: /sha256\.ts$/ }, ({ path, resolveDir }) =>
        join(resolveDir, path) === join(directory, 'src/records/sha256.ts')
          ? { path: join(directory, 'src/audit/page/sha256.ts') }
          : undefined,
      )
    },
  }
}
