/** `npm run pack`: makes the release archive of one commit. Its bytes are the same whoever makes it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { sign } from '../src/backup/signature.ts'
import { releaseArchive } from './pack/archive.ts'
import { Refusal } from './pack/source.ts'

const help = `npm run pack -- [--commit REF] [--out DIR] [--version VERSION] [--key FILE] [--help]

Makes civic-orchestrator-<version>.tar.gz from a commit: what is not committed does not travel, and the same commit,
the same packages (npm ci), Node, npm, GNU tar and gzip give the same bytes. With a key it is signed.

  --commit REF       the commit to pack (default: HEAD)
  --out DIR          where the archive goes (default: ./dist)
  --version VERSION  instead of the version in package.json, for a build between two releases
  --key FILE         an SSH private key, or the public key of one that an agent holds (default: the environment's
                     CIVIC_SIGNING_KEY); writes <archive>.sig with ssh-keygen, namespace civic-orchestrator-release
  --help             this text

Exit: 0 done, 1 could not be made, 2 wrong arguments.
`

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    console.error(error instanceof Refusal ? `pack: ${error.message}` : error)
    process.exitCode = 1
  },
)

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2))
  if (typeof options === 'string') {
    console.error(`pack: ${options} (--help shows the options)`)
    return 2
  }
  if (options.help) {
    process.stdout.write(help)
    return 0
  }
  const { name, version, commit, bytes, sha256 } = await releaseArchive(options)
  const out = resolve(options.out)
  const path = join(out, name)
  mkdirSync(out, { recursive: true })
  writeFileSync(path, bytes)
  console.log(
    `${path}\n  version  ${version}\n  commit   ${commit}\n  bytes    ${bytes.length}\n  sha256   ${sha256}`,
  )
  if (options.key) {
    signOrRefuse(path, options.key)
    console.log(`  signed   ${basename(path)}.sig`)
  } else console.log('  signed   no: give a key with --key, or hosts will refuse it')
  return 0
}

function signOrRefuse(path: string, key: string): void {
  try {
    sign(path, key, 'civic-orchestrator-release')
  } catch (error) {
    throw new Refusal(`the archive is made but not signed: ${(error as Error).message}`)
  }
}

function optionsOf(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        commit: { type: 'string', default: 'HEAD' },
        out: { type: 'string', default: 'dist' },
        version: { type: 'string' },
        key: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    return { ...values, key: values.key ?? process.env.CIVIC_SIGNING_KEY }
  } catch (error) {
    return (error as Error).message
  }
}
