/** A client of the library for one host. Every option is given, because the library takes missing options from PG… variables. */
import { Socket } from 'node:net'
import pg from 'pg'
import type { DatabaseTarget, Host } from './url.ts'

export function clientOf(
  target: DatabaseTarget,
  host: Host = target.hosts[0] as Host,
  socket = new Socket(),
): pg.Client {
  return new pg.Client({
    host: host.host,
    port: host.port,
    user: target.user,
    database: target.database,
    // a function, because with an absent password the library would look into files
    password: () => target.password ?? '',
    ssl: target.ssl,
    application_name: 'civic-orchestrator',
    // a WARNING says that the commit did not wait for the standby; lower messages are not needed
    options: '-c client_min_messages=warning',
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    stream: () => socket,
  })
}
