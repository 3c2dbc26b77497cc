/** What the person must know at once: no connection, a refused token, its end, a stream that was reset. */
import type { Client, Status } from '../client/index.ts'
import { expiryOf } from './account.ts'
import { h, setText } from './dom.ts'
import { messageOf } from './format.ts'

export interface BannerParts {
  readonly client: Client
  /** The pasted token; undefined where fresh ones come by themselves. */
  readonly pasted: string | undefined
  readonly signInAgain: () => void
}

/** This long before the end of a pasted token it is said. */
const warnMs = 120_000
/** A connection that comes back within this time is not worth a word. */
const patienceMs = 1_000

export class Banner {
  readonly element = h('div', { class: 'banners' })
  readonly #parts: BannerParts
  readonly #connection: Line
  readonly #expiry: Line
  readonly #reset: Line
  readonly #stop: () => void
  readonly #clock: ReturnType<typeof setInterval>
  #patience: ReturnType<typeof setTimeout> | undefined
  #wasOnline = false

  constructor(parts: BannerParts) {
    this.#parts = parts
    const { client, signInAgain } = parts
    this.#connection = new Line('alert', ['Try now', () => client.retry()], ['Sign in again', signInAgain])
    this.#expiry = new Line('status', ['Paste a fresh token', signInAgain])
    this.#reset = new Line('status', ['Dismiss', () => this.#reset.hide()])
    this.element.append(this.#connection.element, this.#expiry.element, this.#reset.element)
    this.#stop = client.status.subscribe((status) => this.#show(status))
    this.#clock = setInterval(() => this.#lookAtClock(), 1_000)
    this.#lookAtClock()
  }

  /** The stream begins anew: what was shown is gone from the page. */
  reset(stream: string, reason: string): void {
    const why: Readonly<Record<string, string>> = {
      trimmed: 'entries that this page had not seen were trimmed',
      epoch: 'the server has another history, as after a restore',
      ahead: 'the server is behind what this page has seen, as after a restore',
      erased: 'it was erased',
    }
    this.#reset.show('warn', `${stream} was reset: ${why[reason] ?? reason}. What follows begins with its present state.`)
  }

  close(): void {
    this.#stop()
    clearInterval(this.#clock)
    clearTimeout(this.#patience)
  }

  #show({ connection, error }: Status): void {
    clearTimeout(this.#patience)
    if (connection === 'online') {
      this.#wasOnline = true
      return this.#connection.hide()
    }
    if (connection === 'refused') return this.#connection.show('bad', `The server refuses this token: ${messageOf(error)}.`)
    if (connection === 'closed') return
    const words = error ? `: ${messageOf(error)}` : ''
    const say = (): void =>
      this.#connection.show('warn', this.#wasOnline ? `Disconnected${words}. Trying again …` : `Not connected yet${words}. Trying …`)
    if (connection === 'offline') say()
    else if (this.#connection.element.hidden) this.#patience = setTimeout(say, patienceMs)
  }

  #lookAtClock(): void {
    const { pasted } = this.#parts
    const ends = pasted === undefined ? undefined : expiryOf(pasted)
    if (ends === undefined) return
    const leftMs = ends - Date.now()
    if (leftMs <= 0) this.#expiry.show('bad', 'This token has expired.')
    else if (leftMs < warnMs) this.#expiry.show('warn', `This token ends in ${Math.ceil(leftMs / 1000)} s.`)
  }
}

class Line {
  readonly element: HTMLElement
  readonly #words = h('span')

  constructor(role: 'alert' | 'status', ...actions: readonly (readonly [string, () => void])[]) {
    const buttons = actions.map(([name, onclick]) => h('button', { class: 'small', onclick }, name))
    this.element = h('div', { class: 'banner', role, hidden: true }, this.#words, ...buttons)
  }

  show(kind: 'warn' | 'bad', words: string): void {
    this.element.className = `banner ${kind}`
    this.element.hidden = false
    setText(this.#words, words)
  }

  hide(): void {
    this.element.hidden = true
  }
}
