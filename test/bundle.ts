/** Programs in one file each, as a release has them, for tests that start them: the receiver starts in a third of the time that the sources take. */
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build } from 'esbuild'
import { kept, project, sourcesIn } from './kept.ts'

/** What starts the program with this entry file. From the sources when coverage is measured, because it is counted by source file. */
export async function commandOf(entry: string): Promise<readonly [program: string, ...args: string[]]> {
  return process.env.NODE_V8_COVERAGE
    ? [process.execPath, '--import', 'tsx', entry]
    : [process.execPath, await fileOf(entry)]
}

function fileOf(entry: string): Promise<string> {
  const read = (path: string): Buffer => readFileSync(join(project, path))
  const rooms = new Set(['contracts', 'src', entry.slice(0, entry.indexOf('/'))])
  const state = [read('package-lock.json'), entry, ...sourcesIn(...rooms)]
  return kept(`${basename(entry, '.ts')}.cjs`, state, async (outfile) => {
    await build({
      entryPoints: [join(project, entry)],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      // the library's other half, in native code, which is asked for only by who names it
      external: ['pg-native'],
      logLevel: 'warning',
    })
  })
}

export const receiverCommand = await commandOf('src/main.ts')
