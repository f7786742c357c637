/** The filters of the table. A change in a field changes the table at once. */
import { useState } from 'hono/jsx/dom'
import { type Choices, everything, type Filter } from '../columns.ts'
import { inLine } from '../shown-text.tsx'

type Change = (filter: Filter) => void

type Field = readonly [name: keyof Filter, id: string, label: string]

const choiceFields: readonly (readonly [...Field, of: (choices: Choices) => readonly string[]])[] = [
  ['participant', 'f-participant', 'Address (Placekey)', ({ participants }) => participants],
  ['scenario', 'f-scenario', 'Scenario', ({ scenarios }) => scenarios],
  ['standing', 'f-standing', 'Standing', ({ standings }) => standings],
  ['payment', 'f-payment', 'Payment', () => ['named', 'no hash', 'none']],
]
const dayFields: readonly Field[] = [
  ['receivedFrom', 'f-received-from', 'Received from'],
  ['receivedTo', 'f-received-to', 'Received to'],
  ['submittedFrom', 'f-submitted-from', 'Submitted from'],
  ['submittedTo', 'f-submitted-to', 'Submitted to'],
]

export function Filters({ filter, choices, change }: { filter: Filter; choices: Choices; change: Change }) {
  const [text, setText] = useState(filter.text)
  const set = (name: keyof Filter) => (value: string) => change({ ...filter, [name]: value })
  return (
    <form
      class="filters"
      aria-label="Search and filter"
      onSubmit={(event: Event) => {
        event.preventDefault()
        change({ ...filter, text })
      }}
    >
      <div class="field grow">
        <label for="f-text">Search in everything that was sent</label>
        <span class="joined">
          <input
            id="f-text"
            type="search"
            value={text}
            onInput={(event: Event) => setText((event.target as HTMLInputElement).value)}
          />
          <button type="submit">Search</button>
        </span>
      </div>
      {choiceFields.map(([name, id, label, of]) => (
        <Choice key={id} id={id} label={label} value={filter[name]} of={of(choices)} set={set(name)} />
      ))}
      {dayFields.map(([name, id, label]) => (
        <Day key={id} id={id} label={label} value={filter[name]} set={set(name)} />
      ))}
      <div class="field">
        <button
          type="button"
          onClick={() => {
            setText('')
            change(everything)
          }}
        >
          Show all
        </button>
      </div>
    </form>
  )
}

type FieldOf = {
  readonly id: string
  readonly label: string
  readonly value: string
  readonly set: (value: string) => void
}

/** Fewer choices than this are a list to choose from; more are a field with suggestions. */
const mostOptions = 100

function Choice({ id, label, value, of, set }: FieldOf & { of: readonly string[] }) {
  const taken = (event: Event): void => set((event.target as HTMLSelectElement | HTMLInputElement).value)
  if (of.length > mostOptions)
    return (
      <div class="field">
        <label for={id}>{label}</label>
        <input id={id} list={`${id}-list`} value={value} onInput={taken} />
        <datalist id={`${id}-list`}>
          {of.slice(0, 2_000).map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      </div>
    )
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onInput={taken}>
        <option value="">all</option>
        {of.map((each) => (
          <option key={each} value={each}>
            {inLine(each)}
          </option>
        ))}
      </select>
    </div>
  )
}

export function Day({ id, label, value, set }: FieldOf) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="date"
        value={value}
        onInput={(event: Event) => set((event.target as HTMLInputElement).value)}
      />
    </div>
  )
}
