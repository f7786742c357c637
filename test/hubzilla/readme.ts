/** Runs the commands of deploy/hubzilla/README.md as they are printed there. Only the names of the site and of its directories are replaced. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { client } from '../hubzilla-site.ts'
import type { Hub } from './hub.ts'

/** The blocks of "Five minutes": how to become Hubzilla's user, the commands of root, the commands of Hubzilla's user, a test post. */
function blocks(hub: Hub): readonly string[] {
  const [, section = ''] =
    /\n## Five minutes([\s\S]*?)\n## /.exec(readFileSync(join(client, 'README.md'), 'utf8')) ?? []
  const found = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text!)
  assert.equal(found.length, 4)
  return found.map((text) =>
    text
      .replaceAll('hub.example.org', hub.site)
      .replaceAll('/var/www/hub', hub.web)
      .replaceAll('\u2026', hub.release),
  )
}

/** Runs the steps from a running receiver to an addon that can be enabled. */
export function fiveMinutes(hub: Hub): void {
  const [becomeHub, asRoot, asHub] = blocks(hub)
  const prepared = hub.shell(asRoot!)
  assert.equal(prepared.status, 0, prepared.output)
  const { status, output } = hub.shell(becomeHub!, `set -e\n${asHub}`)
  assert.equal(status, 0, output)
  assert.match(output, /The receiver answers, and it accepts the token. Nothing was stored\.\n$/)
  assert.doesNotMatch(output, /Errors parsing/)
}

export function testPost(hub: Hub): string {
  const { status, output } = hub.shell(blocks(hub)[3]!)
  assert.equal(status, 0, output)
  return output
}
