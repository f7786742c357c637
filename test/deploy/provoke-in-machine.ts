/**
 * Provokes the proxy in the machine of scripts/test-deploy.ts, which bundles this program and runs it there. Prints each fault on a line.
 *
 *   provoke-in-machine PORT FILE-WITH-THE-TOKEN
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { provoke } from './provoke.ts'

const [port, tokenFile] = process.argv.slice(2) as [string, string]

function units(verb: string): void {
  execFileSync('systemctl', [verb, 'civic-orchestrator.socket', 'civic-orchestrator.service'])
}

void provoke({
  port: Number(port),
  token: readFileSync(tokenFile, 'utf8').trim(),
  down: async () => units('stop'),
  up: async () => units('start'),
}).then((wrong) => {
  for (const sentence of wrong) console.log(sentence)
})
