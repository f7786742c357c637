/**
 * The shells and tools for the recipes of AUDITORS.md: bash and dash with GNU tools, busybox, and zsh with the tools of a Mac. Each shell
 * has a PATH that holds exactly its tools, so a recipe that needs another tool fails here. The tools of a Mac are GNU tools in wrappers:
 * they refuse the options that a Mac refuses (`stat -c`, `head -c -3`, `uniq -D`), pad numbers as a Mac does, and offer only `shasum`.
 */
import { execFile, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type Shell = { readonly program: string; readonly args: readonly string[]; readonly path: string }

const tools =
  'awk cat cmp cp cut grep head jq ls mkdir od openssl paste printf rm sed sort tail tr wc test uniq stat'.split(
    ' ',
  )

/** The path of a tool; undefined when it is not installed. */
export function found(tool: string): string | undefined {
  const { status, stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' })
  return status === 0 && stdout.startsWith('/') ? stdout.trim() : undefined
}

export const missingTool = [...tools, 'bash', 'dash', 'busybox', 'zsh', 'sha256sum', 'b2sum'].find(
  (tool) => found(tool) === undefined && !['printf', 'test'].includes(tool),
)

/** All shells by name. Their directories of tools are made below `scratch`. */
export function shells(scratch: string): ReadonlyMap<string, Shell> {
  const make = (name: string, link: (directory: string) => void): string => {
    const directory = join(scratch, name)
    mkdirSync(directory)
    link(directory)
    return directory
  }
  const linked = (names: readonly string[]) => (directory: string) => {
    for (const name of names) symlinkSync(found(name) as string, join(directory, name))
  }
  const there = tools.filter((name) => found(name) !== undefined)
  const gnu = make('gnu-tools', linked([...there, 'sha256sum', 'b2sum']))
  const busybox = make('busybox-tools', (directory) => {
    const { stdout } = spawnSync('busybox', ['--list'], { encoding: 'utf8' })
    for (const applet of stdout.trim().split('\n'))
      symlinkSync(found('busybox') as string, join(directory, applet))
    linked(['jq', 'openssl'])(directory)
  })
  const mac = make('mac-tools', (directory) => {
    linked(there.filter((name) => !wrapped.has(name)))(directory)
    for (const [name, body] of wrapped) {
      const real = found(name === 'shasum' ? 'sha256sum' : name) as string
      const script = `#!${found('bash')}\n${body.replaceAll('REAL', real)}\n`
      writeFileSync(join(directory, name), script)
      chmodSync(join(directory, name), 0o755)
    }
  })
  const bash = found('bash') as string
  return new Map<string, Shell>([
    ['bash', { program: bash, args: ['--norc', '-s'], path: gnu }],
    ['dash', { program: found('dash') as string, args: ['-s'], path: gnu }],
    ['busybox', { program: found('busybox') as string, args: ['sh', '-s'], path: busybox }],
    // zsh is the default shell of a Mac.
    ["a Mac's tools", { program: found('zsh') as string, args: ['-f', '-s'], path: mac }],
  ])
}

const refuses = (pattern: string, body: string): string =>
  `for given; do case $given in ${pattern}) echo "illegal option -- $given" >&2; exit 64;; esac; done\n${body}`

const wrapped = new Map([
  ['stat', refuses('-c*', 'exec REAL "$@"')],
  ['head', refuses('-[1-9]*c* | --*', '[[ $1 == -c && $2 == -* ]] && exit 64\nexec REAL "$@"')],
  ['uniq', refuses('-D | -w* | --*', 'exec REAL "$@"')],
  ['sed', refuses('-i | -z | -E* | --*', 'exec REAL --posix "$@"')],
  ['grep', refuses('-P* | -z | --*', 'exec REAL "$@"')],
  ['sort', refuses('-z | -V | --*', 'exec REAL "$@"')],
  ['od', 'REAL "$@" | /usr/bin/env -i /bin/sed "s/^/         /; s/$/   /"'],
  ['wc', 'REAL "$@" | while read -r number name; do printf "%8d %s\\n" "$number" "$name"; done'],
  // The openssl of a Mac is LibreSSL.
  ['openssl', 'echo "LibreSSL 3.3.6"; [[ $1 == version ]]'],
  ['shasum', '[[ "$*" == "-a 256" ]] || exit 64\nexec REAL'],
])

const page = readFileSync(new URL('../deploy/AUDITORS.md', import.meta.url), 'utf8')

export const recipes = new Map(
  [...page.matchAll(/<!-- recipe: (\w+) -->\n```sh\n([\s\S]*?)```/g)].map(([, name, text]) => [
    name as string,
    text as string,
  ]),
)
export const shellBlocks = page.match(/```sh/g)?.length

/** The output of a recipe before its last line, the last line, and the exit status. */
export type Said = { readonly before: string; readonly verdict: string; readonly status: number }

const end = '\u0001end'
const longestMs = 60_000

/** Runs recipes one after the other in one shell, as somebody pastes them. `settings` are the variables to set first. */
export function paste(
  { program, args, path }: Shell,
  names: readonly string[],
  settings: Readonly<Record<string, string>>,
  cwd: string,
): Promise<ReadonlyMap<string, Said>> {
  mkdirSync(cwd, { recursive: true })
  const set = Object.entries(settings).map(([name, value]) => `${name}='${value}'\n`)
  const blocks = names.map((name) => `${recipes.get(name)}\nprintf '\\001end%s\\n' "$?"\n`)
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      {
        cwd,
        env: { PATH: path },
        encoding: 'latin1',
        maxBuffer: 2 ** 28,
        timeout: longestMs,
        killSignal: 'SIGKILL',
      },
      (error, stdout) => {
        if (error?.killed) return reject(new Error('a recipe does not end'))
        const parts = stdout.split(end)
        const said = names.map((name, index): [string, Said] => {
          const text = (index === 0 ? parts[0] : parts[index]?.replace(/^\d+\n/, '')) ?? ''
          const at = text.search(/^(OK|NOT OK|CANNOT BE TOLD): /m)
          return [
            name,
            {
              before: at === -1 ? text : text.slice(0, at),
              verdict: at === -1 ? '' : text.slice(at),
              status: Number.parseInt(parts[index + 1] ?? '', 10),
            },
          ]
        })
        resolve(new Map(said))
      },
    )
    child.stdin?.end(`${recipes.get('settings')}\n${set.join('')}\n${blocks.join('')}`)
  })
}
