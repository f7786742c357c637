/**
 * `npm run pictures`: makes the pictures of README and AUDITORS from the sample with the real programs: the page, view by view, and a terminal in
 * which `verify` has found an altered record. It needs chromium.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { found } from '../test/shells.ts'
import { picturesOfPage } from './pictures/page.ts'

const work = mkdtempSync(join(tmpdir(), 'civic-pictures-'))
const sample = join(work, 'sample')
/** The path of the sample in README, AUDITORS and the pictures. */
const calledSample = '/tmp/sample'
const pictures = 'deploy/pictures'
const [width, lineHeight, margin] = [1180, 19, 16]

function run(program: string, args: readonly string[], accepted = 0): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== accepted) throw new Error(`${program} ${args.join(' ')}\nended with ${status}: ${stderr}`)
  return stdout
}

/** Alters one record in its place. The next record still holds the hash of the old line. */
function alter(): void {
  const file = join(sample, 'data/scn01/plum-grove-townhomes/records.json')
  const lines = readFileSync(file, 'utf8').split('\n')
  const altered = lines[7]?.replace('held with 8 owners', 'held with 48 owners')
  if (altered === undefined || altered === lines[7]) throw new Error('the sample has another seventh record')
  lines[7] = altered
  writeFileSync(file, lines.join('\n'))
}

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;')

function terminal(command: string, output: string): string {
  const text = escaped(output)
    .replace(/^FINDING.*$/gm, '<b class="finding">$&</b>')
    .replace(/^(result +)(.*)$/m, '$1<b class="finding">$2</b>')
  return `<!doctype html><meta charset="utf-8"><style>
    html, body { margin: 0; background: #1d2127; color: #d8dee9 }
    pre { margin: 0; padding: ${margin}px; font: 14px/${lineHeight}px "DejaVu Sans Mono", monospace }
    b { font-weight: normal; color: #fff } .finding { color: #ff9d8a }
  </style><pre>$ <b>${escaped(command)}</b>\n${text}</pre>`
}

function picture(html: string, lines: number, to: string): void {
  const page = join(work, 'page.html')
  writeFileSync(page, html)
  const size = `--window-size=${width},${lines * lineHeight + 2 * margin}`
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const quiet = [
    '--headless',
    '--disable-gpu',
    '--hide-scrollbars',
    `--user-data-dir=${join(work, 'profile')}`,
  ]
  run('chromium', [...quiet, ...sandbox, size, `--screenshot=${to}`, `file://${page}`])
  console.log(`${to}: ${readFileSync(to).length} bytes`)
}

if (found('chromium') === undefined) throw new Error('chromium is not installed')
try {
  run('npm', ['run', '--silent', 'sample', '--', sample])
  await picturesOfPage(sample, pictures, alter)
  const args = ['verify', '--data', `${sample}/data`, '--heads', `${sample}/heads-2026-07-01.txt`]
  const output = run('node', ['scripts/audit.mjs', ...args], 1)
  const shown = terminal(`node scripts/audit.mjs ${args.join(' ')}`, output)
  picture(shown.replaceAll(sample, calledSample), output.split('\n').length + 1, join(pictures, 'verify.png'))
} finally {
  rmSync(work, { recursive: true, maxRetries: 5 })
}
