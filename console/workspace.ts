/** Everything for one signed-in user: the streams to choose from, and what is shown of the chosen one. */
import { connect, type Client, type Entry, type Status } from '../client/index.ts'
import { readablesOf, tokenOf, type Account, type Readable } from './account.ts'
import { Banner } from './banner.ts'
import { Charts } from './charts.ts'
import { h, setText } from './dom.ts'
import { plural } from './format.ts'
import { Meter } from './meter.ts'
import { PublishBox } from './publish.ts'
import { Sessions } from './sessions.ts'
import { Tail } from './tail.ts'
import { Topics } from './topics.ts'

const views = ['Topics', 'Entries', 'Publish', 'Latency', 'Sessions'] as const
type View = (typeof views)[number]

export class Workspace {
  readonly element: HTMLElement
  readonly #client: Client
  readonly #banner: Banner
  readonly #sessions: Sessions
  readonly #readables: readonly Readable[]
  readonly #streams = h('ul', { class: 'streams' })
  readonly #places = new Map<View, HTMLElement>()
  readonly #stopKeys: () => void
  readonly #stopStatus: () => void
  #tail: Tail | undefined
  #closeStream = (): void => {}

  /** Throws a SignInError where the token is refused. */
  static async open(account: Account, signOut: () => void): Promise<Workspace> {
    return new Workspace(account, await readablesOf(await tokenOf(account)), signOut)
  }

  private constructor(account: Account, readables: readonly Readable[], signOut: () => void) {
    this.#readables = readables
    const token = (): Promise<string> => tokenOf(account)
    // A token that was pasted here is for this page: other tabs may have other rights.
    this.#client = connect({ url: location.origin, getToken: token, name: 'console', shareTabs: false })
    const pasted = account.kind === 'pasted' ? account.token : undefined
    this.#banner = new Banner({ client: this.#client, pasted, signInAgain: signOut })
    this.#sessions = new Sessions(token)
    const who = h('span', { class: 'who' }, account.kind === 'development' ? account.name : '')
    const state = h('span', { class: 'connection', role: 'status' })
    this.#stopStatus = this.#client.status.subscribe((status) => showStatus(status, who, state))
    for (const view of views) this.#places.set(view, h('div', { class: 'place' }))
    this.element = h(
      'div',
      { class: 'workspace', 'data-view': 'Entries' },
      h('header', {}, h('h1', {}, 'Tidemark'), state, who, h('button', { class: 'small', onclick: signOut }, 'Switch user')),
      this.#banner.element,
      h('nav', { class: 'views', 'aria-label': 'Views' }, ...views.map((view) => this.#viewButton(view))),
      h(
        'main',
        {},
        this.#section('Topics', h('nav', { 'aria-label': 'Streams' }, this.#streams)),
        this.#section('Entries'),
        this.#section('Publish'),
        this.#section('Latency'),
        this.#section('Sessions', this.#sessions.element),
      ),
    )
    this.#stopKeys = this.#listenToKeys()
    for (const readable of readables) this.#streams.append(h('li', {}, this.#streamButton(readable)))
    const [first] = readables
    if (first) this.#choose(first)
  }

  async close(): Promise<void> {
    this.#stopKeys()
    this.#stopStatus()
    this.#closeStream()
    this.#banner.close()
    this.#sessions.close()
    await this.#client.close()
  }

  #choose(readable: Readable): void {
    this.#closeStream()
    const { stream: name, filter, writes } = readable
    for (const [at, item] of [...this.#streams.children].entries())
      item.firstElementChild?.setAttribute('aria-current', String(this.#readables[at] === readable))
    const stream = this.#client.stream(name, { filter })
    const meter = new Meter()
    const charts = new Charts(meter)
    const edit = (entry: Entry): void => {
      if (!writes) return
      this.#show('Publish')
      box.edit(entry)
    }
    const narrow = (text: string): void => {
      this.#show('Entries')
      tail.setFilter(text)
    }
    const topics = new Topics({ stream, pick: edit, narrow })
    const box = new PublishBox({ client: this.#client, stream, current: (topic) => topics.get(topic) })
    const tail = new Tail({
      stream,
      status: this.#client.status,
      edit,
      seen: (entry) => meter.add(entry),
      reset: (reason) => this.#banner.reset(name, reason),
    })
    this.#tail = tail
    this.#places.get('Topics')?.replaceChildren(topics.element)
    this.#places.get('Entries')?.replaceChildren(tail.element)
    this.#places.get('Publish')?.replaceChildren(writes ? box.element : h('p', { class: 'told' }, 'This token may not publish here.'))
    this.#places.get('Latency')?.replaceChildren(charts.element)
    this.#closeStream = () => {
      for (const part of [tail, topics, box, charts]) part.close()
    }
  }

  #section(view: View, ...before: HTMLElement[]): HTMLElement {
    const id = `heading-${view}`
    return h('section', { 'data-view': view, 'aria-labelledby': id }, h('h2', { id }, view), ...before, this.#places.get(view))
  }

  #viewButton(view: View): HTMLElement {
    return h('button', { 'data-view': view, 'aria-current': String(view === 'Entries'), onclick: () => this.#show(view) }, view)
  }

  /** On a narrow page one view at a time. */
  #show(view: View): void {
    this.element.dataset['view'] = view
    for (const button of this.element.querySelectorAll('.views button'))
      button.setAttribute('aria-current', String(button.textContent === view))
  }

  #streamButton(readable: Readable): HTMLElement {
    const { stream, filter } = readable
    return h('button', { onclick: () => this.#choose(readable) }, filter === '#' ? stream : `${stream}/${filter}`)
  }

  /** `/` goes to the filter, `p` pauses, where nothing is being written. */
  #listenToKeys(): () => void {
    const pressed = (event: KeyboardEvent): void => {
      const isWriting = event.target instanceof Element && event.target.matches('input, textarea, select')
      if (isWriting || event.ctrlKey || event.metaKey || event.altKey) return
      if (event.key === '/') {
        event.preventDefault()
        this.#show('Entries')
        this.#tail?.filter.focus()
      } else if (event.key === 'p') this.#tail?.togglePause()
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  }
}

/** Fewer come and go with every message. */
const behindShown = 100

function showStatus({ connection, transport, pending, behind, uid }: Status, who: HTMLElement, state: HTMLElement): void {
  if (uid !== undefined) setText(who, uid)
  state.dataset['state'] = connection
  const parts = [
    connection === 'online' && transport ? `online (${transport})` : connection,
    ...(pending > 0 ? [`${plural(pending, 'publish', 'publishes')} waiting`] : []),
    ...(behind !== undefined && behind >= behindShown ? [`${behind.toLocaleString()} behind`] : []),
  ]
  setText(state, parts.join(' · '))
}
