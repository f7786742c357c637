/** What the database refuses to a receiver that an attacker controls, and to a receiver that makes a mistake. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { NotPrepared, prepare } from '../src/storage/postgres/prepare.ts'
import { as, type Server, withoutServer } from './postgres/cluster.ts'
import { preparedServer, schema } from './postgres/prepared.ts'
import { headAfter, insert, noHead, rowsAfter, type TableRow } from './postgres/rows.ts'

const options = { skip: withoutServer }
let server: Server

before(async () => {
  if (!withoutServer) server = await preparedServer()
})
after(async () => server?.stop())

const receiver = <T>(use: (client: pg.Client) => Promise<T>) => as(server, 'civic_receiver', use)
const refusedWith = (code: string) => (error: { code?: string }) => {
  assert.equal(error.code, code, String(error))
  return true
}
const stateOf = async (slug: string) =>
  (
    await server.sql(
      `SELECT a.count::int, a.sha256, (SELECT count(*)::int FROM civic.record r WHERE r.slug = a.slug) AS records
       FROM civic.association a WHERE slug = $1`,
      [slug],
    )
  )[0]

test('a batch moves the head to its last line', options, async () => {
  const rows = rowsAfter(noHead, ['a', 'b', 'c'], { slug: 'whole' })
  await receiver((client) => insert(client, rows))
  const more = rowsAfter(headAfter(rows), ['d'], { slug: 'whole' })
  await receiver((client) => insert(client, more))
  assert.deepEqual(await stateOf('whole'), { ...headAfter(more), records: 4 })
})

test('one statement may append to several associations', options, async () => {
  const [one, two] = ['several-1', 'several-2'].map((slug) => rowsAfter(noHead, ['a', 'b'], { slug })) as [
    TableRow[],
    TableRow[],
  ]
  await receiver((client) => insert(client, [one[0], two[0], two[1], one[1]] as TableRow[]))
  assert.deepEqual(await stateOf('several-1'), { ...headAfter(one), records: 2 })
  assert.deepEqual(await stateOf('several-2'), { ...headAfter(two), records: 2 })
})

test('a record that does not continue the chain is refused, and nothing of it stays', options, async () => {
  const first = rowsAfter(noHead, ['1', '2'], { slug: 'chain' })
  await receiver((client) => insert(client, first))
  const head = headAfter(first)
  const next = rowsAfter(head, ['3', '4', '5'], { slug: 'chain' }) as [TableRow, TableRow, TableRow]
  const altered = Buffer.from(next[0].line)
  altered[20] = (altered[20] as number) ^ 1
  const split = Buffer.from(next[0].line)
  split[20] = 10
  const attempts: [string, TableRow[]][] = [
    ['CV001', rowsAfter({ count: 7, sha256: head.sha256 }, ['gap'], { slug: 'chain' })],
    ['CV001', rowsAfter({ count: 2, sha256: 'a'.repeat(64) }, ['fork'], { slug: 'chain' })],
    ['CV005', [next[0], next[2]]],
    ['CV005', [{ ...next[0], line: altered }, next[1]]],
    ['CV005', [{ ...next[0], line: split }]],
    ['CV005', [{ ...next[0], id: Buffer.alloc(32) }]],
    ['CV005', [{ ...next[0], id: next[0].id.subarray(1) }]],
    ['CV005', [{ ...next[0], line: Buffer.from('{}') }]],
    ['CV005', [{ ...next[0], line: Buffer.alloc(0) }]],
    ['CV005', [{ ...(rowsAfter(noHead, ['x'])[0] as TableRow), slug: '../../etc' }]],
    ['23505', rowsAfter({ count: 1, sha256: head.sha256 }, ['rewritten'], { slug: 'chain' })],
    ['23505', [{ ...next[0], sequence: 1 }]],
  ]
  for (const [code, rows] of attempts) {
    await assert.rejects(
      receiver((client) => insert(client, rows)),
      refusedWith(code),
    )
    assert.deepEqual(await stateOf('chain'), { ...head, records: 2 })
  }
  const holes = { ...next[0], id: null, line: null } as unknown as TableRow
  await assert.rejects(
    receiver((client) => insert(client, [holes])),
    refusedWith('CV005'),
  )
})

test('a duplicate fails its batch by the constraint of the id', options, async () => {
  const rows = rowsAfter(noHead, ['1'], { slug: 'twice' })
  await receiver((client) => insert(client, rows))
  const again = rowsAfter(headAfter(rows), ['2', '1'], { slug: 'twice' })
  await assert.rejects(
    receiver((client) => insert(client, again)),
    (error: { code?: string; constraint?: string }) => {
      assert.deepEqual([error.code, error.constraint], ['23505', 'record_id'])
      return true
    },
  )
  assert.deepEqual(await stateOf('twice'), { ...headAfter(rows), records: 1 })
})

test('the receiver may do nothing else', options, async () => {
  const rows = rowsAfter(noHead, ['1', '2'], { slug: 'rights' })
  await receiver((client) => insert(client, rows))
  const forbidden = [
    `UPDATE civic.association SET count = 0`,
    `UPDATE civic.association SET count = 7, sha256 = repeat('a', 64)`,
    `INSERT INTO civic.association VALUES ('scn01', 'x', 0, '', '')`,
    `DELETE FROM civic.association`,
    `SELECT * FROM civic.association FOR UPDATE`,
    `UPDATE civic.record SET line = ''`,
    `DELETE FROM civic.record`,
    `TRUNCATE civic.record`,
    `INSERT INTO civic.record SELECT * FROM civic.record ON CONFLICT (addon, slug, sequence) DO UPDATE SET line = ''`,
    `DROP TABLE civic.record`,
    `ALTER TABLE civic.record DISABLE TRIGGER append`,
    `ALTER TABLE civic.record DISABLE TRIGGER ALL`,
    `SET session_replication_role = replica`,
    `CREATE OR REPLACE FUNCTION civic.append() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
    `SELECT civic.move_head('scn01', 'rights', 3, 3, repeat('a', 64), repeat('a', 64), '', '', true)`,
    `COPY civic.record TO PROGRAM 'cat'`,
    `COPY civic.record TO '/tmp/civic-copy'`,
    `SET ROLE civic_owner`,
    `SET ROLE postgres`,
    `SET SESSION AUTHORIZATION postgres`,
    `CREATE TEMPORARY TABLE record (addon text)`,
    `CREATE SCHEMA own`,
    `CREATE TABLE public.own (a int)`,
    `UPDATE civic.state SET importing = true`,
    `UPDATE civic.state SET version = 2`,
    `DELETE FROM civic.latest`,
    `TRUNCATE civic.latest`,
    `UPDATE civic.latest SET participant_id = 'x'`,
    `UPDATE civic.latest SET changed = '3'`,
    `ALTER ROLE civic_receiver SUPERUSER`,
    `ALTER ROLE civic_receiver SET log_parameter_max_length = -1`,
    `ALTER SYSTEM SET fsync = off`,
    `CREATE RULE r AS ON INSERT TO civic.record DO INSTEAD NOTHING`,
    `CREATE TRIGGER own BEFORE INSERT ON civic.record EXECUTE FUNCTION civic.append()`,
  ]
  for (const statement of forbidden) {
    await assert.rejects(
      receiver((client) => client.query(statement)),
      refusedWith('42501'),
      statement,
    )
  }
  assert.deepEqual(await stateOf('rights'), { ...headAfter(rows), records: 2 })
  // PostgreSQL answers a grant of a right that the role does not have with a warning instead of an error, and grants nothing.
  await receiver((client) => client.query('GRANT DELETE ON civic.record TO PUBLIC'))
  assert.deepEqual(
    await server.sql(`SELECT has_table_privilege('public', 'civic.record', 'DELETE') AS may`),
    [{ may: false }],
  )
})

type CopyIn = { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void }

/** Copies rows in the text format into a table. A query of the library answers every COPY with an error. */
function copyInto(client: pg.Client, table: string, rows: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const copy = {
      submit: (connection: pg.Connection) => connection.query(`COPY ${table} FROM STDIN`),
      handleCopyInResponse(connection: CopyIn) {
        connection.sendCopyFromChunk(Buffer.from(rows.map((row) => `${row}\n`).join('')))
        connection.endCopyFrom()
      },
      handleError: reject,
      handleCommandComplete() {},
      handleReadyForQuery: () => resolve(),
    }
    client.query(copy)
  })
}

