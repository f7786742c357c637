/** The settings of the systemd units in which two units, or a unit and a program, must agree. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isScarce, openFilesShared } from '../src/server/open-files.ts'

const directory = 'deploy/systemd'
const [receiver, backup] = ['civic-orchestrator.service', 'civic-orchestrator-backup.service'].map(
  settingsOf,
) as [Settings, Settings]

/** The values of each setting, in their order. */
type Settings = ReadonlyMap<string, readonly string[]>

function settingsOf(unit: string): Settings {
  const settings = new Map<string, string[]>()
  for (const line of readFileSync(join(directory, unit), 'utf8').split('\n')) {
    const [, name = '', value = ''] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? []
    if (name !== '') settings.set(name, [...(settings.get(name) ?? []), value])
  }
  return settings
}

function environmentOf(unit: Settings): ReadonlyMap<string, string> {
  const lines = unit.get('Environment') ?? []
  return new Map(lines.map((line) => line.split('=', 2) as [string, string]))
}

test('no core dump, which would hold the token, and no more memory than the machine can spare', () => {
  for (const unit of [receiver, backup]) {
    assert.deepEqual(unit.get('LimitCORE'), ['0'])
    const [high, most] = ['MemoryHigh', 'MemoryMax'].map(
      (name) => /^(\d+)M$/.exec(unit.get(name)?.[0] ?? '')?.[1],
    )
    assert.ok(Number(high) > 0 && Number(high) < Number(most), `${high} ${most}`)
  }
})

test('a backup that fails starts the unit that reports it', () => {
  const [report = ''] = backup.get('OnFailure') ?? []
  assert.ok(existsSync(join(directory, report)), report)
})

test('the receiver looks for the note of the backup where the backup leaves it', () => {
  const [state = ''] = backup.get('StateDirectory') ?? []
  const status = environmentOf(receiver).get('BACKUP_STATUS')
  assert.equal(status, `/var/lib/${state}/status.json`)
  assert.match(backup.get('ExecStart')?.[0] ?? '', /--status \$\{STATE_DIRECTORY\}\/status\.json$/)
  assert.deepEqual(backup.get('StateDirectoryMode'), ['0755'])
})

test('LimitNOFILE is so high that no part of the receiver has to limit itself', () => {
  assert.equal(isScarce(openFilesShared(Number(receiver.get('LimitNOFILE')?.[0]))), false)
})
