/** The MQTT sessions of this user: who is there, who was, and how far each is behind. */
import { h, Keyed, setText } from './dom.ts'
import { agoOf, messageOf, plural } from './format.ts'

/** As `GET /v1/sessions` shows one [P-19.6 – P-19.10]. */
interface Session {
  readonly client: string
  readonly kept: boolean
  readonly connected: boolean
  readonly seen: number
  readonly streams?: readonly { readonly stream: string; readonly behind: number; readonly lost?: true }[]
}

interface Page {
  readonly sessions: readonly Session[]
  readonly upToDate: boolean
}

const everyMs = 10_000

export class Sessions {
  readonly element: HTMLElement
  readonly #token: () => Promise<string>
  readonly #list = h('ul', { class: 'sessions' })
  readonly #told = h('p', { class: 'told', role: 'status' })
  readonly #rows = new Keyed<Session, HTMLLIElement>(this.#list, () => h('li'), showRow)
  readonly #timer: ReturnType<typeof setInterval>
  readonly #ended = new AbortController()

  constructor(token: () => Promise<string>) {
    this.#token = token
    this.element = h('div', {}, this.#list, this.#told)
    this.#timer = setInterval(() => {
      if (!document.hidden) void this.refresh()
    }, everyMs)
    void this.refresh()
  }

  async refresh(): Promise<void> {
    try {
      const headers = { authorization: `Bearer ${await this.#token()}` }
      const answer = await fetch('/v1/sessions', { headers, credentials: 'omit', signal: this.#ended.signal })
      const body = (await answer.json()) as Page & { readonly detail?: string }
      if (!answer.ok) throw new Error(body.detail)
      this.#rows.show(body.sessions, ({ client }) => client)
      setText(this.#told, body.sessions.length === 0 ? 'None.' : body.upToDate ? '' : 'Only the first are shown.')
    } catch (error) {
      if (!this.#ended.signal.aborted) setText(this.#told, `The sessions could not be read: ${messageOf(error)}`)
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#ended.abort()
  }
}

function showRow(row: HTMLLIElement, { client, kept, connected, seen, streams = [] }: Session): void {
  const state = connected ? 'connected' : `seen ${agoOf(seen, Date.now())}`
  const behind = streams.map(({ stream, behind: count, lost }) => {
    const words = lost ? 'lost its place' : count === 0 ? 'up to date' : `${plural(count, 'entry', 'entries')} behind`
    return h('li', { class: lost ? 'bad' : count > 0 ? 'late' : '' }, h('span', {}, stream), h('span', {}, words))
  })
  row.replaceChildren(
    h('span', { class: connected ? 'dot on' : 'dot', 'aria-hidden': 'true' }),
    h('span', { class: 'client', title: client }, client),
    h('span', { class: 'state' }, kept ? `${state} · kept` : state),
    h('ul', {}, ...behind),
  )
}