test('COPY passes the same trigger', options, async () => {
  const rows = rowsAfter(noHead, ['1', '2'], { slug: 'copied' })
  const [first, second] = rows.map(({ addon, slug, sequence, id, line }) =>
    [addon, slug, sequence, ...[id, line].map((bytes) => `\\\\x${bytes.toString('hex')}`)].join('\t'),
  ) as [string, string]
  await receiver(async (client) => {
    const attempts: [string, readonly string[]][] = [
      ['CV005', [first.replace(/[^\t]*$/, '\\\\x7b7d')]],
      ['CV005', [second, first]],
      ['CV001', [second]],
    ]
    for (const [code, lines] of attempts)
      await assert.rejects(copyInto(client, 'civic.record', lines), refusedWith(code))
    assert.equal(await stateOf('copied'), undefined)
    await copyInto(client, 'civic.record', [first, second])
  })
  assert.deepEqual(await stateOf('copied'), { ...headAfter(rows), records: 2 })
})

test(
  'settings under which a commit is not on disk twice are refused by each statement',
  options,
  async () => {
    for (const level of ['off', 'local', 'remote_write']) {
      await receiver(async (client) => {
        await client.query(`SET synchronous_commit = ${level}`)
        await assert.rejects(
          insert(client, rowsAfter(noHead, ['x'], { slug: 'level' })),
          refusedWith('CV004'),
        )
        await assert.rejects(
          client.query(
            `INSERT INTO civic.latest (addon, slug, participant_id, body) VALUES ('vs01', 'a', 'b', '{}')`,
          ),
          refusedWith('CV004'),
        )
        await client.query('RESET synchronous_commit')
        await assert.rejects(
          client.query(
            `INSERT INTO civic.latest (addon, slug, participant_id, body)
             SELECT 'vs01', 'a', 'b', set_config('synchronous_commit', '${level}', false)::bytea`,
          ),
          refusedWith('CV004'),
        )
        const [{ id, sequence, line }] = rowsAfter(noHead, ['x'], { slug: 'level' }) as [TableRow]
        await assert.rejects(
          client.query(
            `INSERT INTO civic.record (addon, slug, sequence, id, line)
             SELECT 'scn01', 'level', $1, $2, $3 WHERE set_config('synchronous_commit', '${level}', false) <> ''`,
            [sequence, id, line],
          ),
          refusedWith('CV004'),
        )
      })
    }
    await server.sql('ALTER SYSTEM SET full_page_writes = off')
    await server.sql('SELECT pg_reload_conf()')
    try {
      await receiver(async (client) => {
        await assert.rejects(
          insert(client, rowsAfter(noHead, ['x'], { slug: 'level' })),
          refusedWith('CV004'),
        )
      })
    } finally {
      await server.sql('ALTER SYSTEM RESET full_page_writes')
      await server.sql('SELECT pg_reload_conf()')
    }
  },
)

