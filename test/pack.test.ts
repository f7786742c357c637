/** The release archive has the same bytes for the same commit, holds nothing of this machine, and runs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { releaseArchive } from '../scripts/pack/archive.ts'
import { scn01, scratchDir, startReceiver } from './receiver.ts'

describe('a release', () => {
  const work = scratchDir()
  const release = join(work, 'civic-orchestrator-0.0.1')
  let bytes: Buffer

  before(async () => {
    bytes = (await releaseArchive({ commit: 'HEAD', version: '0.0.1' })).bytes
    writeFileSync(join(work, 'archive.tar.gz'), bytes)
    execFileSync('tar', ['-xzf', 'archive.tar.gz'], { cwd: work })
  })
  after(() => rmSync(work, { recursive: true }))

  test('is the same, bit by bit, when it is packed again', async () => {
    const again = await releaseArchive({ commit: 'HEAD', version: '0.0.1' })
    assert.ok(again.bytes.equals(bytes))
    assert.ok(bytes.length <= 2.5 * 1024 * 1024)
  })

  test('has entries in order, of one owner and of the time of the commit', () => {
    const listed = execFileSync('tar', [
      '--utc',
      '--full-time',
      '-tvzf',
      join(work, 'archive.tar.gz'),
    ]).toString()
    const lines = listed.trim().split('\n')
    const names = lines.map((line) => line.split(/ +/).at(-1) as string)
    // The order is that of a walk through directories: the directory `a/` comes before the file `a.b`.
    const walked = (name: string): string => name.replaceAll('/', '\0')
    assert.deepEqual(
      names,
      names.toSorted((a, b) => (walked(a) < walked(b) ? -1 : 1)),
    )
    assert.equal(new Set(lines.map((line) => line.split(/ +/).slice(1, 2).join())).size, 1)
    assert.equal(new Set(lines.map((line) => line.split(/ +/).slice(3, 5).join())).size, 1)
    // The head of gzip (RFC 1952) holds no name and no time.
    assert.equal(bytes.subarray(3, 10).toString('hex'), '00000000000203')
  })

  test('holds what a host needs and neither data nor anything of the machine that made it', () => {
    const files = execFileSync('find', ['.', '-type', 'f', '-printf', '%P\n'], { cwd: release }).toString()
    for (const name of ['server', 'audit', 'backup', 'restore', 'database', 'self-test'])
      for (const end of ['cjs', 'cjs.map']) assert.ok(files.includes(`${name}.${end}\n`), name)
    for (const name of [
      'LICENSE',
      'sbom.cdx.json',
      'schema.sql',
      'deploy/pull',
      'contracts/vs01-1.0.schema.json',
      'contracts/vectors/vs01-1.0.json',
    ])
      assert.ok(files.includes(`${name}\n`), name)
    assert.doesNotMatch(files, /^data\/|node_modules|\.ts$|\.node$|\.sig$/m)
    for (const name of readdirSync(release).filter((file) => /cjs/.test(file))) {
      const text = readFileSync(join(release, name), 'utf8')
      assert.ok(!text.includes(process.cwd()) && !text.includes('civic-pack-'), name)
    }
    execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: release })
  })

  test('holds the pictures that its documents show, and no other', () => {
    const documents = ['README.md', 'deploy/AUDITORS.md'].map((name) =>
      readFileSync(join(release, name), 'utf8'),
    )
    const shown = documents.flatMap((text) =>
      [...text.matchAll(/pictures\/([\w-]+\.png)/g)].map(([, name]) => name),
    )
    assert.ok(shown.length > 0)
    assert.deepEqual(readdirSync(join(release, 'deploy/pictures')).sort(), [...new Set(shown)].sort())
  })

  test('names every package of which there is code in it, with its licence', () => {
    const { components } = JSON.parse(readFileSync(join(release, 'sbom.cdx.json'), 'utf8'))
    const names = components.map(({ name }: { name: string }) => name)
    const bundled = new Set<string>()
    for (const program of ['server', 'audit', 'backup', 'restore']) {
      const { sources } = JSON.parse(readFileSync(join(release, `${program}.cjs.map`), 'utf8'))
      for (const source of sources) {
        const found = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1]
        if (found) bundled.add(found)
      }
    }
    assert.ok(bundled.size > 5)
    for (const name of bundled) assert.ok(names.includes(name), name)
    const licences = readFileSync(join(release, 'LICENSES-BUNDLED.txt'), 'utf8')
    for (const { name, version, hashes, licenses } of components) {
      assert.ok(licences.includes(`${name} ${version} (`), name)
      assert.equal(hashes[0].content.length, 128)
      assert.equal(licenses.length, 1)
    }
  })

  test('runs without any package beside it: stores, and the audit tool finds it in order', async () => {
    const receiver = await startReceiver({}, [process.execPath, join(release, 'server.cjs')])
    assert.equal((await receiver.post(scn01())).status, 201)
    assert.equal(await receiver.stop(), 0)
    execFileSync(process.execPath, [join(release, 'audit.cjs'), 'verify', '--data', receiver.dataDir], {
      stdio: 'ignore',
    })
  })

  test('refuses a version that could name another path', async () => {
    await assert.rejects(releaseArchive({ commit: 'HEAD', version: '../1.0.0' }), /has the form/)
    await assert.rejects(releaseArchive({ commit: '--output=x' }), /git rev-parse failed/)
  })
})

test('every package of the lock file has its integrity, names no registry, and none runs a script at its installation', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { integrity?: string; resolved?: string; hasInstallScript?: boolean }>
  }
  const { allowScripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    allowScripts: Record<string, boolean>
  }
  for (const [path, { integrity, resolved, hasInstallScript }] of Object.entries(packages)) {
    if (path === '') continue
    assert.match(integrity ?? '', /^sha512-/, path)
    assert.equal(resolved, undefined, path)
    if (hasInstallScript)
      assert.equal(allowScripts[path.slice(path.lastIndexOf('node_modules/') + 13)], false, path)
  }
})

test('where root installs packages, none of their scripts runs', () => {
  const texts = execFileSync('git', ['ls-files', 'deploy', '.ci']).toString().trim().split('\n')
  const installs = texts.flatMap(
    (path) => readFileSync(path, 'utf8').match(/npm (?:ci|install)\b[^&`\n]*/g) ?? [],
  )
  assert.ok(installs.length >= 3)
  for (const command of installs) assert.match(command, /--ignore-scripts/)
})
