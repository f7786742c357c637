/**
 * `--stamps DIR` checks time stamps of heads (RFC 3161) with `openssl ts -verify`. Each stamp is checked as of its own time, so
 * that it can be checked after its certificate has run out.
 *
 *   heads-<time>.txt          what `heads` printed
 *   heads-<time>.<name>.tsr   the stamp that an authority made of it
 *   heads-<time>.<name>.pem   the certificates of the authority; anybody who can write here could have made them (see `stamped.ts`)
 */

import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { CannotRun } from '../../cli/io.ts'
import { hasCode } from '../../error-code.ts'
import { readRegularSync } from '../../storage/files/regular-file.ts'
import { whyUnread } from './directory.ts'
import { type Expectation, keptIn, NotKept, type TimeStamp } from './expectations.ts'
import type { Finding } from './finding.ts'

export type Stamps = {
  readonly expected: readonly Expectation[]
  readonly findings: readonly Finding[]
  /** How many stamps were checked. */
  readonly count: number
}

const stampName = /^(.+)\.([a-z0-9-]+)\.tsr$/
const longestHeads = 64 * 1024 * 1024

/** `authorities`: files with certificates that the auditor got from the authorities themselves. */
export async function stampsIn(directory: string, authorities: readonly string[]): Promise<Stamps> {
  const names = stampNames(directory)
  for (const file of authorities)
    if (!existsSync(file)) throw new CannotRun(`there is no ${file} with the certificate of an authority`)
  await requireOpenssl()
  const expected: Expectation[] = []
  const findings: Finding[] = []
  const queue = [...names]
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const found = await checked(directory, name, authorities)
      if (typeof found === 'string') findings.push(badStamp(name, found))
      else for (const each of found) expected.push(each)
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  findings.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { expected, findings, count: names.length }
}

function stampNames(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => stampName.test(name))
    if (names.length === 0) throw new CannotRun(`${directory} holds no stamp (heads-….NAME.tsr)`)
    return names.sort()
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) throw error
    throw new CannotRun(`cannot read ${directory}: ${(error as Error).message}`)
  }
}

async function requireOpenssl(): Promise<void> {
  const { out } = await openssl('version')
  if (!out.startsWith('OpenSSL '))
    throw new CannotRun('--stamps needs the program openssl, 1.1.1 or later, and it is not here')
}

/** The heads that a stamp covers, or why the stamp shows nothing. */
async function checked(
  directory: string,
  name: string,
  authorities: readonly string[],
): Promise<readonly Expectation[] | string> {
  const [, base, authority] = stampName.exec(name) as unknown as [string, string, string]
  const heads = join(directory, `${base}.txt`)
  const answer = join(directory, name)
  const beside = join(directory, `${base}.${authority}.pem`)
  try {
    const text = readRegularSync(heads, longestHeads).toString('utf8')
    const at = timeOf((await openssl('ts', '-reply', '-in', answer, '-text')).out)
    if (at === undefined) return 'is no stamp'
    const under = await certificateOf(heads, answer, at, authorities, beside)
    if (under.why !== undefined) return under.why
    const stamp: TimeStamp = { file: name, authority, at: at.toISOString(), under: under.own }
    const source = `the stamp ${name} of ${stamp.at}`
    return keptIn(text, `${base}.txt`).expected.map((each) => ({ ...each, source, stamp }))
  } catch (error) {
    if (error instanceof NotKept) return `stamps what is no head: ${error.message}`
    if (hasCode(error, 'ENOENT')) return `stamps a file that is not here: ${base}.txt`
    if (hasCode(error, 'EACCES', 'ENOTREGULAR', 'EFBIG'))
      return `${base}.txt, which it stamps, ${whyUnread(error)}`
    throw error
  }
}

/** The first of the auditor's own certificates that fits the stamp. If none fits, tries the certificate beside the stamp. */
async function certificateOf(
  heads: string,
  answer: string,
  at: Date,
  authorities: readonly string[],
  beside: string,
): Promise<{ readonly own?: string; readonly why?: string }> {
  const seconds = String(Math.floor(at.getTime() / 1000))
  const hasBeside = existsSync(beside)
  const between = hasBeside ? ['-untrusted', beside] : []
  const fixed = ['ts', '-verify', '-data', heads, '-in', answer, '-attime', seconds, ...between]
  let why = 'has no certificate beside it, and none was given with --authority'
  for (const file of [...authorities, ...(hasBeside ? [beside] : [])]) {
    const { ok, err } = await openssl(...fixed, '-CAfile', file)
    if (ok) return file === beside ? {} : { own: file }
    why = whyNot(err)
  }
  return { why }
}

/** Why openssl refused a stamp, in plain words. */
function whyNot(said: string): string {
  if (/imprint mismatch/.test(said)) return 'is a stamp of other bytes than the heads file beside it has now'
  if (/certificate has expired|not yet valid/.test(said))
    return 'was signed with a certificate that was not valid at that time'
  if (/issuer certificate|self.signed/.test(said))
    return 'is not signed under any certificate that was given or lies beside it'
  const [, , , , , reason] = (/error:.*/.exec(said)?.[0] ?? '').split(':')
  return `is not accepted by openssl${reason ? ` (${reason})` : ''}`
}

const months = 'JanFebMarAprMayJunJulAugSepOctNovDec'

/** Reads a line such as `Time stamp: Jun 16 12:00:00.25 2026 GMT`. */
function timeOf(text: string): Date | undefined {
  const found = /^Time stamp: ([A-Z][a-z]{2}) +(\d+) (\d\d:\d\d:\d\d)(\.\d{1,3})?\d* (\d{4}) GMT/m.exec(text)
  if (!found) return undefined
  const [, month = '', day = '', time, fraction = '', year] = found
  const number = String(months.indexOf(month) / 3 + 1).padStart(2, '0')
  const date = new Date(`${year}-${number}-${day.padStart(2, '0')}T${time}${fraction}Z`)
  return Number.isNaN(date.getTime()) ? undefined : date
}

function openssl(...args: readonly string[]): Promise<{ ok: boolean; out: string; err: string }> {
  const env = { ...process.env, LC_ALL: 'C' }
  return new Promise((resolve) => {
    execFile('openssl', args, { env, maxBuffer: 16 * 1024 * 1024 }, (error, out, err) =>
      resolve({ ok: error === null, out, err }),
    )
  })
}

function badStamp(name: string, what: string): Finding {
  return {
    level: 'finding',
    kind: 'bad stamp',
    path: name,
    what,
    meaning:
      'It shows nothing about any record. It, its heads file or its certificates were altered, or it was never checked.',
  }
}
