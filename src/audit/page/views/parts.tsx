/** Parts that several views draw: the verdict, findings, a picture of records over time, a sheet for the printer. */
import type { RefObject } from 'hono/jsx/dom'
import { parseReceipt } from '../../../records/line.ts'
import type { Finding } from '../../verify/finding.ts'
import type { Verdict } from '../../verify/verdict.ts'
import { verdictWords } from '../answer.ts'
import type { DeskProgress } from '../desk.ts'
import { visible } from '../shown-text.tsx'

/** A sign beside the word of the verdict, so that the colour is never the only mark. */
export function Sign({ verdict }: { verdict: Verdict }) {
  const shape = {
    whole: 'M4 13l5 5L20 7',
    altered: 'M6 6l12 12M18 6L6 18',
    'cannot be told': 'M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2.5M12 18v.5',
  }[verdict]
  return (
    <svg class="sign" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={shape} />
    </svg>
  )
}

export function VerdictMark({ verdict }: { verdict: Verdict }) {
  return (
    <span class={`mark ${classOf(verdict)}`}>
      <Sign verdict={verdict} />
      {verdictWords[verdict]}
    </span>
  )
}

export const classOf = (verdict: Verdict): string => verdict.replaceAll(' ', '-')

/** So many findings of one kind are visible at once. More can be unfolded, and beyond a limit only the report has them. */
const mostShown = 4
const mostListed = 300

export function Findings({ of, title }: { of: readonly Finding[]; title: string }) {
  if (of.length === 0) return null
  const sorted = [...of].sort((a, b) => (a.level === b.level ? 0 : a.level === 'finding' ? -1 : 1))
  const kinds = new Map<string, Finding[]>()
  for (const finding of sorted) {
    const kind = `${finding.level} ${finding.kind}`
    const found = kinds.get(kind)
    if (found) found.push(finding)
    else kinds.set(kind, [finding])
  }
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      {[...kinds].map(([kind, found]) => (
        <FindingsOfKind key={kind} found={found} />
      ))}
    </section>
  )
}

function FindingsOfKind({ found }: { found: readonly Finding[] }) {
  const rest = found.slice(mostShown, mostListed)
  return (
    <div>
      <FindingList found={found.slice(0, mostShown)} />
      {rest.length > 0 && (
        <details class="more">
          <summary>And {found.length - mostShown} more of this kind</summary>
          <FindingList found={rest} />
          {found.length > mostListed && <p>The report (JSON) lists all of them.</p>}
        </details>
      )}
    </div>
  )
}

function FindingList({ found }: { found: readonly Finding[] }) {
  return (
    <ul class="findings">
      {found.map((finding, index) => (
        <FindingItem key={String(index)} finding={finding} />
      ))}
    </ul>
  )
}

function FindingItem({ finding }: { finding: Finding }) {
  const { level, path, record, line, what, meaning } = finding
  return (
    <li class={level}>
      <p class="where">
        <strong>{level === 'finding' ? 'Finding' : 'Note'}</strong> <bdi>{visible(path)}</bdi>
        {record !== undefined && `, record ${record}`}
        {line !== undefined && `, line ${line}`}
      </p>
      <p>{visible(what)}</p>
      <p class="meaning">{visible(meaning)}</p>
      {line !== undefined && path.endsWith('/records.json') && (
        <p class="no-print">
          <a href={`#/l/${path.replace(/\/records\.json$/, '')}/${line}`}>Show line {line}</a>
        </p>
      )}
    </li>
  )
}

const bars = 48

