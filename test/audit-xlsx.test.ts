/** `export --xlsx` writes a workbook that a zip reader can open, and every cell holds the text that was stored. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { readZip } from '../src/audit/page/zip.ts'
import { Workbook } from '../src/audit/xlsx.ts'
import { envelope, lines, slug, writeAssociation } from './audit-build.ts'
import { linesOf, sha256 } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'
import { placekey, wholeDirectory } from './variants.ts'

const exported = (...args: string[]) => audit('export', ...args)

async function filesIn(zip: Uint8Array): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const { name, stream } of await readZip(new Blob([zip as Uint8Array<ArrayBuffer>])))
    files.set(name, await new Response(await stream()).text())
  return files
}

/** The cells of a sheet, as a spreadsheet reads them. Throws when a cell is not a text. */
function cellsOf(sheet: string): string[][] {
  return [...sheet.matchAll(/<row r="(\d+)">(.*?)<\/row>/gs)].map(([, number, row], at) => {
    assert.equal(number, String(at + 1))
    const cells = [
      ...(row as string).matchAll(
        /<c r="([A-Z]+)(\d+)" s="1" t="inlineStr"><is><t xml:space="preserve">(.*?)<\/t><\/is><\/c>/gs,
      ),
    ]
    assert.equal(cells.map(([whole]) => whole).join(''), row, 'nothing but texts')
    const texts: string[] = []
    for (const [, column, line, text] of cells) {
      assert.equal(line, number)
      texts[columnOf(column as string)] = (text as string)
        .replaceAll('&#13;', '\r')
        .replace(/&(lt|gt|amp);/g, (_, name: 'lt' | 'gt' | 'amp') => ({ lt: '<', gt: '>', amp: '&' })[name])
        .replace(/_x([0-9A-Fa-f]{4})_/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    }
    return texts
  })
}

const columnOf = (letters: string): number =>
  [...letters].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1

const awkward = [
  '=1+2',
  'harmless;=1+2',
  '00042',
  '12345678901234567890',
  '1E5',
  'TRUE',
  'March 3',
  '_x0041_ and _x005F_',
  '<script>&amp;</script>',
  '  two\tblanks\r\nand lines\n',
  'façade 😀 “quoted”',
]

test('every cell holds the text that was stored, whatever a spreadsheet would make of it', async () => {
  const root = scratchDir()
  mkdirSync(join(root, 'scn01'))
  const { records } = writeAssociation(
    root,
    slug,
    lines(awkward.map((narrative): JsonObject => ({ ...envelope, narrative }))),
  )
  const { exit, bytes } = await exported('--xlsx', slug, '--data', root)
  assert.equal(exit, 0)
  // The method must be 8, deflate (APPNOTE 4.4.5). Some zip readers accept other numbers, spreadsheets do not.
  assert.equal(Buffer.from(bytes).readUInt16LE(8), 8)
  const files = await filesIn(bytes)
  assert.deepEqual([...files.keys()].sort(), [
    '[Content_Types].xml',
    '_rels/.rels',
    'xl/_rels/workbook.xml.rels',
    'xl/styles.xml',
    'xl/workbook.xml',
    'xl/worksheets/sheet1.xml',
  ])
  const [heading, ...rows] = cellsOf(files.get('xl/worksheets/sheet1.xml') as string) as [
    string[],
    ...string[][],
  ]
  const column = (row: string[], name: string): string => row[heading.indexOf(name)] as string
  assert.deepEqual(
    rows.map((row) => column(row, 'narrative')),
    awkward,
  )
  assert.deepEqual(
    rows.map((row) => column(row, 'record_sha256')),
    linesOf(records).map(sha256),
  )
})

test('control characters and marks of direction are left out, and a text too long for a cell continues in the next cell', async () => {
  const chunks: Uint8Array[] = []
  const book = new Workbook(async (bytes) => void chunks.push(bytes), ['a'])
  await book.add(['\u0000\u001b[2J\u0085\u009b\u202e\ufffe'])
  await book.end()
  const files = await filesIn(Buffer.concat(chunks))
  assert.equal(
    cellsOf(files.get('xl/worksheets/sheet1.xml') as string)[1]?.[0],
    '\ufffd\ufffd[2J\ufffd\ufffd\ufffd\ufffd',
  )
})

test('the same directory gives the same bytes, and addons without history have a table, too', async () => {
  const root = scratchDir()
  wholeDirectory(root)
  const first = await exported('--xlsx', '--data', root)
  assert.deepEqual(first.bytes, (await exported('--xlsx', '--data', root)).bytes)
  const { bytes } = await exported('--xlsx', '--addon', 'vs01', '--data', root)
  const [, row] = cellsOf((await filesIn(bytes)).get('xl/worksheets/sheet1.xml') as string)
  assert.ok(row?.includes(placekey))
})

test('export needs exactly one format', async () => {
  const root = scratchDir()
  wholeDirectory(root)
  for (const args of [[], ['--csv', '--xlsx'], ['--xlsx', '--bom']])
    assert.equal((await exported(...args, '--data', root)).exit, 2)
})

test('a workbook without a record has one sheet, with the heading', async () => {
  const chunks: Uint8Array[] = []
  await new Workbook(async (bytes) => void chunks.push(bytes), ['one', 'two']).end()
  assert.match(Buffer.concat(chunks).toString('latin1'), /xl\/worksheets\/sheet1\.xml/)
})
