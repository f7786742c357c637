/**
 * SSH signatures, for releases and backups: every host has ssh-keygen, and a key may be in an agent or on a hardware token.
 *
 * Trusted: the holder of the private key. The namespace keeps a signature for one purpose from counting for another.
 *
 * "Does not verify" and "cannot be checked" are two different answers. The first is about the bytes and is given only when
 * ssh-keygen says so. The second is about this machine (no ssh-keygen, no room for its files, a user without a name).
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasCode } from '../error-code.ts'

export type Namespace = 'civic-orchestrator-release' | 'civic-orchestrator-backup'

export function signatureOf(bytes: Uint8Array, key: string, namespace: Namespace): string {
  try {
    const args = ['-Y', 'sign', '-q', '-f', key, '-n', namespace]
    return execFileSync('ssh-keygen', args, { input: bytes, stdio: ['pipe', 'pipe', 'pipe'] }).toString()
  } catch (error) {
    throw new Error(saidBy(error))
  }
}

/** Writes `<path>.sig`. */
export function sign(path: string, key: string, namespace: Namespace): void {
  const signature = signatureOf(readFileSync(path), key, namespace)
  rmSync(`${path}.sig`, { force: true })
  writeFileSync(`${path}.sig`, signature)
}

/**
 * The public key as a line of text. `key` is the file of a private key, or of the public key when an agent holds the private
 * one.
 */
export function publicPartOf(key: string): string {
  try {
    const text = readFileSync(key, 'utf8')
    if (!text.startsWith('-----BEGIN')) return text.trim()
    const args = ['-y', '-P', '', '-f', key]
    return execFileSync('ssh-keygen', args, { stdio: ['ignore', 'pipe', 'pipe'] })
      .toString()
      .trim()
  } catch (error) {
    // the public key cannot be read from a private key with a passphrase, but ssh-keygen has put it into a file beside it
    try {
      return readFileSync(`${key}.pub`, 'utf8').trim()
    } catch {
      throw new CannotCheck(`the public part of ${key} cannot be read: ${saidBy(error)}`)
    }
  }
}

/** It could not be found out whether the signature is good. */
export class CannotCheck extends Error {
  override readonly name = 'CannotCheck'
}

export type SignerVerdict = 'good' | 'foreign'

/** Whether a signature is one over these bytes by the key whose public part is given. Throws `CannotCheck`. */
export function verdictOn(
  bytes: Uint8Array,
  signature: string,
  publicKey: string,
  namespace: Namespace,
): SignerVerdict {
  let work: string | undefined
  try {
    work = mkdtempSync(join(tmpdir(), 'civic-signature-'))
    const [signers, given] = [join(work, 'allowed_signers'), join(work, 'signature')]
    writeFileSync(signers, `signer namespaces="${namespace}" ${publicKey}\n`)
    writeFileSync(given, signature)
    return ask(['-Y', 'verify', '-f', signers, '-I', 'signer', '-n', namespace, '-s', given], bytes)
  } catch (error) {
    if (error instanceof CannotCheck) throw error
    throw new CannotCheck(`the signature cannot be checked: ${(error as Error).message}`)
  } finally {
    if (work !== undefined) rmSync(work, { recursive: true, force: true })
  }
}

function ask(args: readonly string[], bytes: Uint8Array): SignerVerdict {
  const { error, status, stdout, stderr } = spawnSync('ssh-keygen', args, { input: bytes })
  // EPIPE: ssh-keygen may end before it has read everything
  if (error && !hasCode(error, 'EPIPE')) throw error
  if (status === 0) return 'good'
  const said = stderr.toString().trim()
  if (stdout.includes('Could not verify signature') && !aboutTheKey.test(said)) return 'foreign'
  throw new CannotCheck(
    `the signature cannot be checked: ssh-keygen says ${JSON.stringify(said.split('\n')[0])}`,
  )
}

/** Errors of ssh-keygen that are about the given key, because this program wrote the file of signers. */
const aboutTheKey = /invalid key|Unable to open|bad key|allowed_signers/

function saidBy(error: unknown): string {
  return (error as { stderr?: Buffer }).stderr?.toString().trim() || (error as Error).message
}
