/** Reads what a line wants, one request at a time, again after a pause where it failed. */
import type { Bounds } from '../bounds.ts'
import { asClientError, type ClientError } from '../errors.ts'
import type { History, Timers } from '../seams.ts'
import type { ResetReason } from '../wire.ts'
import type { Line, Wanted } from './line.ts'

export interface PagesParts {
  readonly history: History
  readonly timers: Timers
  readonly bounds: Pick<Bounds, 'pageEntries' | 'retryFirstMs' | 'retryLongestMs'>
  readonly stream: string
  /** The filter below the stream, in the wire's form. */
  readonly topic: string
  /** After each answer, and each failure. */
  readonly moved: () => void
}

const gone: ReadonlySet<string> = new Set(['trimmed', 'epoch', 'ahead'])
/** Asking again cannot help. What else fails may be mended: by a token, by time, by whoever runs the server. */
const final: ReadonlySet<string> = new Set(['forbidden', 'bad-filter', 'bad-topic', 'bad-position', 'bad-request', 'not-found'])

export class Pages {
  readonly #parts: PagesParts
  readonly #line: Line
  #request: AbortController | undefined
  #pausing: (() => void) | undefined
  #failures = 0

  constructor(line: Line, parts: PagesParts) {
    this.#line = line
    this.#parts = parts
  }

  /** Asks for what is wanted now, if nothing is under way. */
  work(): void {
    const { wanted } = this.#line
    if (!wanted || this.#request || this.#pausing) return
    const request = new AbortController()
    this.#request = request
    void this.#read(wanted, request)
  }

  /** Forgets what is under way: the session is over. */
  stop(): void {
    this.#request?.abort()
    this.#request = undefined
    this.#pausing?.()
    this.#pausing = undefined
    this.#failures = 0
  }

  async #read(wanted: Wanted, request: AbortController): Promise<void> {
    const { history, stream, topic, bounds } = this.#parts
    const query = { topic, limit: bounds.pageEntries, ...(wanted.after === undefined ? {} : { after: wanted.after }) }
    let take: () => void
    try {
      if (wanted.kind === 'entries') {
        const page = await history.entries(stream, query, request.signal)
        take = () => this.#line.dispatch('page', page)
      } else {
        const page = await history.state(stream, query, request.signal)
        take = () => this.#line.dispatch('statePage', page)
      }
      this.#failures = 0
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      take = () => this.#failed(error)
    }
    // Given up meanwhile: whatever it says is of another session.
    if (this.#request !== request) return
    this.#request = undefined
    take()
    this.#parts.moved()
  }

  #failed(error: ClientError): void {
    const { first, head } = error.details
    if (gone.has(error.code)) return this.#line.dispatch('gone', error.code as ResetReason, text(first), text(head))
    if (final.has(error.code)) return this.#line.dispatch('refused', error)
    this.#line.dispatch('unanswered')
    const { state } = this.#line
    // Asked again when the session has told where it begins.
    if (state === 'waiting' || state === 'joining') return
    const { timers, bounds } = this.#parts
    const longest = Math.min(bounds.retryLongestMs, bounds.retryFirstMs * 2 ** Math.min(this.#failures++, 20))
    this.#pausing = timers.after(longest * (0.5 + timers.random() / 2), () => {
      this.#pausing = undefined
      this.work()
    })
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
