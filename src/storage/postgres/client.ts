/** A client of the library for one host of a target, with every member given: what is not given, it takes from PG… variables. */
import { Socket } from 'node:net'
import pg from 'pg'
import type { Host, Target } from './url.ts'

export function clientOf(
  target: Target,
  host: Host = target.hosts[0] as Host,
  socket = new Socket(),
): pg.Client {
  return new pg.Client({
    host: host.host,
    port: host.port,
    user: target.user,
    database: target.database,
    // a function: an absent password would be looked up in files by the library
    password: () => target.password ?? '',
    ssl: target.ssl,
    application_name: 'civic-orchestrator',
    // WARNING is what tells that a commit was not waited for; what is below it is noise
    options: '-c client_min_messages=warning',
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    stream: () => socket,
  })
}