/** Records over time: one bar for each of 48 equal spans. */
export function Picture({ days }: { days: readonly (readonly [string, number])[] }) {
  const times = days
    .map(([day, count]) => [Date.parse(day), count] as const)
    .filter(([ms]) => !Number.isNaN(ms))
  const [first] = times
  const last = times.at(-1)
  if (!first || !last) return <span class="no-text">no records</span>
  const span = Math.max(last[0] - first[0], 1)
  const heights = Array.from({ length: bars }, () => 0)
  for (const [ms, count] of times) {
    const at = Math.min(bars - 1, Math.floor(((ms - first[0]) / span) * bars))
    heights[at] = (heights[at] as number) + count
  }
  const highest = Math.max(...heights)
  const label = `Records received from ${days[0]?.[0]} to ${days.at(-1)?.[0]}`
  return (
    <svg class="picture" viewBox={`0 0 ${bars * 4} 28`} role="img" aria-label={label}>
      <title>{label}</title>
      {heights.map((height, at) => (
        <rect
          key={String(at)}
          x={at * 4}
          y={27 - (26 * height) / highest}
          width={3}
          height={(26 * height) / highest}
        />
      ))}
      <path class="ground" d={`M0 27.5H${bars * 4}`} />
    </svg>
  )
}

/** A region that is wider than a small screen and scrolls by itself, also with the keyboard. */
export function Wide({ label, children }: { label: string; children?: unknown }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reached by the keyboard
    <section class="wide" aria-label={label} tabIndex={0}>
      {children as string}
    </section>
  )
}

export type Heading = readonly (readonly [name: string, value: string])[]

/**
 * A sheet for a printer: a heading that is repeated on every page, because it is the head of a table. On a screen the table
 * is hidden. Chromium prints the page numbers (`@page` in the style); other browsers have them in their dialog.
 */
export function Paper({ heading, children }: { heading: Heading; children?: unknown }) {
  return (
    <table class="paper" role="presentation">
      <thead>
        <tr>
          <td>
            <dl class="paper-heading">
              {heading.map(([name, value]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{visible(value)}</dd>
                </div>
              ))}
            </dl>
          </td>
        </tr>
      </thead>
      <tbody>
        <tr>
          <td>{children as string}</td>
        </tr>
      </tbody>
    </table>
  )
}

/** The share that was read already; undefined until the total is known. */
export const shareOf = (progress: DeskProgress | undefined): number | undefined =>
  progress && progress.total > 0 ? Math.min(1, progress.done / progress.total) : undefined

export const percent = (share: number): string => `${Math.floor(share * 100)} %`

/** Shown while the records are read for a table: that takes a while where there are very many. */
export function Reading({ what, progress }: { what: string; progress: DeskProgress | undefined }) {
  const share = shareOf(progress)
  return (
    <p role="status">
      Reading {what} … {share === undefined ? '' : percent(share)}
    </p>
  )
}

type Printing = {
  readonly what: string
  /** The SHA-256 of the whole file. A print waits for it, because it stands in the heading. */
  readonly sha256: string | undefined
  readonly isReady?: boolean
  print?(): unknown
}

export function Print({ what, sha256, isReady = true, print = () => window.print() }: Printing) {
  return (
    <button type="button" disabled={sha256 === undefined || !isReady} onClick={() => print()}>
      {sha256 === undefined ? 'Computing the SHA-256 for a print …' : `Print ${what}`}
    </button>
  )
}

/** Saves a new file for the person. The page makes it itself and sends nothing. */
export function saveAs(name: string, content: Blob): void {
  const address = URL.createObjectURL(content)
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 60_000)
}

export function receivedAt(text: string): string {
  return parseReceipt(new TextEncoder().encode(text))?.received_at ?? ''
}

export const minute = (time: string): string => time.slice(0, 16).replace('T', ' ')

/** The input behind a button that opens files. `input` leads to it, so that the button can press it. */
export function FileInput({
  id,
  input,
  isFolder = false,
  chosen,
}: {
  id: string
  input: RefObject<HTMLInputElement | null>
  isFolder?: boolean
  chosen: (event: Event) => void
}) {
  return (
    <input
      ref={input}
      class="off"
      type="file"
      id={id}
      tabIndex={-1}
      aria-hidden="true"
      multiple
      {...(isFolder ? { webkitdirectory: true } : {})}
      onInput={chosen}
    />
  )
}
