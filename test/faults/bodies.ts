/** Makes bodies to post: envelopes from a grammar, printed as JSON in many ways, and then spoilt in many ways. */
import type { Random } from './random.ts'

type Pair = [name: string, value: string]

export type Grammar = {
  /** A body, most often similar to an envelope. `slot` gives each post of a batch its own participants. */
  body(slot: number): Buffer
  /** A body that is a valid envelope. */
  right(slot: number): Buffer
}

const alphabet = '23456789bcdfghjkmnpqrstvwxyz'
const strings = [
  '',
  ' ',
  'x',
  '0',
  'true',
  'null',
  'DSC-01-S03',
  'VS-01',
  'vs01',
  '["DSC-01","DSC-02"]',
  'constructor',
  'toString',
  'prototype',
  'hasOwnProperty',
  'é',
  'e\u0301',
  '雨',
  '😀',
  '\u2028\u2029',
  '\ufeff',
  '\u0000',
  '\u007f\u0080',
  '\r\n',
  '"\\/',
  '\ufffd\uffff',
  '../../etc/passwd',
  '..',
  '.',
  '/',
  '\\',
  'a/b',
  '%2e%2e%2f',
  'con',
  '.paused',
  '.node_token',
  'records.json',
  'records.json.lock',
  '-x',
  'x-',
  'X',
  'a'.repeat(128),
  'a'.repeat(129),
  `a${'\u0000'}b`,
  'a\nb',
  'a.json',
  'ａ',
  `0x${'aB'.repeat(32)}`,
  'aB'.repeat(32),
  `0X${'ab'.repeat(32)}`,
  ` 0x${'0'.repeat(64)}\n`,
  '\u00a0',
  'z'.repeat(300),
]
const numbers = [
  '0',
  '-0',
  '1',
  '-1',
  '118',
  '1.5',
  '0.1',
  '1e3',
  '1E+2',
  '1e21',
  '9007199254740991',
  '-9007199254740991',
  '9007199254740992',
  '-9007199254740993',
  '123456789012345678901234567890',
  '9007199254740993.0',
  '1e308',
  '1e309',
  '-1e999',
  '5e-324',
  '1e-400',
  '0e-999',
  '0.000',
  '3.141592653589793238462643383279',
  '1e-7',
  '123456789.123456789e-5',
]
const broken = [
  '01',
  '+1',
  '.5',
  '1.',
  '1e',
  '0x1',
  'NaN',
  'Infinity',
  'undefined',
  "'x'",
  '"\\x"',
  '"\\u12"',
  '"\n"',
  'tru',
  '',
  '[1,]',
  '{"a":1,}',
  '{a:1}',
  '[',
  '}',
  '"\\ud800"',
  '"\\udc00x"',
  '"\\ude00\\ud83d"',
  '/**/1',
]
const dates = [
  '2026-06-15T14:32:00Z',
  '2026-06-15T14:32:00+00:00',
  '2026-06-15T14:32:00+0200',
  '2024-02-29T23:59:59.123456-11:30',
  '2026-02-29T00:00:00Z',
  '2026-06-31T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-06-15T24:00:00Z',
  '2026-06-15 14:32:00Z',
  '2026-06-15T14:32:00',
  '2026-06-15T14:32:00.Z',
  '2026-06-15T14:32:00z',
  '2026-06-15T14:32Z',
  '2026-06-15T14:32.5Z',
  '0000-01-01T00:00:00Z',
  '2026-06-15T14:32:00+24:00',
]
const extraNames = [
  'mood',
  'constructor',
  'toString',
  '',
  '7',
  '007',
  'a/b~c',
  '__proto__',
  'receipt',
  'g1_tx_hash_raw',
  'node_token_hash',
  'é',
  '\u0000',
  'valueOf',
  'length',
  'then',
  'toJSON',
  'addon ',
  'Addon',
]

