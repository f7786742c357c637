/** `verify --stamps`: what stamps of heads prove about records, with authorities that the tests make. */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { association, build, type VerifyMessage, verify } from './audit-build.ts'
import { type Keys, makeKeys, stampFile, stampFileAt, withoutAuthority } from './authority.ts'
import { fileOf, linesOf, rechained } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'

const options = withoutAuthority === undefined ? {} : { skip: `needs ${withoutAuthority}` }
const scratch = scratchDir()
let [own, other, past]: (Keys | undefined)[] = []

before(() => {
  if (withoutAuthority !== undefined) return
  own = makeKeys(scratch, 'own')
  other = makeKeys(scratch, 'other')
  past = makeKeys(scratch, 'past', '20250101000000Z')
})

type StampedData = { readonly data: string; readonly stamps: string }

function place(records: number): StampedData {
  const root = scratchDir()
  const [data, stamps] = [join(root, 'data'), join(root, 'stamps')]
  for (const directory of [data, stamps]) mkdirSync(directory)
  build(data, records)
  return { data, stamps }
}

/** Writes the present heads into the directory of stamps, and gives the path. */
async function headsAt({ data, stamps }: StampedData, time: string): Promise<string> {
  const { out } = await audit('heads', '--data', data)
  const file = join(stamps, `heads-${time}.txt`)
  writeFileSync(file, out)
  return file
}

const [first, second] = ['20260101T000000000Z', '20260201T000000000Z']

/** A data directory and its stamps, with a stamp of the authority that the auditor trusts, and the path of the stamp. */
async function stampedPlace(records: number): Promise<{ at: StampedData; stamp: string }> {
  const at = place(records)
  return { at, stamp: await stampFile(own as Keys, await headsAt(at, first), 'own') }
}

const grow = ({ data }: StampedData, records: number): void => {
  rmSync(join(data, 'scn01'), { recursive: true })
  build(data, records)
}
const given = ({ stamps }: StampedData, keys = own): string[] => [
  '--stamps',
  stamps,
  '--authority',
  keys?.root as string,
]
const of = (told: readonly VerifyMessage[], kind: string): VerifyMessage[] =>
  told.filter((each) => each.kind === kind)
const verdictOf = (told: readonly VerifyMessage[]): unknown =>
  told.find(({ type }) => type === 'summary')?.verdict

test('a stamp says since when a head exists, what it covers and what came after', options, async () => {
  const { at } = await stampedPlace(3)
  grow(at, 5)
  const { exit, told } = await verify(at.data, ...given(at))
  assert.equal(exit, 0)
  const [stamped] = of(told, 'stamped')
  assert.equal(stamped?.record, 3)
  assert.match(
    stamped?.what ?? '',
    /^as of 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z this head existed, says "own": it covers records 1 to 3\. Records 4 to 5 came after\.$/,
  )
  assert.equal(of(told, 'after the receipts')[0]?.record, 4)
  assert.equal(verdictOf(told), 'cannot be told')
  await stampFile(own as Keys, await headsAt(at, second), 'own')
  const whole = await verify(at.data, ...given(at))
  assert.match(of(whole.told, 'stamped')[0]?.what ?? '', /covers records 1 to 5\. Nothing came after\.$/)
  assert.equal(of(whole.told, 'stamped').length, 1, 'of each authority the newest')
  assert.equal(verdictOf(whole.told), 'whole')
})

test(
  'stamps of an authority that the auditor did not name confirm nothing, but can still show an alteration',
  options,
  async () => {
    const { at } = await stampedPlace(3)
    for (const more of [['--stamps', at.stamps], given(at, other)]) {
      const { exit, told } = await verify(at.data, ...more)
      assert.equal(exit, 0)
      assert.equal(of(told, 'stamp of an unknown authority').length, 1)
      assert.equal(verdictOf(told), 'cannot be told')
    }
    const { records, head } = association(at.data)
    writeFileSync(records, fileOf(rechained(linesOf(records).slice(0, 2))))
    unlinkSync(head)
    const { found } = await verify(at.data, '--stamps', at.stamps)
    assert.ok(found.includes('shortened 3'))
  },
)

test(
  'a record that was altered before a stamped head is a finding that names the stamp',
  options,
  async () => {
    const { at, stamp } = await stampedPlace(4)
    grow(at, 6)
    const { records } = association(at.data)
    const sound = readFileSync(records)
    const alter = (lines: string[], number: number): string[] =>
      lines.map((line, n) => (n === number - 1 ? line.replace('Submission', 'submission') : line))
    const name = stamp.split('/').at(-1) as string

    writeFileSync(records, fileOf(alter(linesOf(records), 2)))
    const inPlace = await verify(at.data, ...given(at))
    const [finding] = of(inPlace.told, 'not as stamped')
    assert.equal(finding?.record, 2)
    assert.ok(finding?.what?.includes(name), finding?.what)

    // Here the whole chain and the head file were made anew.
    writeFileSync(records, sound)
    const lines = rechained(alter(linesOf(records), 2))
    writeFileSync(records, fileOf(lines))
    const anew = await verify(at.data, ...given(at))
    const rewritten = of(anew.told, 'rewritten').find(({ record }) => record === 4)
    assert.ok(rewritten?.what?.includes(`the stamp ${name} of `), rewritten?.what)

    // Records that came after the stamp are not covered by it.
    writeFileSync(records, sound)
    writeFileSync(records, fileOf(alter(linesOf(records), 5)))
    const after = await verify(at.data, ...given(at))
    assert.ok(after.found.includes('altered 5'))
    assert.deepEqual([...of(after.told, 'not as stamped'), ...of(after.told, 'rewritten')], [])
  },
)

