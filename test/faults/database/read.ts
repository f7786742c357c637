/** Reads a database for `judge`, which gets the rows in the form of the files that they stand for. */

import { fileOf } from '../../disk.ts'
import type { Server } from '../../postgres/cluster.ts'
import { type Disk, recordsIn, wholeText } from '../audit-disk.ts'

type Line = { readonly slug: string; readonly line: Buffer }
type Body = { readonly slug: string; readonly participant_id: string; readonly body: Buffer }

export async function readDatabase(server: Server): Promise<Disk> {
  const lines = (await server.sql('SELECT slug, line FROM civic.record ORDER BY slug, sequence')) as Line[]
  const heads = new Map(
    (await server.sql('SELECT slug, count::int, sha256 FROM civic.association')).map((head) => [
      String(head.slug),
      `${head.count} ${head.sha256}`,
    ]),
  )
  const bodies = (await server.sql('SELECT slug, participant_id, body FROM civic.latest')) as Body[]
  const appended = new Map<string, ReturnType<typeof recordsIn>>()
  const overwritten = new Map<string, Record<string, unknown>>()
  const unreadable: string[] = []
  const read = (what: string, how: () => void): void => {
    try {
      how()
    } catch (error) {
      unreadable.push(`${what}: ${(error as Error).message.slice(0, 160)}`)
    }
  }
  for (const slug of new Set([...heads.keys(), ...lines.map((line) => line.slug)])) {
    read(`scn01/${slug}`, () => {
      const own = lines.filter((line) => line.slug === slug).map(({ line }) => String(line))
      const records = recordsIn(fileOf(own))
      const last = records.at(-1)
      if (heads.get(slug) !== `${last?.sequence} ${last?.sha256}`)
        throw new Error('the head is of another line')
      appended.set(slug, records)
    })
  }
  for (const { slug, participant_id, body } of bodies)
    read(`vs01/${slug}`, () => overwritten.set(`${slug}/${participant_id}`, JSON.parse(wholeText(body))))
  return { appended, overwritten, unreadable, strange: [] }
}
