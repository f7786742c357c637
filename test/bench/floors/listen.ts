/** How every floor and peer listens: on the port that it is given, with the receiver's own patience for idle connections. */
import { serve } from '@hono/node-server'
import type { Hono } from 'hono'

export function listen({ fetch }: Hono): void {
  const serverOptions = { keepAliveTimeout: 75_000 }
  serve({ fetch, hostname: '127.0.0.1', port: Number(process.env.PORT), serverOptions })
}
