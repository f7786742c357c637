/** The page: shows the view for the current address. Every view has an address behind `#`. */
import { render, useLayoutEffect, useRef, useState } from 'hono/jsx/dom'
import { isSlug } from '../../../contracts/envelope.ts'
import { type Place, ruleOf } from '../addons.ts'
import type { KeptText } from './engine.ts'
import type { Opened } from './opened-directory.ts'
import { type Actions, atStart, type Checked, type State } from './state.ts'
import { Address } from './views/address.tsx'
import { Association } from './views/association.tsx'
import { TwoDates } from './views/between.tsx'
import { Overview } from './views/overview.tsx'
import { RecordView } from './views/record.tsx'
import { Choose, Start, Working } from './views/start.tsx'
import { type DeskRemote, startDesk, version } from './workers.ts'

let told: (progress: NonNullable<State['progress']>) => void = () => {}
let failed: (words: string) => void = () => {}
const desk: DeskRemote = startDesk((progress) => told(progress))

function App() {
  const [state, setState] = useState<State>(atStart)
  const route = useRoute()
  const current = useRef(state)
  current.current = state
  const change = (more: Partial<State>): void => {
    current.current = { ...(current.current as State), ...more }
    setState(current.current)
  }
  told = (progress) => change({ progress })
  failed = (trouble) => change({ trouble })
  const actions = actionsOf(() => current.current as State, change)
  const main = useRef<HTMLElement>(null)
  useLayoutEffect(() => {
    // a screen reader begins a new view at its heading
    main.current?.querySelector<HTMLElement>('h1[tabindex]')?.focus({ preventScroll: true })
    window.scrollTo(0, 0)
  }, [route, state.phase])
  useLayoutEffect(() => setPrinted(state), [state.report])
  return (
    <div class="page">
      <header class="no-print">
        <button type="button" class="skip" onClick={() => main.current?.focus()}>
          To the content
        </button>
        <p class="title">
          <strong>Auditor</strong> <span>civic-orchestrator {version}</span>
        </p>
        {state.phase === 'done' && (
          <nav aria-label="Views">
            <a href="#/" aria-current={route === '/' ? 'page' : 'false'}>
              Result
            </a>
            <Crumbs route={route} />
          </nav>
        )}
      </header>
      <main id="main" tabIndex={-1} ref={main}>
        <View state={state} route={route} actions={actions} />
      </main>
      {state.phase === 'done' && (
        <footer class="no-print">
          <p>
            Nothing leaves this computer: this page can neither load nor send anything, and changes nothing
            that you open.
          </p>
        </footer>
      )}
    </div>
  )
}

function View({ state, route, actions }: { state: State; route: string; actions: Actions }) {
  if (state.phase === 'choose') return <Choose state={state} actions={actions} />
  if (state.phase === 'working') return <Working state={state} />
  if (state.phase === 'start' || !state.report) return <Start actions={actions} trouble={state.trouble} />
  const checked: Checked = { report: state.report, name: state.name, desk, progress: state.progress }
  if (route === '') return <p role="status">…</p>
  const view = viewOf(route, checked)
  return (
    <div>
      {state.trouble !== '' && (
        <p class="trouble" role="alert">
          {state.trouble}
        </p>
      )}
      {view ?? <Overview checked={checked} actions={actions} />}
    </div>
  )
}

function viewOf(route: string, checked: Checked) {
  const [, kind, first = '', second = '', third = ''] = route.split('/')
  const place = placeOf(first, second)
  const number = Number(third)
  if (kind === 'p' && isSlug(first))
    return <Address checked={checked} slug={first} participant={decoded(second)} />
  if (!place) return undefined
  if (kind === 'a') return <Association checked={checked} place={place} />
  if (kind === 'd') return <TwoDates checked={checked} place={place} />
  if (kind === 'r' && number > 0)
    return <RecordView checked={checked} place={place} which={{ sequence: number }} />
  if (kind === 'l' && number > 0)
    return <RecordView checked={checked} place={place} which={{ line: number }} />
  return undefined
}

function placeOf(addon: string, slug: string): Place | undefined {
  return ruleOf(addon) === 'append-only' && isSlug(slug) ? { addon, slug } : undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Links that lead from the current view back to the views above it. */
function Crumbs({ route }: { route: string }) {
  const [, kind, first = '', second = ''] = route.split('/')
  const place = kind === 'p' ? placeOf('scn01', first) : placeOf(first, second)
  if (!place) return null
  return (
    <a href={`#/a/${place.addon}/${place.slug}`} aria-current={kind === 'a' ? 'page' : 'false'}>
      {place.slug}
    </a>
  )
}

function useRoute(): string {
  const read = (): string => location.hash.replace(/^#/, '') || '/'
  const [route, setRoute] = useState(read())
  useLayoutEffect(() => {
    // There is nothing in between, so that another record gets a new view and not the old one with new questions.
    const changed = (): void => {
      setRoute('')
      setTimeout(() => setRoute(read()), 0)
    }
    window.addEventListener('hashchange', changed)
    return () => window.removeEventListener('hashchange', changed)
  }, [])
  return route
}

function actionsOf(state: () => State, change: (more: Partial<State>) => void): Actions {
  const check = async (kept: readonly KeptText[]): Promise<void> => {
    change({ phase: 'working', progress: undefined, trouble: '' })
    change({ phase: 'done', report: await desk.check(kept), kept, progress: undefined })
  }
  const attempt = async (work: () => Promise<void>, back: Partial<State>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      change({ ...back, trouble: (error as Error).message })
    }
  }
  return {
    open: (files: readonly Opened[]) =>
      void attempt(async () => {
        location.hash = '#/'
        change({ ...atStart, phase: 'working', name: nameOf(files) })
        const { choices } = await desk.open(files)
        if (choices.length > 1) change({ phase: 'choose', choices })
        else await check([])
      }, atStart),
    choose: (root) =>
      void attempt(async () => {
        change({ name: `${state().name}, ${root}` })
        await desk.choose(root)
        await check([])
      }, atStart),
    addKept: (texts) => void attempt(() => check([...state().kept, ...texts]), { phase: 'done' }),
    startAgain: () => {
      location.hash = '#/'
      change(atStart)
    },
  }
}

function nameOf(files: readonly Opened[]): string {
  const [first, ...others] = files
  if (!first) return 'nothing'
  const folder = first.path.split('/')[0] as string
  if (first.path.includes('/')) return folder
  return others.length === 0 ? first.path : `${files.length} files`
}

/** Sets the texts in the margins of a print, without characters that would end a text in the style. */
function setPrinted({ report, name }: State): void {
  const text = (value: string): string => JSON.stringify(value.replace(/[\p{C}\\"<>]/gu, ' '))
  document.documentElement.style.setProperty('--source', text(name.slice(0, 60)))
  document.documentElement.style.setProperty('--checked', text(report?.checked_at ?? ''))
}

/** Shows why a view did not get its content, for example because a memory stick was pulled out. */
window.addEventListener('unhandledrejection', ({ reason }) => failed((reason as Error).message))

/** Keeps a file that is dropped outside of the field for it from replacing the page. */
for (const kind of ['dragover', 'drop']) window.addEventListener(kind, (event) => event.preventDefault())

render(<App />, document.getElementById('app') as HTMLElement)