test(
  'received_at never runs backwards, and a clock that is ahead does not move that of other receivers',
  options,
  async () => {
    const at = (ms: number) => ({ slug: 'clock', receivedAt: new Date(Date.now() + ms).toISOString() })
    const first = rowsAfter(noHead, ['1'], at(0))
    await receiver((client) => insert(client, first))
    for (const ms of [-60_000, 10_000]) {
      await assert.rejects(
        receiver((client) => insert(client, rowsAfter(headAfter(first), ['2'], at(ms)))),
        refusedWith('CV003'),
      )
    }
    await receiver((client) => insert(client, rowsAfter(headAfter(first), ['2'], at(2_000))))
  },
)

test('a setting that changes what a backslash means changes no rule', options, async () => {
  const [row] = rowsAfter(noHead, ['1'], { slug: 'backslash' }) as [TableRow]
  const split = Buffer.from(row.line)
  split[20] = 10
  await receiver(async (client) => {
    await client.query('SET standard_conforming_strings = off')
    await assert.rejects(insert(client, [{ ...row, line: split }]), refusedWith('CV005'))
    const letters = rowsAfter(noHead, ['1'], { slug: 'backslash', receivedAt: 'dddd-dd-ddTdd:dd:dd.dddZ' })
    await assert.rejects(insert(client, letters), refusedWith('CV005'))
    await insert(client, [row])
  })
})

test('a transaction older than the tables stores nothing, with whatever clock', options, async () => {
  await server.sql('CREATE DATABASE older', [], 'postgres')
  await as(
    server,
    'civic_receiver',
    async (client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await client.query('SELECT count(*) FROM pg_class')
      await server.asOwner((owner) => prepare(owner, { schema, role: 'civic_receiver' }), 'older')
      const late = rowsAfter(noHead, ['1'], { receivedAt: '2999-01-01T00:00:00.000Z' })
      await assert.rejects(insert(client, late), refusedWith('22004'))
    },
    'older',
  )
})

