/** Biome refuses every import that a room may not make. It lints files with such imports in a copy of the tree that has only the rooms. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { scratchDir } from './receiver.ts'

const biome = resolve('node_modules/@biomejs/biome/bin/biome')
const tracked = execFileSync('git', ['ls-files', 'contracts/*.ts', 'src/*/*.ts', 'src/*/*.tsx'])
const rooms = [...new Set(String(tracked).trim().split('\n').map(dirname))]

/** The findings of Biome in a file with this text in each of these rooms, as lines that begin with the rule and the file. */
function lint(rooms: readonly string[], text: string): string[] {
  const root = scratchDir()
  copyFileSync('biome.json', join(root, 'biome.json'))
  for (const room of rooms) {
    mkdirSync(join(root, room), { recursive: true })
    writeFileSync(join(root, room, 'tried.ts'), text)
  }
  const args = ['lint', '--vcs-enabled=false', '--reporter=github', '--max-diagnostics=none', '.']
  const { stdout } = spawnSync(process.execPath, [biome, ...args], { cwd: root, encoding: 'utf8' })
  return stdout.split('\n').filter((line) => /noRestricted/.test(line))
}

test('a room may import only what its sentence in biome.json names', () => {
  assert.ok(rooms.length > 12, rooms.join(' '))
  const found = lint(rooms, "export * from '../../../../database/import.ts'\nexport * from './tried.ts'\n")
  for (const room of rooms) {
    const [line = '', ...others] = found.filter((each) => each.includes(`/${room}/tried.ts,line=1,`))
    assert.equal(others.length, 0, room)
    assert.match(line, /::(?!This room has no wall)[\w .,:;/'-]+\.$/, room)
  }
  assert.equal(found.length, rooms.length)
})

test('a new room imports nothing before biome.json names it', () => {
  assert.match(lint(['src/new-room'], "export * from '../log.ts'\n").join(), /no wall yet/)
})

test('code that also runs in a browser uses nothing of Node', () => {
  const found = lint(rooms, 'export const of = Buffer.from\n').join()
  for (const room of ['src/envelope', 'src/records', 'src/audit/page', 'src/audit/page/views'])
    assert.ok(found.includes(`/${room}/tried.ts`), room)
})
