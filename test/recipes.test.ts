/**
 * Runs every recipe of deploy/AUDITORS.md in four shells on every damaged records file. Each recipe ends with a verdict, and no verdict
 * claims more than is true. The test finds out itself, from the bytes, what is true.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { recordIds } from '../src/records/id.ts'
import { envelope, lines, slug, writeAssociation } from './audit-build.ts'
import { makeKeys, stampFileAt } from './authority.ts'
import { chainIn, fileOf, linesOf, rechained, sha256 } from './disk.ts'
import { vectors } from './fixtures/g1/chain.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'
import { missingTool, paste, recipes, type Said, type Shell, shellBlocks, shells } from './shells.ts'
import { placekey, type Variant, variants, type Whole, wholeDirectory } from './variants.ts'

const options = missingTool === undefined ? { concurrency: 4 } : { skip: `needs ${missingTool}` }
/** A recipe starts a hundred processes. `RECIPES=all` tries every variant; without it only variants that a recipe once missed are tried. */
const seenToFail = /NUL byte in|no head file|cut within|line ends of Windows/
const isAll = process.env.RECIPES === 'all'
const tries = isAll ? /./ : seenToFail
const scratch = scratchDir()
let all: ReadonlyMap<string, Shell> = new Map()
const names = ['bash', 'dash', 'busybox', "a Mac's tools"]
/** The two shells with unusual tools. Without `RECIPES=all`, bash and dash are tried only on a whole file. */
const oddNames = isAll ? names : names.slice(2)

before(() => {
  if (missingTool === undefined) all = shells(scratch)
})

const inOrder = ['snapshot', 'chain', 'head', 'receipt', 'id', 'participant', 'duplicates', 'digest']

let number = 0

async function tried(
  shell: string,
  tamper: Variant['tamper'],
  more: Record<string, string> = {},
  order: readonly string[] = inOrder,
): Promise<{ readonly at: Whole; readonly said: ReadonlyMap<string, Said>; readonly work: string }> {
  const place = join(scratch, String(++number))
  const root = join(place, 'data')
  mkdirSync(root, { recursive: true })
  const at = wholeDirectory(root)
  tamper(at)
  const settings = {
    DATA: root,
    SLUG: slug,
    SEQUENCE: String(at.kept.sequence),
    RECORD_SHA256: at.kept.sha256,
    ID: placekey,
    ...more,
  }
  const work = join(place, 'work')
  return { at, work, said: await paste(all.get(shell) as Shell, order, settings, work) }
}

const fine = /^OK: /

/** Checks that a recipe printed a verdict and that its exit status fits. */
function isVerdict(name: string, { verdict, status, before }: Said): void {
  const expected = fine.test(verdict) ? 0 : verdict.startsWith('NOT OK: ') ? 1 : 2
  assert.notEqual(verdict, '', `${name} ends without a verdict: ${before}`)
  assert.equal(status, expected, `${name}: ${verdict}`)
}

const json = (line: Buffer | undefined): JsonObject => JSON.parse(String(line)) as JsonObject

/** Checks in the bytes what each recipe claims when it says OK. */
const claims: Record<string, (at: Whole, work: string, said: Said) => void> = {
  snapshot: ({ records }, work) =>
    assert.deepEqual(readFileSync(join(work, 'snapshot.json')), readFileSync(records)),
  chain: ({ records }, _work, { verdict }) => {
    const { lines } = chainIn(readFileSync(records))
    assert.ok(lines.length > 0)
    assert.ok(verdict.includes(`${slug}:${lines.length}:${sha256(lines.at(-1) as Buffer)}\n`), verdict)
  },
  head: ({ records, head }) => {
    const { lines } = chainIn(readFileSync(records))
    const speaks = JSON.parse(readFileSync(head, 'utf8')) as { count: number; sha256: string }
    assert.equal(sha256(lines[speaks.count - 1] as Buffer), speaks.sha256)
  },
  receipt: ({ records, kept }) =>
    assert.equal(sha256(rawLines(records)[kept.sequence - 1] as Buffer), kept.sha256),
  id: ({ records, kept }) => {
    const record = json(rawLines(records)[kept.sequence - 1])
    assert.ok(recordIds(record).includes((record.receipt as { id: string }).id))
  },
  participant: ({ records }, _work, { verdict }) => {
    const there = rawLines(records).map(json)
    const mine = there.filter(({ participant_id }) => participant_id === placekey)
    assert.ok(verdict.startsWith(`OK: ${mine.length} of ${there.length} `), verdict)
  },
  duplicates: ({ root }) => {
    const directory = join(root, 'scn01')
    const used = readdirSync(directory).flatMap((name) => {
      const file = join(directory, name, 'records.json')
      return existsSync(file) ? (readFileSync(file, 'utf8').match(/"g1_tx_hash":"0x\w{64}"/g) ?? []) : []
    })
    assert.equal(new Set(used).size, used.length)
  },
  digest: ({ records, kept }, _work, { verdict }) => {
    const record = json(rawLines(records)[kept.sequence - 1])
    assert.ok(verdict.includes(` ${contentDigest(record).slice(2)}\n`))
  },
}

