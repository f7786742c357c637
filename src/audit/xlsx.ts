/**
 * Writes a workbook in which every cell is a text (ECMA-376, inline strings in the number format "@"), so that a spreadsheet
 * takes no cell for a number, a date or a formula. The file is a zip of six small texts and one text for each sheet.
 */
import { shownInCell } from './csv.ts'
import { ZipWriter } from './zip-writer.ts'

/** A sheet has at most 1,048,576 rows. The records that do not fit go into another sheet, below the same heading. */
const mostRows = 1_000_000
const piece = 256 * 1024
const xml = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
const main = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main'
const office = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships'
const packaged = 'http://schemas.openxmlformats.org/package/2006'
const kind = 'application/vnd.openxmlformats-officedocument.spreadsheetml'

export class Workbook {
  readonly #zip: ZipWriter
  readonly #heading: readonly string[]
  #sheets = 0
  #rows = 0
  #waiting = ''

  constructor(write: (bytes: Uint8Array) => Promise<void>, heading: readonly string[]) {
    this.#zip = new ZipWriter(write)
    this.#heading = heading
  }

  async add(texts: readonly string[]): Promise<void> {
    if (this.#sheets === 0 || this.#rows >= mostRows) await this.#beginSheet()
    this.#rows++
    this.#waiting += row(texts, this.#rows + 1)
    if (this.#waiting.length > piece) await this.#flush()
  }

  async end(): Promise<void> {
    if (this.#sheets === 0) await this.#beginSheet()
    await this.#endSheet()
    for (const [name, text] of parts(this.#sheets)) {
      await this.#zip.begin(name)
      await this.#zip.add(xml + text)
    }
    await this.#zip.end()
  }

  async #beginSheet(): Promise<void> {
    if (this.#sheets > 0) await this.#endSheet()
    await this.#zip.begin(`xl/worksheets/sheet${++this.#sheets}.xml`)
    this.#rows = 0
    this.#waiting = `${xml}<worksheet xmlns="${main}"><sheetData>${row(this.#heading, 1)}`
  }

  async #endSheet(): Promise<void> {
    this.#waiting += '</sheetData></worksheet>'
    await this.#flush()
  }

  async #flush(): Promise<void> {
    await this.#zip.add(this.#waiting)
    this.#waiting = ''
  }
}

/** One row. Each cell names its place, because some spreadsheets skip cells that do not. */
function row(texts: readonly string[], number: number): string {
  return `<row r="${number}">${texts.map((text, at) => cell(text, `${letters(at)}${number}`)).join('')}</row>`
}

/** The name of a column: A to Z, AA and so on. */
function letters(column: number): string {
  const last = String.fromCharCode(65 + (column % 26))
  return column < 26 ? last : letters(Math.floor(column / 26) - 1) + last
}

function cell(text: string, place: string): string {
  if (text === '') return ''
  return `<c r="${place}" s="1" t="inlineStr"><is><t xml:space="preserve">${escaped(text)}</t></is></c>`
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  // an XML reader turns a carriage return that is not escaped into a line feed
  '\r': '&#13;',
}

/** Spreadsheets read `_x0041_` as an A. So an underscore that begins such a code is written as a code itself. */
function escaped(text: string): string {
  return shownInCell(text)
    .replace(/_(?=x[0-9A-Fa-f]{4}_)/g, '_x005F_')
    .replace(/[\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>\r]/g, (character) => entities[character] as string)
}

function parts(sheets: number): [name: string, text: string][] {
  const each = (write: (number: number) => string): string =>
    Array.from({ length: sheets }, (_, at) => write(at + 1)).join('')
  return [
    [
      '[Content_Types].xml',
      `<Types xmlns="${packaged}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="${kind}.sheet.main+xml"/><Override PartName="/xl/styles.xml" ContentType="${kind}.styles+xml"/>${each(
        (at) => `<Override PartName="/xl/worksheets/sheet${at}.xml" ContentType="${kind}.worksheet+xml"/>`,
      )}</Types>`,
    ],
    [
      '_rels/.rels',
      `<Relationships xmlns="${packaged}/relationships"><Relationship Id="rId1" Type="${office}/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
    ],
    [
      'xl/workbook.xml',
      `<workbook xmlns="${main}" xmlns:r="${office}"><sheets>${each(
        (at) => `<sheet name="records ${at}" sheetId="${at}" r:id="rId${at}"/>`,
      )}</sheets></workbook>`,
    ],
    [
      'xl/_rels/workbook.xml.rels',
      `<Relationships xmlns="${packaged}/relationships">${each(
        (at) => `<Relationship Id="rId${at}" Type="${office}/worksheet" Target="worksheets/sheet${at}.xml"/>`,
      )}<Relationship Id="rId${sheets + 1}" Type="${office}/styles" Target="styles.xml"/></Relationships>`,
    ],
    [
      'xl/styles.xml',
      `<styleSheet xmlns="${main}"><fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders><cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="2"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/><xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs></styleSheet>`,
    ],
  ]
}
