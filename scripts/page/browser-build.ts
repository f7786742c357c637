/** The options with which all parts of the page are bundled. A test bundles the engine with the same options. */
import { join } from 'node:path'
import type { BuildOptions, Plugin } from 'esbuild'

export function browserBuild(directory: string, entry: string): BuildOptions {
  return {
    absWorkingDir: directory,
    entryPoints: [entry],
    // The file is never written. Its name is fixed, so that no path of this machine gets into the bundle.
    outfile: join(directory, 'out.js'),
    bundle: true,
    // Imports that need Node do not resolve, so that the build fails.
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

/** Replaces `records/sha256.ts`, which uses Node, by the page's own file. */
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