function rawLines(file: string): Buffer[] {
  const lines = readFileSync(file, 'latin1').split('\n').slice(1, -2)
  return lines.map((line) => Buffer.from(line.replace(/,$/, ''), 'latin1'))
}

for (const shell of names) {
  test(`in ${shell}: every recipe calls a whole file whole`, options, async () => {
    const { at, said, work } = await tried(shell, () => {})
    const without = shell === 'bash' || shell === 'dash' ? [] : ['digest']
    for (const [name, each] of said) {
      isVerdict(name, each)
      assert.match(each.verdict, without.includes(name) ? /^CANNOT BE TOLD: there is no b2sum/ : fine, name)
      if (!without.includes(name)) claims[name]?.(at, work, each)
    }
  })
}

for (const shell of oddNames) {
  for (const { name, tamper, told, fitting } of variants.filter(
    ({ name, recipes }) => recipes !== false && tries.test(name),
  )) {
    test(`in ${shell}: ${name}`, options, async () => {
      const { at, said, work } = await tried(shell, tamper)
      const shown = [...said]
        .map(([recipe, { verdict }]) => `${recipe}: ${verdict.split('\n')[0]}`)
        .join('\n')
      for (const [recipe, each] of said) {
        isVerdict(recipe, each)
        try {
          if (fine.test(each.verdict)) claims[recipe]?.(at, work, each)
        } catch (error) {
          assert.fail(`${recipe} says what is not so: ${each.verdict}\n${(error as Error).message}`)
        }
      }
      const vouching = told === 'outside' || fitting ? ['receipt'] : ['snapshot', 'chain', 'head', 'id']
      assert.ok(
        vouching.some((recipe) => !fine.test((said.get(recipe) as Said).verdict)),
        shown,
      )
    })
  }
}

test('every recipe of the page is run here', options, () => {
  assert.deepEqual([...recipes.keys()].sort(), ['settings', 'extrinsic', 'stamp', ...inOrder].sort())
  assert.equal(shellBlocks, recipes.size)
})

