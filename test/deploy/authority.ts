/**
 * A time-stamping authority with keys of its own. scripts/test-deploy.ts bundles it and runs it inside the machine.
 *
 *   authority DIRECTORY   prints its address; a line "down" or "up" on standard input stops or starts it, and is repeated
 */
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { makeKeys, startAuthority } from '../authority.ts'

const authority = await startAuthority(makeKeys(resolve(process.argv[2] as string), 'own'))
console.log(authority.url)
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'down') await authority.goDown()
  else await authority.comeBack()
  console.log(line)
}
process.exit()
