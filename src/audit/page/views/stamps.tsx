/** Names the time stamps beside the data as not checked, and shows the command that checks them. */
import { counted } from '../../../cli/print.ts'
import { visible } from '../shown-text.tsx'
import type { UncheckedStamps } from '../unchecked-stamps.ts'

const mostShown = 4

export function Stamps({ of: { files, commands } }: { of: UncheckedStamps }) {
  if (files.length === 0) return null
  const rest = files.slice(mostShown)
  return (
    <section class="stamps" aria-labelledby="stamps-title">
      <h2 id="stamps-title">Time stamps: not checked here</h2>
      <p>
        {counted(files.length, 'time stamp')} of heads {files.length === 1 ? 'lies' : 'lie'} beside the data.
        This page cannot check the signature of an authority, so nothing above stands on them. The tool checks
        them; ROOT.pem is the certificate that you got from the authority itself:
      </p>
      <pre class="heads">{commands.join('\n')}</pre>
      <Names of={files.slice(0, mostShown)} />
      {rest.length > 0 && (
        <details>
          <summary>And {rest.length} more</summary>
          <Names of={rest} />
        </details>
      )}
    </section>
  )
}

function Names({ of }: { of: readonly string[] }) {
  return (
    <ul>
      {of.map((path) => (
        <li key={path}>
          <bdi>{visible(path)}</bdi>
        </li>
      ))}
    </ul>
  )
}
