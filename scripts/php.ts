/**
 * `npm run test:php`: runs the tests of the PHP client on the PHP of Debian 13 (8.4), if this machine has another version. debootstrap puts it into a
 * directory that is kept. Nothing is installed, and the program runs with the libraries of that directory.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { debianMirror } from '../test/deploy/machine.ts'

const usage = `Usage: npm run test:php -- [--file TEST] [--php PROGRAM]

Runs the tests of the PHP client on the PHP of Debian 13.
  --file TEST    only this test file; may be repeated
  --php PROGRAM  on this PHP instead
  --help         this text

Exit code: 0 all passed, 1 a test failed, 2 that PHP could not be had (it needs root and debootstrap).`

const { values } = parseArgs({
  options: {
    file: { type: 'string', multiple: true },
    php: { type: 'string' },
    help: { type: 'boolean' },
  },
})

process.exitCode = values.help ? help() : run()

function help(): number {
  console.log(usage)
  return 0
}

function run(): number {
  const php = values.php ?? phpOfDebian()
  if (!php) {
    console.error('The PHP of Debian 13 could not be had: it needs root and debootstrap')
    return 2
  }
  // Without curl every test would be skipped, and none would fail.
  const script = 'if (!extension_loaded("curl")) exit(1); echo PHP_VERSION;'
  const tried = spawnSync(php, ['-r', script], { encoding: 'utf8' })
  if (tried.status !== 0) {
    console.error(`This PHP does not run, or has no curl: ${php}\n${tried.stdout}${tried.stderr}`)
    return 2
  }
  console.log(`PHP ${tried.stdout}`)
  const all = readdirSync('test').filter((name) => /^hubzilla-.*\.test\.ts$/.test(name))
  const files = values.file ?? all.map((name) => join('test', name))
  const args = ['--import', 'tsx', '--test', '--test-concurrency=2', '--test-timeout=240000', ...files]
  return spawnSync(process.execPath, args, { env: { ...process.env, CIVIC_PHP: php }, stdio: 'inherit' })
    .status === 0
    ? 0
    : 1
}

/** Makes a program that runs this PHP with its own libraries and with the extensions that a Hubzilla has. */
function phpOfDebian(): string | undefined {
  const tree = join(tmpdir(), 'civic-debian-13-php')
  if (!existsSync(join(tree, 'usr/bin')) && !makeTree(tree)) return undefined
  const lib = join(tree, 'usr/lib')
  const extensions = one(join(lib, 'php'), /^2\d+$/)
  const libraries = one(lib, /-linux-gnu$/)
  const loader = one(libraries, /^ld-linux.*\.so\.\d$/)
  // The link `php` in the same directory leads out of the tree, to the PHP of this machine.
  const binary = one(join(tree, 'usr/bin'), /^php\d/)
  const options = ['curl', 'posix', 'ctype', 'tokenizer'].map((name) => `-d extension=${name}`).join(' ')
  const program = join(mkdtempSync(join(tmpdir(), 'civic-php-')), 'php')
  const command = `${loader} --library-path ${libraries} ${binary} -n -d extension_dir=${extensions} ${options}`
  writeFileSync(program, `#!/bin/sh\nexec ${command} "$@"\n`)
  // A test runs the program as another user.
  for (const path of [program, join(program, '..')]) chmodSync(path, 0o755)
  return program
}

/** The only file of a directory whose name matches, because names depend on the kind of machine and on the version. */
function one(directory: string, name: RegExp): string {
  const found = readdirSync(directory).find((each) => name.test(each))
  if (!found) throw new Error(`${directory} has not what belongs there`)
  return join(directory, found)
}

function makeTree(tree: string): boolean {
  const unfinished = `${tree}.unfinished`
  rmSync(unfinished, { recursive: true, force: true })
  const packages = '--include=php-cli,php-curl'
  const made = spawnSync(
    'debootstrap',
    ['--variant=minbase', packages, 'trixie', unfinished, debianMirror()],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  if (made.status !== 0) return false
  renameSync(unfinished, tree)
  return true
}