test('the last line altered by a superuser refuses the next append', options, async () => {
  const rows = rowsAfter(noHead, ['1', '2'], { slug: 'altered' })
  await receiver((client) => insert(client, rows))
  await server.sql(
    `UPDATE civic.record SET line = overlay(line PLACING 'X'::bytea FROM 30) WHERE slug = 'altered' AND sequence = 2`,
  )
  await assert.rejects(
    receiver((client) => insert(client, rowsAfter(headAfter(rows), ['3'], { slug: 'altered' }))),
    refusedWith('CV002'),
  )
})

test('of two writers at one place the second stores nothing, whichever guard it meets', options, async () => {
  const first = rowsAfter(noHead, ['1'], { slug: 'race' })
  await receiver((client) => insert(client, first))
  const [mine, yours] = ['mine', 'yours'].map((text) =>
    rowsAfter(headAfter(first), [text], { slug: 'race' }),
  ) as [TableRow[], TableRow[]]
  await receiver(async (one) => {
    await receiver(async (two) => {
      await one.query('BEGIN')
      await insert(one, mine)
      const lost = assert.rejects(insert(two, yours), (error: { code?: string; constraint?: string }) => {
        assert.ok(error.code === 'CV001' || error.constraint === 'record_place', String(error))
        return true
      })
      await one.query('COMMIT')
      await lost
    })
  })
  assert.deepEqual(await stateOf('race'), { ...headAfter(mine), records: 2 })
})

test('a text with \\u0000 in it is stored like any other', options, async () => {
  await receiver((client) => insert(client, rowsAfter(noHead, ['a\u0000b €'], { slug: 'zero' })))
})

test('nothing that was stored or refused is in the log of the server', options, async () => {
  await server.sql(`ALTER SYSTEM SET log_min_duration_statement = 0`)
  await server.sql('SELECT pg_reload_conf()')
  try {
    const secret = 'a very particular narrative'
    const rows = rowsAfter(noHead, [secret], { slug: 'logged' }) as [TableRow]
    await receiver((client) => insert(client, rows))
    await assert.rejects(receiver((client) => insert(client, rows)))
    await assert.rejects(
      receiver((client) => insert(client, [{ ...rows[0], id: Buffer.alloc(32), sequence: 2 }])),
    )
    const latest = `INSERT INTO civic.latest (addon, slug, participant_id, body) VALUES ($1, $2, $3, $4)`
    const values = ['vs01', 'logged', 'SASE1-22c-at-5sb-8hm-54v', Buffer.from(secret)]
    await receiver((client) => client.query(`${latest} ON CONFLICT DO NOTHING`, values))
    await assert.rejects(
      receiver((client) =>
        client.query(latest, ['vs01', '..', 'SASE1-22c-at-5sb-8hm-54v', Buffer.from(secret)]),
      ),
    )
    assert.doesNotMatch(server.log, new RegExp(`${secret}|${Buffer.from(secret).toString('hex')}|22c-at-5sb`))
    assert.match(server.log, /INSERT INTO civic.record/)
  } finally {
    await server.sql(`ALTER SYSTEM RESET log_min_duration_statement`)
    await server.sql('SELECT pg_reload_conf()')
  }
})

test(
  'prepare run again keeps what is there, and gives back a right that was taken away',
  options,
  async () => {
    const count = async () => (await server.sql('SELECT count(*)::int AS count FROM civic.record'))[0]?.count
    const before = await count()
    await server.sql('REVOKE INSERT ON civic.record, civic.latest FROM civic_receiver')
    await assert.rejects(
      receiver((client) => insert(client, rowsAfter(noHead, ['1'], { slug: 'paused' }))),
      refusedWith('42501'),
    )
    assert.equal(await server.asOwner((owner) => prepare(owner, { schema, role: 'civic_receiver' })), 'kept')
    await receiver((client) => insert(client, rowsAfter(noHead, ['1'], { slug: 'paused' })))
    assert.equal(await count(), (before as number) + 1)
  },
)

test(
  'prepare refuses a superuser as receiver, a role that is not there, another version and another encoding',
  options,
  async () => {
    const attempt = (role: string, database?: string) =>
      assert.rejects(
        server.asOwner((owner) => prepare(owner, { schema, role }), database),
        NotPrepared,
      )
    await attempt('postgres')
    await attempt('nobody')
    await server.sql('UPDATE civic.state SET version = 2')
    await attempt('civic_receiver')
    await server.sql('UPDATE civic.state SET version = 1')
    await server.sql(`CREATE DATABASE ascii ENCODING SQL_ASCII TEMPLATE template0`, [], 'postgres')
    await attempt('civic_receiver', 'ascii')
  },
)
