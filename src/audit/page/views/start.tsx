/** The first view: says what to open, and that nothing leaves the computer. */
import { useRef, useState } from 'hono/jsx/dom'
import type { Opened } from '../opened-directory.ts'
import { filesOfDrop, filesOfInput } from '../opening.ts'
import type { Actions, State } from '../state.ts'
import { FileInput, percent, shareOf } from './parts.tsx'

export function Start({ actions, trouble }: { actions: Actions; trouble: string }) {
  return (
    <section class="start" aria-labelledby="start-title">
      <h1 id="start-title">Is this copy of the records whole?</h1>
      <p class="lead">
        Open the copy that you were given: the folder, a zip of it, or single files. This page reads every
        record, follows the chain that links them, and tells in one sentence what it found.
      </p>
      {trouble !== '' && (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      <DropZone open={actions.open} />
      <Offline />
    </section>
  )
}

function DropZone({ open }: { open: (files: readonly Opened[]) => void }) {
  const [over, setOver] = useState(false)
  const folder = useRef<HTMLInputElement>(null)
  const files = useRef<HTMLInputElement>(null)
  const taken = (event: Event): void => {
    const input = event.target as HTMLInputElement
    const chosen = filesOfInput(input.files)
    // cleared, so that the same folder can be chosen again
    input.value = ''
    if (chosen.length > 0) open(chosen)
  }
  const dropped = async (event: DragEvent): Promise<void> => {
    event.preventDefault()
    setOver(false)
    if (event.dataTransfer) open(await filesOfDrop(event.dataTransfer))
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is one way in, the two buttons are the others
    <div
      class={over ? 'drop over' : 'drop'}
      onDragOver={(event: Event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={dropped}
    >
      <p class="drop-title">Drop the folder or the zip here</p>
      <p class="buttons">
        <button type="button" class="primary" onClick={() => folder.current?.click()}>
          Choose a folder
        </button>
        <button type="button" onClick={() => files.current?.click()}>
          Choose files or a zip
        </button>
      </p>
      <p class="hint">
        Your browser may say “upload” and ask whether you trust this page. It means: let this page read the
        folder. Nothing is sent.
      </p>
      <FileInput id="open-folder" input={folder} isFolder chosen={taken} />
      <FileInput id="open-files" input={files} chosen={taken} />
    </div>
  )
}

function Offline() {
  return (
    <p class="offline">
      <svg class="sign" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
        <path d="M7 11V8a5 5 0 0 1 10 0v3M5 11h14v10H5z" />
      </svg>
      <span>
        <strong>Nothing leaves this computer.</strong> This page is one file. Its own policy forbids loading
        and sending, no link in it leads elsewhere, and it works with the network switched off. It changes
        nothing that you open.
      </span>
    </p>
  )
}

export function Choose({ state, actions }: { state: State; actions: Actions }) {
  return (
    <section class="start" aria-labelledby="choose-title">
      <h1 id="choose-title">This folder holds {state.choices.length} data directories</h1>
      <p class="lead">Each is checked by itself. Which one?</p>
      <ul class="choices">
        {state.choices.map((choice) => (
          <li key={choice}>
            <button type="button" onClick={() => actions.choose(choice)}>
              {choice === '' ? 'the folder itself' : choice}
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}

export function Working({ state }: { state: State }) {
  const { progress } = state
  const share = shareOf(progress)
  return (
    <section class="start" aria-labelledby="working-title">
      <h1 id="working-title">Checking {state.name}</h1>
      <progress max={1} {...(share === undefined ? {} : { value: share })} aria-label="how much was read" />
      <p role="status">{progress ? `${percent(share ?? 0)}, ${progress.what}` : 'Reading the names …'}</p>
    </section>
  )
}
