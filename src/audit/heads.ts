/** `heads`: one line an association, to be published or printed. Whoever keeps it can prove a later rewriting. */
import type { Command } from './io.ts'
import { dataDirectory, parse } from './options.ts'
import { printer } from './print.ts'
import { slugsOf } from './read.ts'
import { headLine } from './verify/association.ts'

const help = `npm run audit -- heads [--data DIR] [--json] > heads-of-today.txt

One line for each association: SLUG:SEQUENCE:SHA256 of its last record, from the records themselves (the chain is
followed from the start). Publish it, print it, give it to somebody else: "verify --heads FILE" then proves
that everything up to these records is still there and unaltered. An association whose chain is not whole
gets no line, and the exit status is 1: run verify.`

export const heads: Command = {
  summary: 'one line for each association, to publish or print; verify --heads compares later',
  help,
  run: async (args, io) => {
    const options = parse(args)
    const root = dataDirectory(options.data)
    const print = printer(io, options.json)
    let unsound = 0
    for (const slug of slugsOf(root, 'scn01')) {
      const head = await headLine(root, slug).catch(absent)
      if (!head) continue
      const { link, sound } = head
      if (sound) {
        await print.say(`${slug}:${link.sequence}:${link.sha256}`)
        await print.give('head', {
          association_slug: slug,
          sequence: link.sequence,
          record_sha256: link.sha256,
        })
      } else {
        unsound++
        io.err(`audit: scn01/${slug}/records.json is not whole; run verify\n`)
      }
    }
    return unsound > 0 ? 1 : 0
  },
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
