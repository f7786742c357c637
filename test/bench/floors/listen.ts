/** Every floor and peer listens on the port that it is given, and closes idle connections after the same time as the receiver. */
import { serve } from '@hono/node-server'
import type { Hono } from 'hono'

export function listen({ fetch }: Hono): void {
  const serverOptions = { keepAliveTimeout: 75_000 }
  serve({ fetch, hostname: '127.0.0.1', port: Number(process.env.PORT), serverOptions })
}
