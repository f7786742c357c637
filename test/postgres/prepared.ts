/** Starts a server with the tables that `npm run database -- prepare` makes. */
import { readFileSync } from 'node:fs'
import { prepare } from '../../src/storage/postgres/prepare.ts'
import { newServer, type Server } from './cluster.ts'

export const schema = readFileSync(new URL('../../src/storage/postgres/schema.sql', import.meta.url), 'utf8')

export async function preparedServer(): Promise<Server> {
  const server = await newServer()
  await makeTables(server)
  return server
}

export async function makeTables(server: Server): Promise<void> {
  await server.asOwner((owner) => prepare(owner, { schema, role: 'civic_receiver' }))
}

/** Starts the same server with a role `civic_reader` that may only read. */
export async function readableServer(): Promise<Server> {
  const server = await newServer()
  await server.sql('CREATE ROLE civic_reader LOGIN', [], 'postgres')
  await server.asOwner((owner) => prepare(owner, { schema, role: 'civic_receiver', reader: 'civic_reader' }))
  return server
}
