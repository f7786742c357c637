/**
 * Posts until its standard input ends, then prints the results as one line of JSON. scripts/test-deploy.ts bundles it and runs it inside the
 * machine.
 *
 *   load URL FILE-WITH-THE-TOKEN SENDERS keep|new
 */
import { readFileSync } from 'node:fs'
import { send } from './senders.ts'

const [url, tokenFile, senders, connections] = process.argv.slice(2) as [string, string, string, string]
// The token is read for each post, because a rotation gives the sender a new one.
const load = send({
  url,
  token: () => readFileSync(tokenFile, 'utf8').trim(),
  senders: Number(senders),
  keepAlive: connections === 'keep',
  keepReceipts: true,
})
process.stdin.on('data', () => console.log(load.count()))
process.stdin.on('end', async () => {
  const { stored, failed, receipts } = await load.end()
  console.log(JSON.stringify({ stored, failed, receipts: receipts.length > 20_000 ? [] : receipts }))
})
