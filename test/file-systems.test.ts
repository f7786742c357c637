/** The data directory on other kinds of file systems: after a kill every acknowledged record is there, and nothing is left over. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { keptOpenPattern } from '../src/records/layout.ts'
import { recordsPath } from './disk.ts'
import { missingHere } from './needs.ts'
import { scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { audit } from './said.ts'

type FileSystemCase = {
  readonly name: string
  readonly needs: readonly string[]
  /** The command that mounts it. `$0` is the mount point, `$1` a directory for its files. */
  readonly mount: string
}

const kinds: readonly FileSystemCase[] = [
  {
    name: 'overlayfs',
    needs: ['mount'],
    mount:
      'mkdir "$1/l" "$1/u" "$1/w"; mount -t overlay civic-test -o "lowerdir=$1/l,upperdir=$1/u,workdir=$1/w" "$0"',
  },
  {
    name: 'FUSE',
    needs: ['fuse2fs', 'mkfs.ext4'],
    mount: 'truncate -s 64M "$1/image"; mkfs.ext4 -q -F "$1/image"; fuse2fs "$1/image" "$0" -o rw',
  },
  {
    name: 'btrfs',
    needs: ['mkfs.btrfs', 'mount'],
    mount: 'truncate -s 128M "$1/image"; mkfs.btrfs -q -f "$1/image"; mount -o loop "$1/image" "$0"',
  },
]

for (const { name, needs, mount } of kinds) {
  test(`on ${name} every acknowledged record is there after a kill`, {
    skip: missingHere(needs) ?? false,
  }, async () => {
    const place = join(scratchDir(), 'mounted')
    mkdirSync(place)
    execFileSync('sh', ['-ec', mount, place, scratchDir()])
    try {
      const root = join(place, 'data')
      const receiver = await startReceiver({ DATA_DIR: root })
      const narratives = Array.from({ length: 50 }, (_, n) => `narrative ${n}`)
      const posts = narratives.map((narrative) => receiver.post(scn01({ narrative })))
      for (const { status } of await Promise.all([...posts, receiver.post(vs01())])) assert.equal(status, 201)
      await receiver.stop('SIGKILL')

      const again = await startReceiver({ DATA_DIR: root })
      for (const narrative of narratives) assert.equal((await again.post(scn01({ narrative }))).status, 200)
      assert.equal((await again.post(vs01())).status, 200)
      assert.equal((await fetch(`${again.url}/ready`)).status, 200)
      await again.stop()
      const verified = await audit('verify', '--data', root)
      assert.equal(verified.exit, 0, JSON.stringify(verified))
      const names = readdirSync(join(recordsPath(root), '..')).filter((name) => !keptOpenPattern.test(name))
      assert.deepEqual(names.sort(), ['.records.head.json', 'records.json'])
    } finally {
      execFileSync('umount', [place])
    }
  })
}
