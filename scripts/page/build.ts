/**
 * Builds the auditors' page as one file, which contains its program, worker and style and loads nothing. The same tree and the same packages
 * (npm ci) give the same bytes.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { browserBuild } from './browser-build.ts'

export type Page = {
  readonly html: string
  /** The files of packages that the page contains, relative to the directory of the source. */
  readonly inputs: readonly string[]
}

export type PageSource = {
  /** The directory of the source, which also holds the installed packages. */
  readonly directory: string
  /** The version that the page shows. */
  readonly version: string
}

/** In bytes. A larger page contains something that does not belong there. */
const largest = 500_000

export async function buildPage({ directory, version }: PageSource): Promise<Page> {
  const room = join(directory, 'src/audit/page')
  const worker = await bundled(directory, join(room, 'worker.ts'), {})
  const app = await bundled(directory, join(room, 'app.tsx'), {
    define: {
      pageVersion: JSON.stringify(version),
      workerProgram: JSON.stringify(worker.text),
    },
  })
  const style = minified(readFileSync(join(room, 'style.css'), 'utf8'))
  const html = page(app.text, style)
  if (html.length > largest)
    throw new Error(`the page has ${html.length} bytes; at most ${largest} are meant`)
  return { html, inputs: [...new Set([...worker.inputs, ...app.inputs])].sort() }
}

type Bundled = { readonly text: string; readonly inputs: readonly string[] }

/** Bundles one file of JavaScript for a browser with everything that it imports. */
async function bundled(directory: string, entry: string, more: BuildOptions): Promise<Bundled> {
  const { outputFiles, metafile } = await build({
    ...browserBuild(directory, entry),
    ...more,
    write: false,
    metafile: true,
  })
  return { text: (outputFiles[0] as { text: string }).text.trim(), inputs: Object.keys(metafile.inputs) }
}

function minified(css: string): string {
  return css
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\s*\n\s*/g, '\n')
    .trim()
}

/** The HTML of the page. By its policy a browser runs and applies only the script and the style with these two hashes, and loads nothing. */
function page(script: string, style: string): string {
  for (const text of [script, style])
    if (/<\/(script|style)|<!--/i.test(text)) throw new Error('the program would end its own element')
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    'worker-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types auditor',
  ].join('; ')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Auditor</title>
<style>${style}</style>
</head>
<body>
<div id="app"></div>
<noscript>This page needs JavaScript. It is inside this file, and nothing is loaded from anywhere.</noscript>
<script>${script}</script>
</body>
</html>
`
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