test(
  'records that were cut off, and an association that is gone, are findings that name the stamp',
  options,
  async () => {
    const { at } = await stampedPlace(4)
    grow(at, 3)
    const cut = await verify(at.data, ...given(at))
    assert.match(
      of(cut.told, 'shortened')[0]?.what ?? '',
      /the stamp heads-20260101T000000000Z\.own\.tsr .* names record 4/,
    )
    rmSync(join(at.data, 'scn01'), { recursive: true })
    const gone = await verify(at.data, ...given(at))
    assert.match(of(gone.told, 'shortened')[0]?.what ?? '', /no such file, and the stamp heads-2026/)
  },
)

test(
  'a stamp is checked as of its own time, also after its certificate has expired; a stamp made after that is not accepted',
  options,
  async () => {
    const at = place(3)
    const heads = await headsAt(at, first)
    stampFileAt(past as Keys, heads, 'past', '20240616120000Z')
    const { exit, told } = await verify(at.data, ...given(at, past))
    assert.equal(exit, 0)
    assert.match(
      of(told, 'stamped')[0]?.what ?? '',
      /^as of 2024-06-16T12:00:00\.000Z this head existed, says "past"/,
    )
    await stampFile(past as Keys, heads, 'late')
    const late = await verify(at.data, ...given(at, past))
    assert.equal(late.exit, 1)
    const [bad] = of(late.told, 'bad stamp')
    assert.equal(bad?.path, `heads-${first}.late.tsr`)
    assert.match(bad?.what ?? '', /was signed with a certificate that was not valid at that time/)
  },
)

test(
  'a file that is no stamp, a stamp of another file, and a stamp without its heads are findings and prove nothing',
  options,
  async () => {
    const at = place(3)
    const heads = await headsAt(at, first)
    const stamp = await stampFile(own as Keys, heads, 'own')
    writeFileSync(join(at.stamps, `heads-${first}.html.tsr`), '<h1>Sign in</h1>')
    copyFileSync(stamp, join(at.stamps, `heads-${second}.own.tsr`))
    writeFileSync(join(at.stamps, 'heads-3.txt'), `scn01/plum-grove-21:3:${'0'.repeat(64)}\n`)
    copyFileSync(stamp, join(at.stamps, 'heads-3.own.tsr'))
    writeFileSync(join(at.stamps, 'heads-4.txt'), 'no head\n')
    await stampFile(own as Keys, join(at.stamps, 'heads-4.txt'), 'own')
    const { exit, told } = await verify(at.data, ...given(at))
    assert.equal(exit, 1)
    const said = new Map(of(told, 'bad stamp').map(({ path, what }) => [path, what]))
    assert.equal(said.size, 4)
    assert.equal(said.get(`heads-${first}.html.tsr`), 'is no stamp')
    assert.match(said.get(`heads-${second}.own.tsr`) ?? '', /stamps a file that is not here/)
    assert.match(said.get('heads-3.own.tsr') ?? '', /is a stamp of other bytes/)
    assert.match(said.get('heads-4.own.tsr') ?? '', /stamps what is no head: heads-4\.txt line 1/)
    assert.equal(of(told, 'stamped').length, 1, 'the good one counts')
    assert.equal(verdictOf(told), 'cannot be told', 'a bad stamp says nothing about the records')
  },
)

test(
  'under a wrong certificate beside it, and with none at all, a stamp is not accepted',
  options,
  async () => {
    const { at, stamp } = await stampedPlace(3)
    const beside = stamp.replace(/tsr$/, 'pem')
    copyFileSync((other as Keys).root, beside)
    const wrong = await verify(at.data, '--stamps', at.stamps)
    assert.match(of(wrong.told, 'bad stamp')[0]?.what ?? '', /not signed under any certificate/)
    renameSync(beside, `${beside}.away`)
    const none = await verify(at.data, '--stamps', at.stamps)
    assert.match(of(none.told, 'bad stamp')[0]?.what ?? '', /has no certificate beside it/)
    assert.equal((await verify(at.data, ...given(at))).exit, 0)
  },
)

test('options that name nothing are refused', options, async () => {
  const at = place(1)
  const refused = async (...more: string[]): Promise<string> => {
    const { exit, err } = await audit('verify', '--data', at.data, ...more)
    assert.equal(exit, 2)
    return err
  }
  assert.match(await refused('--stamps', at.stamps), /holds no stamp/)
  assert.match(await refused('--stamps', join(at.stamps, 'none')), /cannot read/)
  assert.match(await refused('--authority', own?.root as string), /with --stamps/)
  await stampFile(own as Keys, await headsAt(at, first), 'own')
  assert.match(
    await refused('--stamps', at.stamps, '--authority', '/nowhere.pem'),
    /there is no \/nowhere\.pem/,
  )
})