export function grammar(random: Random, tokenSha256: string): Grammar {
  const word = (length: number): string =>
    Array.from({ length }, () => alphabet[random.below(alphabet.length)]).join('')
  // There are only a few participants and associations, because these bodies test the intake and not the storage.
  const where = Array.from({ length: 4 }, () => `${word(3)}-${word(3)}-${word(3)}`)
  const whats = Array.from({ length: 24 }, (_, n) => (n % 3 ? `${word(3)}` : `${word(3)}-${word(4)}`))
  const placekey = (slot: number): string => {
    const [what, place] = [whats[slot % 24], where[(slot >> 5) % 4]]
    return slot % 2 ? `${what}@${place}` : `SASE${slot}-${what}-at-${place}`
  }
  const oddPlacekey = (slot: number): string => {
    const right = placekey(slot)
    const at = random.below(right.length)
    return random.of([
      () => right.toUpperCase(),
      () => right.slice(0, at) + right.slice(at + 1),
      () => right.slice(0, at) + random.of(['a', '-', '@', '/', '.', '\0', 'é', '1']) + right.slice(at),
      () => `../${right}`,
      () => `${right}/..`,
      () => `${right}.json`,
      () => right.padEnd(80, '2'),
      () => random.of(strings),
    ])()
  }

  const quoted = (text: string): string => {
    const plain = JSON.stringify(text)
    if (!random.oneIn(6)) return plain
    // Escapes stay as they are; other characters are written as \\uXXXX.
    return plain.replace(/\\u....|\\.|[a-z_]/g, (part) =>
      part.length === 1 && random.oneIn(4) ? `\\u${part.charCodeAt(0).toString(16).padStart(4, '0')}` : part,
    )
  }
  const blank = (): string => (random.oneIn(20) ? random.of([' ', '\n', '\r\n', '\t', '  ']) : '')

  const json = (depth = 0): string => {
    const kind = random.below(depth > 3 ? 5 : 8)
    if (kind < 2) return JSON.stringify(random.of(strings))
    if (kind === 2) return random.of(numbers)
    if (kind < 5) return random.of(['true', 'false', 'null', '"x"', '[]', '{}'])
    if (kind === 5) return `[${Array.from({ length: random.below(4) }, () => json(depth + 1)).join()}]`
    const names = new Set(Array.from({ length: random.below(4) }, () => random.of(strings)))
    return object([...names].map((name) => [name, json(depth + 1)]))
  }
  const object = (pairs: readonly Pair[]): string =>
    `{${blank()}${pairs.map(([name, value]) => `${JSON.stringify(name)}${blank()}:${blank()}${value}`).join(`${blank()},${blank()}`)}}`
  const fields = (least: number): string => {
    const count = least + random.below(5)
    const safe = numbers.filter((number) => !/99|9007199254740992|993$|1e309|1e-400|7890$/.test(number))
    return object(
      Array.from(
        { length: count },
        (_, n): Pair => [
          random.oneIn(8) ? `${random.of(strings)}${n}` : `ho_field_${n}`,
          random.of([JSON.stringify(random.of(strings)), random.of(safe), 'null', '["a",{"b":[]}]']),
        ],
      ),
    )
  }

  const pairsFor = (slot: number): Pair[] => {
    const addon = random.of(['vs01', 'dsc01', 'scn01'])
    const common: Pair[] = [
      ['addon', `"${addon}"`],
      ['contract_version', '"1.0"'],
      ['association_slug', `"${random.of(['heron-ridge', 'elm_court', 'a', '0-9'])}"`],
      ['association_channel_id', `"${random.of(['118', '0', '99999999999999999999'])}"`],
      ['participant_id', `"${placekey(slot)}"`],
      ['submitted_at', `"${random.of(dates.slice(0, 4))}"`],
      ['standing', `"${random.of(['public', 'participant', 'professional', 'operator'])}"`],
    ]
    if (addon !== 'scn01') {
      if (addon === 'vs01' && random.oneIn(3)) common.push(['vs_code', '"VS-07"'])
      if (addon === 'vs01' && random.oneIn(3)) common.push(['perspective', '"homeowner"'])
      return [...common, ['fields', fields(1)]]
    }
    const pins = random.of([
      '["DSC-01-S03"]',
      '["a","b","c"]',
      '["a","b","a","c","b"]',
      '{"2":"x","0":"y","10":"z"}',
      `["${word(8)}"]`,
    ])
    const scenario: Pair[] = [
      ...common,
      ['pinned_scenario_ids', pins],
      ['narrative', JSON.stringify(random.of([random.of(strings), `It began ${word(6)}.`]))],
      ['vs_snapshot', random.oneIn(5) ? '[]' : fields(0)],
      ['dsc_snapshot', random.oneIn(5) ? '[]' : fields(0)],
    ]
    if (random.oneIn(3))
      scenario.push(['g1_tx_hash', random.oneIn(3) ? json() : JSON.stringify(random.of(strings))])
    if (random.oneIn(6))
      scenario.push([
        'node_token_hash',
        `"${random.of([tokenSha256, tokenSha256.toUpperCase(), 'ab'.repeat(32)])}"`,
      ])
    return scenario
  }

  /** Changes to the members of an envelope. */
  const structural: readonly ((pairs: Pair[], slot: number) => void)[] = [
    (pairs) => void pairs.splice(random.below(pairs.length), 1),
    (pairs) => void pairs.splice(random.below(pairs.length), 0, [...random.of(pairs)]),
    (pairs) => replaceOne(pairs, json()),
    (pairs) => replaceOne(pairs, JSON.stringify(random.of(strings))),
    (pairs) => replaceOne(pairs, random.of(numbers)),
    (pairs) => replaceOne(pairs, random.of(broken)),
    (pairs) => {
      const pair = random.of(pairs)
      pair[0] = random.of([pair[0].toUpperCase(), `${pair[0]} `, random.of(extraNames)])
    },
    (pairs) => void pairs.splice(random.below(pairs.length), 0, [random.of(extraNames), json()]),
    (pairs) => void pairs.sort(() => random.below(3) - 1),
    (pairs, slot) => set(pairs, 'participant_id', JSON.stringify(oddPlacekey(slot))),
    (pairs) => set(pairs, 'association_slug', JSON.stringify(random.of(strings))),
    (pairs) => set(pairs, 'association_slug', JSON.stringify(`../${random.of(strings)}`)),
    (pairs) => set(pairs, 'submitted_at', JSON.stringify(random.of(dates))),
    (pairs) =>
      set(
        pairs,
        'addon',
        JSON.stringify(
          random.of(['g1wallet', 'vs02', '__proto__', 'constructor', 'VS01', 'scn01', 'vs01', 'dsc01']),
        ),
      ),
    (pairs) => set(pairs, 'contract_version', random.of(['"1.1"', '"1"', '1.0', '"1.0 "', 'null'])),
    (pairs) =>
      set(
        pairs,
        random.of(['fields', 'vs_snapshot', 'dsc_snapshot']),
        random.of(['[]', '[1]', '{}', 'null', '"{}"', '[[]]']),
      ),
    (pairs) =>
      set(
        pairs,
        'pinned_scenario_ids',
        random.of([
          '[]',
          '{}',
          '["a","b","c","d"]',
          '["a","a"]',
          '{"a":"x"}',
          '{"00":"x"}',
          '{"0":"x","18446744073709551616":"y"}',
          '[" "]',
          '[1]',
          '["a",null]',
          `["${'p'.repeat(128)}"]`,
          `["${'p'.repeat(129)}"]`,
          `["${'😀'.repeat(128)}"]`,
          '["\\u00a0"]',
          '{"-1":"x"}',
        ]),
      ),
    (pairs) => {
      const depth = random.of([2, 29, 30, 31, 32, 33, 40, 500])
      const [open, close] = random.of([
        ['[', ']'],
        ['{"a":', '}'],
      ] as const)
      pairs.push(['deep', `${open.repeat(depth)}${open === '[' ? '' : '1'}${close.repeat(depth)}`])
    },
    (pairs) => void pairs.push(['long', JSON.stringify('x'.repeat(random.below(70_000)))]),
    (pairs) =>
      void pairs.push([
        'many',
        `[${Array.from({ length: random.below(500) }, () => random.of(numbers)).join()}]`,
      ]),
  ]

  /** Changes to the bytes of a body. */
  const bytewise: readonly ((bytes: Buffer) => Buffer)[] = [
    (bytes) => bytes.subarray(0, random.below(bytes.length)),
    (bytes) => bytes.subarray(random.below(bytes.length)),
    (bytes) => flipped(bytes),
    (bytes) => flipped(flipped(bytes)),
    (bytes) => {
      const at = random.below(bytes.length)
      return Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(4)), bytes.subarray(at)])
    },
    (bytes) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]),
    (bytes) => Buffer.from(bytes.toString(), 'utf16le'),
    (bytes) => Buffer.from(bytes.toString().replace(/[a-z]/, 'é'), 'latin1'),
    (bytes) =>
      Buffer.concat([bytes, Buffer.from(random.of(['{}', ',', '\0', ' ', '\n', '\u00a0', '//', ']', '}']))]),
    (bytes) =>
      Buffer.from(
        random.of([
          `[${bytes}]`,
          JSON.stringify(bytes.toString()),
          `json=${encodeURIComponent(bytes.toString())}`,
          `{"a":${bytes}}`,
        ]),
      ),
    (bytes) => Buffer.from(bytes.toString().replace(/"/g, random.of(["'", '“', '""']))),
    (bytes) => Buffer.concat([bytes, bytes]),
    () => Buffer.alloc(0),
    () => random.bytes(random.below(200)),
    () => Buffer.from(json()),
    () => Buffer.from(random.of(['[', '{"a":']).repeat(random.below(5_000))),
  ]
  const flipped = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes)
    if (copy.length > 0) copy[random.below(copy.length)]! ^= 1 << random.below(8)
    return copy
  }
  const replaceOne = (pairs: Pair[], value: string): void => {
    random.of(pairs)[1] = value
  }
  const set = (pairs: Pair[], name: string, value: string): void => {
    const pair = pairs.find(([known]) => known === name)
    if (pair) pair[1] = value
  }

  const right = (slot: number): Buffer => Buffer.from(object(pairsFor(slot)))
  return {
    right,
    body(slot) {
      const pairs = pairsFor(slot)
      // One body in eight stays as it is. The others are spoilt once or twice.
      if (random.oneIn(8)) {
        return Buffer.from(`{${pairs.map(([name, value]) => `${quoted(name)}:${value}`).join()}}`)
      }
      if (random.oneIn(3)) return random.of(bytewise)(Buffer.from(object(pairs)))
      for (let n = random.oneIn(3) ? 2 : 1; n > 0; n--)
        if (pairs.length > 0) random.of(structural)(pairs, slot)
      const bytes = Buffer.from(object(pairs))
      return random.oneIn(12) ? random.of(bytewise)(bytes) : bytes
    },
  }
}
