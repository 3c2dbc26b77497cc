/** The tail of one stream: live, filtered, paused, and back through its history. */
import { ClientError, type Entry, type Readable, type Status, type Stream } from '../client/index.ts'
import { h, Keyed, onFrame, setText } from './dom.ts'
import { messageOf, plural } from './format.ts'
import { filterOf, TailModel } from './tail-model.ts'
import { rowOf, type RowActions } from './tail-row.ts'

export interface TailParts extends RowActions {
  readonly stream: Stream
  readonly status: Readable<Status>
  /** Each live entry, once. */
  readonly seen: (entry: Entry) => void
  /** What was shown does not hold any more. */
  readonly reset: (reason: string) => void
}

/** This near to an end counts as being there. */
const nearPixels = 60
/** Pages looked through at once for entries that match. */
const pagesAtOnce = 10

export class Tail {
  readonly element: HTMLElement
  readonly filter: HTMLInputElement
  readonly #parts: TailParts
  readonly #model: TailModel
  readonly #ended = new AbortController()
  readonly #list = h('ol', { class: 'entries' })
  readonly #scroller: HTMLElement
  readonly #older = h('button', { class: 'small older', onclick: () => void this.#loadOlder() }, 'Older entries')
  readonly #told = h('p', { class: 'told', role: 'status' })
  readonly #pause: HTMLButtonElement
  readonly #newest = h('button', { hidden: true, onclick: () => this.#toEnd() }, '↓ Newest')
  readonly #rows: Keyed<Entry, HTMLLIElement>
  readonly #render = onFrame(() => this.#show())
  #matches: (entry: Entry) => boolean = () => true
  /** Where the list stood when it was paused: what came later waits. */
  #pausedAt: Entry | undefined
  #paused = false
  #loading = false

  constructor(parts: TailParts) {
    this.#parts = parts
    this.#model = new TailModel(parts.stream, this.#render)
    this.#rows = new Keyed(this.#list, (entry) => rowOf(entry, parts))
    this.filter = h('input', {
      type: 'search',
      placeholder: 'Filter: words, or cards/#',
      'aria-label': 'Filter entries',
      autocomplete: 'off',
      spellcheck: 'false',
      oninput: () => {
        this.#matches = filterOf(this.filter.value)
        this.#render()
      },
    })
    this.#pause = h('button', { 'aria-pressed': 'false', onclick: () => this.togglePause() }, 'Pause')
    this.#scroller = h(
      'div',
      { class: 'scroller', tabindex: 0, role: 'region', 'aria-label': 'Entries' },
      this.#older,
      this.#list,
      this.#told,
    )
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true })
    this.element = h('div', { class: 'tail' }, h('div', { class: 'toolbar' }, this.filter, this.#newest, this.#pause), this.#scroller)
    setText(this.#told, 'Loading …')
    void this.#run()
  }

  close(): void {
    this.#ended.abort()
  }

  /** Shows only what matches. */
  setFilter(text: string): void {
    this.filter.value = text
    this.filter.dispatchEvent(new Event('input'))
  }

  togglePause(): void {
    this.#paused = !this.#paused
    this.#pausedAt = this.#paused ? this.#model.entries.at(-1) : undefined
    this.#pause.setAttribute('aria-pressed', String(this.#paused))
    this.#show()
  }

  /** Until it is closed: what fails for want of a connection begins again with the next one. */
  async #run(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted) {
      try {
        await this.#follow(signal)
        return
      } catch (error) {
        if (signal.aborted) return
        setText(this.#told, messageOf(error))
        if (!(error instanceof ClientError) || error.retry === 'no') return
        await this.#nextConnection(signal)
      }
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { stream, seen, reset } = this.#parts
    const from = await this.#model.begin(signal)
    const onReset = ({ reason }: { readonly reason: string }): void => {
      this.#model.clear()
      this.#pausedAt = undefined
      reset(reason)
    }
    for await (const entry of stream.entries({ from, onReset, signal })) {
      this.#model.add(entry)
      if (!entry.snapshot) seen(entry)
    }
  }

  #nextConnection(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      let stop = (): void => {}
      let wasAway = false
      const look = ({ connection }: Status): void => {
        if (connection !== 'online') wasAway = true
        else if (wasAway) done()
      }
      const done = (): void => {
        clearTimeout(timer)
        stop()
        resolve()
      }
      // One request may fail while the connection stays.
      const timer = setTimeout(done, 5_000)
      stop = this.#parts.status.subscribe(look)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  #show(): void {
    const { entries } = this.#model
    const end = this.#pausedAt ? entries.lastIndexOf(this.#pausedAt) + 1 : this.#paused ? 0 : entries.length
    const shown = entries.slice(0, end).filter((entry) => this.#matches(entry))
    const wasAtEnd = this.#isAtEnd()
    const oldest = this.#list.firstElementChild
    const oldestTop = oldest?.getBoundingClientRect().top ?? 0
    this.#rows.show(shown, keyOf)
    this.#older.hidden = !this.#model.hasOlder
    this.#say(shown.length)
    const waiting = entries.slice(end).filter((entry) => this.#matches(entry)).length
    setText(this.#pause, this.#paused ? `Resume${waiting > 0 ? ` (${waiting} new)` : ''}` : 'Pause')
    if (wasAtEnd && !this.#paused) this.#toEnd()
    // What is being read stays where it is when older entries come in above it.
    else if (oldest?.isConnected) this.#scroller.scrollTop += oldest.getBoundingClientRect().top - oldestTop
    this.#looked()
    if (this.#model.hasOlder && this.#scroller.scrollHeight <= this.#scroller.clientHeight) void this.#loadOlder()
  }

  #say(shown: number): void {
    const all = this.#model.entries.length
    const filtered = this.filter.value.trim() !== ''
    const told = all === 0 ? 'Nothing was published here yet.' : filtered ? `${plural(shown, 'entry', 'entries')} of ${all} match` : ''
    setText(this.#told, told)
  }

  #scrolled(): void {
    this.#looked()
    if (this.#scroller.scrollTop < nearPixels && this.#model.hasOlder) void this.#loadOlder()
  }

  #looked(): void {
    const isAtEnd = this.#isAtEnd()
    this.#newest.hidden = isAtEnd
    this.#model.atEnd = isAtEnd && !this.#paused
  }

  #isAtEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller
    return scrollHeight - scrollTop - clientHeight < nearPixels
  }

  #toEnd(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight
  }

  /** Page by page until something that matches came in. */
  async #loadOlder(): Promise<void> {
    if (this.#loading) return
    this.#loading = true
    this.#older.toggleAttribute('disabled', true)
    try {
      for (let pages = 0; pages < pagesAtOnce && this.#model.hasOlder; pages++) {
        const [oldest] = this.#model.entries
        await this.#model.older(this.#ended.signal)
        const brought = oldest ? this.#model.entries.slice(0, this.#model.entries.indexOf(oldest)) : this.#model.entries
        if (brought.some((entry) => this.#matches(entry))) return
      }
    } catch (error) {
      if (!this.#ended.signal.aborted) setText(this.#told, messageOf(error))
    } finally {
      this.#loading = false
      this.#older.toggleAttribute('disabled', false)
    }
  }
}

/** Ephemeral messages have neither position nor id. */
const ephemeralKeys = new WeakMap<Entry, string>()
let ephemerals = 0

function keyOf(entry: Entry): string {
  if (entry.pos !== '') return entry.snapshot ? `state ${entry.pos}` : entry.pos
  let key = ephemeralKeys.get(entry)
  if (key === undefined) ephemeralKeys.set(entry, (key = `ephemeral ${ephemerals++}`))
  return key
}
