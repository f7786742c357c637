/**
 * The floor for the receiver: @hono/node-server and a Hono app that reads the whole body and answers 201 with a small
 * JSON text. No token, no validation, no log line, no storage.
 */
import { Hono } from 'hono'
import { listen } from './listen.ts'

const app = new Hono()
app.post('/receive', async (c) => {
  await c.req.arrayBuffer()
  return c.json({ status: 'stored' }, 201)
})

listen(app)
