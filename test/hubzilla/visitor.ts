/** A person with a browser on the hub. It keeps cookies, follows redirects, and sends forms with the values that they contain. */
import assert from 'node:assert/strict'

export type Page = {
  readonly url: string
  readonly status: number
  readonly html: string
  readonly text: string
}
type Fields = Record<string, string>
type Form = { readonly action: string; readonly method: string; readonly fields: Fields }
export type Visitor = ReturnType<typeof visitor>

export function visitor(root: string) {
  const cookies = new Map<string, string>()

  async function ask(url: string, body?: URLSearchParams): Promise<Page> {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const what = body ? { method: 'POST', body } : {}
    const answer = await fetch(url, { ...what, redirect: 'manual', headers: { cookie } })
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (name !== undefined && value !== undefined) cookies.set(name, value)
    }
    const location = answer.headers.get('location')
    const html = await answer.text()
    if (answer.status >= 300 && answer.status < 400 && location) return ask(new URL(location, url).href)
    return { url, status: answer.status, html, text: textOf(html) }
  }

  const open = (path: string): Promise<Page> => ask(new URL(path, root).href)
  /** Fills in the form that has this field, and presses its button. */
  function send(page: Page, field: string, filled: Fields = {}): Promise<Page> {
    const { action, method, fields } = formWith(page, field)
    assert.equal(method.toLowerCase(), 'post', `the form with ${field}`)
    // Some actions of Hubzilla are relative to its root, which its pages name as their base.
    return ask(new URL(action, `${root}/`).href, new URLSearchParams({ ...fields, ...filled }))
  }
  /** The notices of Hubzilla for this person since the last call. Pages ask for them by script. */
  async function told(): Promise<string> {
    const { notice, info } = JSON.parse((await open('/sse_bs')).html)
    return [...notice.notifications, ...info.notifications].join('\n')
  }

  return { open, send, told }
}

function formWith(page: Page, field: string): Form {
  const forms = [...page.html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, tag, inside]) => ({
    action: attribute(tag!, 'action') ?? page.url,
    method: attribute(tag!, 'method') ?? 'get',
    fields: fieldsOf(inside!),
  }))
  const form = forms.find(({ fields }) => field in fields)
  assert.ok(form, `no form with ${field} on ${page.url} (${page.status}): ${page.text.slice(0, 2000)}`)
  return form
}

function fieldsOf(html: string): Fields {
  const fields: Fields = {}
  for (const [tag] of html.matchAll(/<input\b[^>]*>/gs)) {
    const name = attribute(tag, 'name')
    const isLeftOut = /checkbox|radio/.test(attribute(tag, 'type') ?? '') && !/\bchecked\b/.test(tag)
    if (name !== undefined && !isLeftOut) fields[name] = attribute(tag, 'value') ?? ''
  }
  for (const [, tag, text] of html.matchAll(/<textarea\b([^>]*)>\n?(.*?)<\/textarea>/gs)) {
    fields[attribute(tag!, 'name') ?? ''] = decoded(text!)
  }
  for (const [, tag, options] of html.matchAll(/<select\b([^>]*)>(.*?)<\/select>/gs)) {
    const chosen = /<option\b[^>]*\bselected\b[^>]*>/.exec(options!) ?? /<option\b[^>]*>/.exec(options!)
    fields[attribute(tag!, 'name') ?? ''] = attribute(chosen?.[0] ?? '', 'value') ?? ''
  }
  return fields
}

function attribute(tag: string, name: string): string | undefined {
  const found = new RegExp(`\\b${name}=(?:"([^"]*)"|'([^']*)')`).exec(tag)
  return found ? decoded(found[1] ?? found[2] ?? '') : undefined
}

const entities: Fields = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

function decoded(html: string): string {
  return html.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (decimal) return String.fromCodePoint(Number(decimal))
    return hex ? String.fromCodePoint(Number.parseInt(hex, 16)) : (entities[name] ?? whole)
  })
}

/** The text that a person reads and copies: without markup, and with `<br>` as an end of line. */
export function textOf(html: string): string {
  const visible = html
    .replace(/<(script|style|head)\b.*?<\/\1>/gs, '')
    .replace(/<br[^>]*>|<\/(?:p|div|li|h\d)>/g, '\n')
    .replace(/<[^>]*>/g, '')
  return decoded(visible)
    .replace(/[ \t]+/g, ' ')
    .replace(/\s*\n\s*/g, '\n')
}
