/** Outside production, when no token is configured: one is made, kept in the data directory, and shown once. */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'

export type DevelopmentToken = { readonly token: string; readonly isNew: boolean }

export function developmentToken(file: string): DevelopmentToken {
  try {
    return { token: readFileSync(file, 'utf8').trim(), isNew: false }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const token = randomBytes(32).toString('hex')
  const fd = openSync(file, 'wx', 0o600)
  try {
    writeSync(fd, `${token}\n`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  return { token, isNew: true }
}

/** The first request, ready to paste. `presented` is the token, or a shell expression that reads it. */
export function exampleCommand(url: string, presented: string, now: Date): string {
  const envelope = {
    addon: 'vs01',
    contract_version: '1.0',
    association_slug: 'first-association',
    association_channel_id: '1',
    participant_id: 'SASE1-22c-at-5sb-8hm-54v',
    submitted_at: `${now.toISOString().slice(0, 19)}Z`,
    standing: 'participant',
    fields: { ho_claimed_type: 'condominium' },
  }
  return `curl -i ${url}/receive -H "X-Node-Token: ${presented}" --data-binary '${JSON.stringify(envelope)}'`
}
