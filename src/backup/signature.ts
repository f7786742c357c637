/**
 * SSH signatures, for releases and backups: every host has ssh-keygen, and a key may be in an agent or on a hardware token.
 *
 * Who is trusted: whoever has the private key. The namespace keeps a signature for one purpose from counting for another.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Namespace = 'civic-orchestrator-release' | 'civic-orchestrator-backup'

/** Writes `<path>.sig`. Throws an error with what ssh-keygen said. */
export function sign(path: string, key: string, namespace: Namespace): void {
  // ssh-keygen asks before it overwrites
  rmSync(`${path}.sig`, { force: true })
  try {
    execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-f', key, '-n', namespace, path], {
      stdio: ['inherit', 'ignore', 'pipe'],
    })
  } catch (error) {
    throw new Error(saidBy(error))
  }
}

export type Verdict = 'good' | 'missing' | 'foreign'

/** Whether `<path>.sig` is a signature over these bytes by the key whose public part is in a file. */
export function verdictOn(path: string, bytes: Uint8Array, publicKey: string, namespace: Namespace): Verdict {
  const key = readFileSync(publicKey, 'utf8').trim()
  const work = mkdtempSync(join(tmpdir(), 'civic-signature-'))
  try {
    readFileSync(`${path}.sig`)
    const signers = join(work, 'allowed_signers')
    writeFileSync(signers, `signer namespaces="${namespace}" ${key}\n`)
    const args = ['-Y', 'verify', '-f', signers, '-I', 'signer', '-n', namespace, '-s', `${path}.sig`]
    execFileSync('ssh-keygen', args, { input: bytes, stdio: ['pipe', 'ignore', 'ignore'] })
    return 'good'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'missing' : 'foreign'
  } finally {
    rmSync(work, { recursive: true })
  }
}

function saidBy(error: unknown): string {
  return (error as { stderr?: Buffer }).stderr?.toString().trim() || (error as Error).message
}
