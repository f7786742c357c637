/** Takes receipts and heads that others kept, dropped, chosen or typed in, and shows the heads of this copy, to be kept. */
import { useRef, useState } from 'hono/jsx/dom'
import { headLine } from '../answer.ts'
import type { Opened } from '../opened-directory.ts'
import { filesOfDrop, filesOfInput } from '../opening.ts'
import type { Actions, Checked } from '../state.ts'
import { FileInput } from './parts.tsx'

export function Receipts({ report, actions }: { report: Checked['report']; actions: Actions }) {
  const [typed, setTyped] = useState('')
  const input = useRef<HTMLInputElement>(null)
  const take = async (files: readonly Opened[]): Promise<void> => {
    const texts = files.map(async ({ path, file }) => ({ name: path, text: await file.text() }))
    actions.addKept(await Promise.all(texts))
  }
  const dropped = async (event: DragEvent): Promise<void> => {
    event.preventDefault()
    event.stopPropagation()
    if (event.dataTransfer) await take(await filesOfDrop(event.dataTransfer))
  }
  const compare = (): void => {
    actions.addKept([{ name: 'typed in', text: typed }])
    setTyped('')
  }
  return (
    <section
      class="receipts"
      aria-labelledby="receipts-title"
      onDragOver={(event: Event) => event.preventDefault()}
      onDrop={dropped}
    >
      <h2 id="receipts-title">Receipts and heads that others kept</h2>
      <p>
        A receipt is what the sender of a record was answered; a head is the same of the last record, as it
        was published. Only with one from outside can a file that was rewritten as a whole be told from an
        untouched one. Drop files of them here, or paste them.
      </p>
      <div class="no-print">
        <label for="typed-receipts">
          Receipts or heads, one a line (ADDON/SLUG:NUMBER:SHA-256, or the receiver’s answer)
        </label>
        <textarea
          id="typed-receipts"
          rows={3}
          spellcheck={false}
          value={typed}
          onInput={({ target }: Event) => setTyped((target as HTMLTextAreaElement).value)}
        />
        <p class="buttons">
          <button type="button" disabled={typed.trim() === ''} onClick={compare}>
            Compare with these
          </button>
          <button type="button" onClick={() => input.current?.click()}>
            Choose a file of them
          </button>
        </p>
        <FileInput
          id="open-receipts"
          input={input}
          chosen={(event) => void take(filesOfInput((event.target as HTMLInputElement).files))}
        />
      </div>
      <HeadsOfCopy report={report} />
    </section>
  )
}

function HeadsOfCopy({ report }: { report: Checked['report'] }) {
  const heads = report.associations
    .filter(({ verdict }) => verdict !== 'altered')
    .flatMap((each) => headLine(each) ?? [])
  if (heads.length === 0) return null
  return (
    <details>
      <summary>Heads of this copy, to be kept somewhere else</summary>
      <p>Whoever keeps these lines can show later whether anything up to here was changed.</p>
      <pre class="heads">{heads.join('\n')}</pre>
    </details>
  )
}
