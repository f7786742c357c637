/** Records with strace what a process does to the disk: every call that changes a file or a name, and every sync, in order. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** `start` and `end` are places in the trace. A sync covers every change that had ended when the sync started. */
export type Call = { readonly start: number; readonly end: number } & (
  | { readonly kind: 'mkdir' | 'remove' | 'sync'; readonly path: string }
  /** An open that makes the file if it does not exist, and empties it when `truncates` is set. */
  | { readonly kind: 'create'; readonly path: string; readonly truncates: boolean }
  | { readonly kind: 'write'; readonly path: string; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'resize'; readonly path: string; readonly size: number }
  | { readonly kind: 'rename' | 'link'; readonly path: string; readonly to: string }
  /** A line of JSON on the standard output of the process. */
  | { readonly kind: 'said'; readonly line: string }
)

const traced =
  'openat,open,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,' +
  'ftruncate,truncate,fallocate,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat,copy_file_range'

/** Runs a command and gives the calls that concern paths below `root`. */
export async function record(root: string, traceFile: string, command: readonly string[]): Promise<Call[]> {
  // With --seccomp-bpf the program is stopped only at the calls that are traced.
  const how = [
    '-f',
    '--seccomp-bpf',
    '-qq',
    '-y',
    '-xx',
    '-s',
    '67108864',
    '-e',
    'signal=none',
    '-o',
    traceFile,
  ]
  // The lines of its standard output are read from the trace. It goes to /dev/null, so that no write has to wait.
  const stdio = ['ignore', 'ignore', 'inherit'] as const
  const child = spawn('strace', [...how, '-e', `trace=${traced}`, ...command], { stdio: [...stdio] })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the traced process ended with ${code}`)
  return parse(root, readFileSync(traceFile, 'latin1'))
}

/** A line of the trace. When another thread came between its two halves, they are joined. */
type Line = { readonly start: number; readonly end: number; readonly text: string }

function wholeLines(trace: string): Line[] {
  const begun = new Map<string, { start: number; text: string }>()
  const lines: Line[] = []
  for (const [at, raw] of trace.split('\n').entries()) {
    const [, pid = '', text = ''] = /^(\d+) +(.*)$/.exec(raw) ?? []
    const unfinished = / <unfinished \.\.\.>$/
    const resumed = /^<\.\.\. \w+ resumed>/
    if (unfinished.test(text)) begun.set(pid, { start: at, text: text.replace(unfinished, '') })
    else if (resumed.test(text)) {
      const first = begun.get(pid)
      if (first) lines.push({ start: first.start, end: at, text: first.text + text.replace(resumed, '') })
    } else lines.push({ start: at, end: at, text })
  }
  return lines
}

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')

function parse(root: string, trace: string): Call[] {
  const calls: Call[] = []
  for (const { start, end, text } of wholeLines(trace)) {
    const [, name = '', rest = '', result = ''] = /^(\w+)\((.*)\) += (-?\d+)/.exec(text) ?? []
    if (name === '' || Number(result) < 0) continue
    const strings = [...rest.matchAll(/"((?:\\x..)*)"/g)].map(([, hex = '']) => unhex(hex))
    const fd = unhex(/^\d+<([^>]*)>/.exec(rest)?.[1] ?? '').toString()
    const numbers = [...rest.matchAll(/, (\d+)(?=,|$)/g)].map(([, digits]) => Number(digits))
    const at = { start, end }
    const named = strings[0]?.toString() ?? ''
    const isBelow = (path: string): boolean => path.startsWith(`${root}/`)
    if (name === 'write' && rest.startsWith('1<') && !isBelow(fd)) {
      // Only lines of JSON are from this program; its child processes print other text.
      if (named.startsWith('{"')) calls.push({ ...at, kind: 'said', line: named.trim() })
      continue
    }
    const path = ['write', 'pwrite64', 'fsync', 'fdatasync', 'ftruncate'].includes(name) ? fd : named
    if (!isBelow(path) && !(name === 'fsync' && path === root)) continue
    switch (name) {
      case 'mkdir':
        calls.push({ ...at, kind: 'mkdir', path })
        break
      case 'open':
      case 'openat':
        if (!rest.includes('O_CREAT') && !rest.includes('O_TRUNC')) break
        calls.push({ ...at, kind: 'create', path, truncates: rest.includes('O_TRUNC') })
        break
      case 'pwrite64': {
        const bytes = (strings[0] as Buffer).subarray(0, Number(result))
        calls.push({ ...at, kind: 'write', path, offset: numbers.at(-1) as number, bytes })
        break
      }
      case 'ftruncate':
        calls.push({ ...at, kind: 'resize', path, size: numbers.at(-1) as number })
        break
      case 'fsync':
      case 'fdatasync':
        calls.push({ ...at, kind: 'sync', path })
        break
      case 'rename':
      case 'link':
        calls.push({ ...at, kind: name, path, to: (strings[1] as Buffer).toString() })
        break
      case 'unlink':
      case 'rmdir':
        calls.push({ ...at, kind: 'remove', path })
        break
      default:
        throw new Error(`the program made a call that the crash model does not know: ${name}`)
    }
  }
  return calls
}