for (const shell of oddNames) {
  const there = shell === 'bash' || shell === 'dash'

  test(
    `in ${shell}: a mistyped name is reported, and an earlier file is not used in its place`,
    options,
    async () => {
      const { at, work } = await tried(shell, () => {})
      const mistyped = {
        DATA: at.root,
        SLUG: 'plum-grove-12',
        SEQUENCE: '1',
        RECORD_SHA256: at.kept.sha256,
        ID: placekey,
      }
      for (const order of [
        ['chain', 'head', 'receipt', 'id', 'participant'],
        ['snapshot', 'chain'],
      ]) {
        const said = await paste(all.get(shell) as Shell, order, mistyped, work)
        for (const [name, { verdict }] of said)
          if (name !== 'duplicates') assert.match(verdict, /^CANNOT BE TOLD: /, name)
      }
      const elsewhere = await paste(
        all.get(shell) as Shell,
        ['snapshot', 'duplicates'],
        { ...mistyped, DATA: '/nowhere' },
        work,
      )
      for (const [name, { verdict }] of elsewhere) assert.match(verdict, /^CANNOT BE TOLD: /, name)
    },
  )

  test(`in ${shell}: a record that jq writes in another way is not called altered`, options, async () => {
    const odd = [{ n: 0.00001 }, { del: '\u007f' }, { '\u{1f600}': 1, '\ue000': 2 }]
    const envelopes = odd.map((vs_snapshot) => ({ ...envelope, vs_snapshot: vs_snapshot as JsonObject }))
    const tamper = ({ root, directory }: Whole): void => {
      rmSync(directory, { recursive: true })
      writeAssociation(root, slug, lines(envelopes))
    }
    for (const sequence of odd.keys()) {
      const order = ['snapshot', 'id', 'digest']
      const { said } = await tried(shell, tamper, { SEQUENCE: String(sequence + 1) }, order)
      assert.match(said.get('id')?.verdict ?? '', /^CANNOT BE TOLD: jq /)
      assert.match(said.get('digest')?.verdict ?? '', /^CANNOT BE TOLD: /)
    }
  })

  test(`in ${shell}: a time stamp is checked with openssl alone, as of its own time`, options, async () => {
    const keys = makeKeys(scratch, `keys-${++number}`, '20250101000000Z')
    const { at, work } = await tried(shell, () => {}, {}, ['snapshot', 'chain'])
    const HEADS = join(work, 'heads-1.txt')
    const { out } = await audit('heads', '--data', at.root)
    writeFileSync(HEADS, out)
    const STAMP = stampFileAt(keys, HEADS, 'own', '20240229235959Z')
    const settings = { DATA: at.root, SLUG: slug, HEADS, STAMP, AUTHORITY: keys.root }
    const said = async (more: Record<string, string>, order = ['stamp']): Promise<string> => {
      const results = await paste(all.get(shell) as Shell, order, { ...settings, ...more }, work)
      isVerdict('stamp', results.get('stamp') as Said)
      return results.get('stamp')?.verdict ?? ''
    }
    if (shell === "a Mac's tools")
      return assert.match(await said({}), /^CANNOT BE TOLD: there is no OpenSSL here/)
    assert.match(
      await said({}),
      /^OK: records 1 to \d+ existed at Feb 29 23:59:59 2024 GMT, .*\. 0 records came after/,
    )
    assert.match(
      await said({ AUTHORITY: makeKeys(scratch, `keys-${++number}`).root }),
      /^NOT OK: this is not a stamp/,
    )
    assert.match(await said({ STAMP: HEADS }), /^NOT OK: this is no stamp/)
    assert.match(await said({ STAMP: '/nowhere' }), /^CANNOT BE TOLD: /)
    assert.match(await said({ SLUG: 'elm-court' }), /^CANNOT BE TOLD: /)
    const late = stampFileAt(keys, HEADS, 'late', '20250102000000Z')
    assert.match(await said({ STAMP: late }), /^NOT OK: this is not a stamp/)
    const lines = linesOf(at.records)
    writeFileSync(
      at.records,
      fileOf(
        rechained(lines.map((line) => line.replace('"standing":"participant"', '"standing":"operator"'))),
      ),
    )
    assert.match(
      await said({}, ['snapshot', 'chain', 'stamp']),
      /^NOT OK: record \d+ is not the one of Feb 29/,
    )
    writeFileSync(at.records, fileOf(lines.slice(0, -1)))
    assert.match(await said({}, ['snapshot', 'chain', 'stamp']), /^NOT OK: at Feb 29 .* records were cut off/)
    writeFileSync(HEADS, `${out}\n`)
    assert.match(await said({}), /^NOT OK: this is not a stamp of this heads file/)
  })

  test(`in ${shell}: a payment under two records is found`, options, async () => {
    const twice = variants.find(({ name }) => name === 'a payment named twice') as Variant
    const { said } = await tried(shell, twice.tamper, {}, ['duplicates'])
    const { before: shown, verdict } = said.get('duplicates') as Said
    assert.equal(shown.trim().split('\n').length, 2, shown)
    assert.match(verdict, /^NOT OK: 2 records name a payment/)
  })

  test(
    `in ${shell}: the hash of an extrinsic is that of its bytes, or the recipe says that a tool is missing`,
    options,
    async () => {
      const pasted = async (HEX: string, G1_TX_HASH: string): Promise<string> => {
        const work = join(scratch, String(++number))
        const said = await paste(all.get(shell) as Shell, ['extrinsic'], { HEX, G1_TX_HASH }, work)
        isVerdict('extrinsic', said.get('extrinsic') as Said)
        return said.get('extrinsic')?.verdict ?? ''
      }
      for (const { extrinsic_hex, extrinsic_hash } of vectors.extrinsics.slice(0, 1)) {
        assert.match(
          await pasted(extrinsic_hex, extrinsic_hash),
          there ? fine : /^CANNOT BE TOLD: there is no b2sum/,
        )
        const wrong = await pasted(`${extrinsic_hex}00`, extrinsic_hash)
        assert.match(wrong, there ? /^NOT OK: / : /^CANNOT BE TOLD: /)
        assert.match(await pasted(extrinsic_hex.slice(0, -1), extrinsic_hash), /^CANNOT BE TOLD: /)
      }
      assert.match(await pasted('', '0x'), /^CANNOT BE TOLD: /)
    },
  )
}
