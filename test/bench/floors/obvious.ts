/**
 * The obvious program: lock (proper-lockfile), read the whole file, JSON.parse, push, JSON.stringify, write-file-atomic, answer. No
 * token, no contract, no id, no chain, no duplicates, no fsync of the directory. It waits for its lock without a limit.
 */
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Hono } from 'hono'
import lockfile from 'proper-lockfile'
import writeFileAtomic from 'write-file-atomic'
import { recordsName } from '../../../src/records/layout.ts'
import { ifThere } from '../../../src/storage/files/fault.ts'
import { associationDirectories } from '../../../src/storage/files/paths.ts'
import { listen } from './listen.ts'

const retries = { forever: true, factor: 1, minTimeout: 5, maxTimeout: 50, randomize: true }

const app = new Hono()
app.post('/receive', async (c) => {
  const envelope = (await c.req.json()) as { addon: string; association_slug: string }
  const [, directory] = associationDirectories(process.env.DATA_DIR as string, envelope)
  mkdirSync(directory, { recursive: true })
  const file = join(directory, recordsName)
  const release = await lockfile.lock(file, { realpath: false, retries })
  try {
    const text = await ifThere(readFile(file, 'utf8'))
    const records = JSON.parse(text ?? '[]') as unknown[]
    records.push(envelope)
    await writeFileAtomic(file, JSON.stringify(records))
  } finally {
    await release()
  }
  return c.json({ status: 'stored' }, 201)
})

listen(app)
