/** `verify` calls none of the tampered directories whole, and names the cause for each. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { slug, type VerifyMessage, verify } from './audit-build.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'
import { other, type Variant, variants, type Whole, wholeDirectory } from './variants.ts'

type JudgedVariant = { readonly exit: number; readonly verdict: unknown; readonly named: readonly string[] }

async function judged(variant: Pick<Variant, 'tamper'>, withReceipt: boolean): Promise<JudgedVariant> {
  const scratch = scratchDir()
  const root = join(scratch, 'data')
  mkdirSync(root)
  const whole = wholeDirectory(root)
  variant.tamper(whole)
  const kept = withReceipt ? whole.heads.flatMap((head) => ['--expect', head]) : []
  const { exit, told } = await verify(root, ...kept)
  const summary = told.at(-1) as VerifyMessage
  return {
    exit,
    verdict: summary.verdict,
    named: told.slice(0, -1).map(({ kind, what }) => `${kind}: ${what}`),
  }
}

for (const { name, tamper, told, named } of variants) {
  test(`verify, with ${name}: ${told}`, async () => {
    const alone = await judged({ tamper }, false)
    const kept = await judged({ tamper }, true)
    const shown = (told === 'outside' ? kept : alone).named
    assert.ok(
      shown.some((each) => named.test(each)),
      shown.join('\n') || 'nothing was told',
    )
    assert.notEqual(alone.verdict, 'whole', 'without a receipt nothing is called whole')
    if (told === 'altered') assert.deepEqual([alone.exit, alone.verdict], [1, 'altered'])
    else assert.equal(alone.verdict, 'cannot be told')
    if (told === 'outside') assert.deepEqual([kept.exit, kept.verdict], [1, 'altered'])
    if (told === 'harmless') assert.deepEqual([kept.exit, kept.verdict, kept.named.length], [0, 'whole', 1])
  })
}

test('verify, of an untouched directory: whole with receipts from outside, otherwise it cannot be told', async () => {
  const tamper = (): void => {}
  assert.deepEqual(await judged({ tamper }, true), { exit: 0, verdict: 'whole', named: [] })
  assert.deepEqual(await judged({ tamper }, false), { exit: 0, verdict: 'cannot be told', named: [] })
})

test('verify, of a copy that caught the old end and the new record together: cannot be told', async () => {
  const seam = ({ records }: Whole): void =>
    writeFileSync(records, readFileSync(records, 'utf8').replace('"}},\n{', '"}}\n]\n'))
  const { exit, verdict, named } = await judged({ tamper: seam }, true)
  assert.deepEqual([exit, verdict], [0, 'cannot be told'])
  assert.match(named[0] ?? '', /^seam: /)
})

test('the list holds 60 tampered directories', () => {
  assert.ok(variants.filter(({ told }) => told !== 'harmless').length >= 60)
})

for (const { name, tamper, told } of variants.filter((variant) => variant.recipes !== false)) {
  if (told === 'outside') continue
  test(`heads, with ${name}: no line for that association`, async () => {
    const scratch = scratchDir()
    const root = join(scratch, 'data')
    mkdirSync(root)
    tamper(wholeDirectory(root))
    const { exit, out } = await audit('heads', '--data', root)
    assert.equal(exit, 1)
    assert.doesNotMatch(out, new RegExp(slug))
    assert.match(out, new RegExp(`^scn01/${other}:1:`))
  })
}

test('a command reports each file that it cannot read or cannot place', async () => {
  const cases: [string, string[], number][] = [
    ['removed', ['list', slug], 1],
    ['removed', ['show', slug], 1],
    ['removed', ['export', '--csv'], 1],
    ['no opening bracket', ['snapshot', slug], 2],
    ['all on one line', ['snapshot', slug], 2],
    ['a time of receipt that is no time', ['changes', slug, '--from', '2026-01-01', '--to', '2027-01-01'], 1],
    ['a NUL byte in a record', ['list', slug], 1],
  ]
  for (const [name, args, expected] of cases) {
    const scratch = scratchDir()
    const root = join(scratch, 'data')
    mkdirSync(root)
    variants.find((variant) => variant.name === name)?.tamper(wholeDirectory(root))
    const { exit, err } = await audit(...args, '--data', root)
    assert.equal(exit, expected, `${name}, ${args[0]}: ${err}`)
    assert.match(err, /run verify/)
  }
})
