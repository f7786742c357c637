/** GET /metrics: the values for Prometheus, that no value names a person, and that every alert uses a metric that exists. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runBackup } from '../src/backup/cli.ts'
import { markDirectory } from '../src/storage/files/mark.ts'
import { type Receiver, scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { said } from './said.ts'
import { answerAt, head, problemIn, request, wire } from './wire.ts'

type Series = Map<string, number>

async function metricsOf({ url }: Receiver): Promise<{ text: string; series: Series }> {
  const response = await fetch(`${url}/metrics`)
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const series = lines.map(
    (line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))] as const,
  )
  return { text, series: new Map(series) }
}

describe('metrics', () => {
  test('are not there unless METRICS=1', async () => {
    const receiver = await startReceiver()
    assert.equal((await fetch(`${receiver.url}/metrics`)).status, 404)
    await receiver.stop()
  })

  test('count requests that the server refuses before the app sees them', async () => {
    const receiver = await startReceiver({ METRICS: '1' })
    const slow = await wire(receiver.url)
    slow.send('POST /receive HTTP/1.1\r\n')
    const refused = [
      await answerAt(receiver.url, request(vs01(), { expect: 'a-miracle' })),
      await answerAt(receiver.url, head({ filler: 'x'.repeat(17_000) })),
      await answerAt(receiver.url, 'NONSENSE\r\n\r\n'),
      await slow.answer({ withinMs: 30_000 }),
    ]
    await slow.closed()
    assert.deepEqual(
      refused.map(({ status }) => status),
      [417, 431, 400, 408],
    )
    const { series } = await metricsOf(receiver)
    for (const answer of refused) {
      const name = `civic_requests_total{addon="none",status="${answer.status}",outcome="${problemIn(answer)}"}`
      assert.equal(series.get(name), 1, name)
    }
    await receiver.stop()
  })

  test('count the outcome of every post, by addon and kind of refusal', async () => {
    const receiver = await startReceiver({ METRICS: '1' })
    const envelope = scn01()
    await receiver.post(envelope)
    await receiver.post(envelope)
    await receiver.post(vs01())
    await receiver.post(vs01())
    await receiver.post(vs01({ addon: 'x01' }))
    await receiver.post('{')
    await receiver.post(vs01(), { 'x-node-token': 'wrong' })
    const { series } = await metricsOf(receiver)
    const expected = {
      'civic_requests_total{addon="scn01",status="201",outcome="appended"}': 1,
      'civic_requests_total{addon="scn01",status="200",outcome="duplicate"}': 1,
      'civic_requests_total{addon="vs01",status="201",outcome="created"}': 1,
      'civic_requests_total{addon="vs01",status="200",outcome="replaced"}': 1,
      'civic_requests_total{addon="none",status="422",outcome="bad-envelope"}': 1,
      'civic_requests_total{addon="none",status="400",outcome="bad-json"}': 1,
      'civic_requests_total{addon="none",status="401",outcome="wrong-token"}': 1,
      'civic_request_seconds_count{addon="scn01"}': 2,
      civic_batch_records_sum: 1,
      'civic_sync_seconds_count{rule="overwrite"}': 2,
      civic_refused_associations: 0,
      civic_locked_associations: 0,
      civic_reading_associations: 0,
      'civic_ready{reason="none"}': 1,
      'civic_requests_total{addon="vs01",status="507",outcome="disk-full"}': 0,
      civic_log_lost_lines_total: 0,
      civic_min_free_bytes: 0,
    }
    for (const [name, value] of Object.entries(expected)) assert.equal(series.get(name), value, name)
    assert.ok((series.get('civic_sync_seconds_count{rule="append"}') ?? 0) >= 1)
    assert.ok((series.get('civic_lock_wait_seconds_count') ?? 0) >= 1)
    assert.ok((series.get('civic_free_bytes') ?? 0) > 0)
    assert.ok((series.get('civic_free_inodes') ?? 1) > 0)
    assert.equal(series.has('civic_backup_last_exit_status'), false, 'nobody says where it is noted')
    assert.ok((series.get('civic_body_bytes_total') ?? 0) > 1_000)
    await receiver.stop()
  })

  test('name no association and no person, however a sender tries', async () => {
    const receiver = await startReceiver({ METRICS: '1' })
    const unmistakable = 'zz-unmistakable'
    const participant = 'SASE77-zzw-at-5sb-8hm-54v'
    await receiver.post(scn01({ association_slug: unmistakable, participant_id: participant }))
    await receiver.post(vs01({ association_slug: unmistakable, participant_id: participant }))
    await receiver.post(vs01({ addon: unmistakable }))
    await fetch(`${receiver.url}/${unmistakable}`)
    const { text } = await metricsOf(receiver)
    assert.ok(!text.includes('unmistakable') && !text.includes('zzw'), text)
    await receiver.stop()
  })

  test('tell how many associations are refused as damaged', async () => {
    const receiver = await startReceiver({ METRICS: '1' })
    for (const narrative of ['one', 'two']) await receiver.post(scn01({ narrative }))
    const records = join(receiver.dataDir, 'scn01/heron-ridge/records.json')
    writeFileSync(records, readFileSync(records, 'utf8').replace('"one"', '"eno"'))
    assert.equal((await receiver.post(scn01({ narrative: 'three' }))).status, 503)
    const { series } = await metricsOf(receiver)
    assert.equal(series.get('civic_refused_associations'), 1)
    assert.equal(series.get('civic_requests_total{addon="scn01",status="503",outcome="records-refused"}'), 1)
    await receiver.stop()
  })

  test('have no value for facts that are not known', async () => {
    const root = join(scratchDir(), 'data')
    await markDirectory(root)
    const receiver = await startReceiver({ METRICS: '1', DATA_DIR: root })
    renameSync(root, `${root}-elsewhere`)
    for (const isEmptyMountpoint of [false, true]) {
      if (isEmptyMountpoint) mkdirSync(root)
      const { series } = await metricsOf(receiver)
      assert.equal(series.get('civic_ready{reason="data-directory"}'), 0)
      assert.equal(series.has('civic_ready{reason="none"}'), false)
      for (const name of ['civic_free_bytes', 'civic_free_inodes', 'civic_sender_clock_seconds'])
        assert.equal(series.has(name), false, name)
    }
    await receiver.stop()
  })

  test('tell how the last backup ended, and when one was made', async () => {
    const [status, backups] = [join(scratchDir(), 'status.json'), join(scratchDir(), 'backups')]
    const receiver = await startReceiver({ METRICS: '1', BACKUP_STATUS: status })
    const told = async (): Promise<(number | undefined)[]> => {
      const { series } = await metricsOf(receiver)
      const names = ['exit_status', 'end_timestamp_seconds', 'made_timestamp_seconds']
      return names.map((name) => series.get(`civic_backup_last_${name}`))
    }
    const run = (...more: string[]) =>
      said(runBackup, backups, '--unsigned', '--data', receiver.dataDir, '--status', status, ...more)
    assert.deepEqual(await told(), [undefined, undefined, 0])
    await receiver.post(scn01())
    const began = Date.now() / 1000
    assert.equal((await run()).exit, 0)
    const [exit, end, made] = await told()
    assert.equal(exit, 0)
    assert.ok(end === made && Number(end) >= began && Number(end) <= Date.now() / 1000, `${end}`)
    assert.equal(statSync(status).mode & 0o777, 0o644)
    // The file of the backup does not exist yet.
    assert.equal(
      (await said(runBackup, backups, '--unsigned', '--data', '/nowhere', '--status', status)).exit,
      2,
    )
    const [failed, later, stays] = await told()
    assert.deepEqual([failed, stays], [2, made])
    assert.ok(Number(later) >= Number(end))
    await receiver.stop()
  })

  test('tell how far the clock is from that of the nearest sender', async () => {
    const receiver = await startReceiver({ METRICS: '1' })
    const submitted = (agoSeconds: number) =>
      receiver.post(vs01({ submitted_at: new Date(Date.now() - agoSeconds * 1000).toISOString() }))
    const clock = async () =>
      (await metricsOf(receiver)).series.get('civic_sender_clock_seconds') ?? Number.NaN
    // Two posts come late out of a spool, and the clock of one sender is an hour ahead.
    for (const ago of [90_000, 7_200, -3_600]) await submitted(ago)
    assert.equal(Math.round((await clock()) / 60), -60)
    await submitted(-1_200)
    assert.equal(Math.round((await clock()) / 60), -20)
    // Only the last twenty posts count.
    for (let n = 0; n < 20; n++) await submitted(7_200)
    assert.equal(Math.round((await clock()) / 60), 120)
    await receiver.stop()
  })

  test('hold every series that the example alerts ask for', async () => {
    const receiver = await startReceiver({ METRICS: '1', BACKUP_STATUS: join(scratchDir(), 'status') })
    await receiver.post(scn01())
    const { text } = await metricsOf(receiver)
    const asked =
      readFileSync('deploy/prometheus/alerts.yml', 'utf8').match(/\b(?:civic|process|nodejs)_[a-z_]+/g) ?? []
    assert.ok(asked.length > 5)
    for (const name of new Set(asked)) assert.ok(text.includes(`${name}{`) || text.includes(`${name} `), name)
    await receiver.stop()
  })
})
