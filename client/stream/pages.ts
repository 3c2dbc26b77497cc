/** Reads what a line wants, page by page, again after a pause where it failed. The page after the one on its way is asked for ahead. */
import type { Bounds } from '../bounds.ts'
import { asClientError, type ClientError } from '../errors.ts'
import type { History, Timers } from '../seams.ts'
import type { EntriesPage, ResetReason } from '../wire.ts'
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

interface Asked {
  readonly after: string
  readonly page: Promise<EntriesPage>
  /** Where the page after it begins, once the server has said so. */
  next: string | undefined
}

export class Pages {
  readonly #parts: PagesParts
  readonly #line: Line
  /** What is under way now; what comes of another one is of another session. */
  #request: object | undefined
  /** Ends what was asked for since the last `stop`. */
  #tenure = new AbortController()
  #present: Asked | undefined
  #ahead: Asked | undefined
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
    const request = {}
    this.#request = request
    void this.#read(wanted, request)
  }

  /** Forgets what is under way: the session is over. */
  stop(): void {
    this.#tenure.abort()
    this.#tenure = new AbortController()
    this.#request = this.#present = this.#ahead = undefined
    this.#pausing?.()
    this.#pausing = undefined
    this.#failures = 0
  }

  async #read(wanted: Wanted, request: object): Promise<void> {
    let take: () => void
    try {
      if (wanted.kind === 'entries') {
        const page = await this.#entriesAfter(wanted.after)
        take = () => this.#line.dispatch('page', page)
      } else {
        const { history, stream, topic, bounds } = this.#parts
        const query = { topic, limit: bounds.pageEntries, ...(wanted.after === undefined ? {} : { after: wanted.after }) }
        const page = await history.state(stream, query, this.#tenure.signal)
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

  #entriesAfter(after: string): Promise<EntriesPage> {
    const asked = this.#ahead?.after === after ? this.#ahead : this.#ask(after)
    this.#present = asked
    this.#ahead = asked.next === undefined ? undefined : this.#ask(asked.next)
    return asked.page
  }

  #ask(after: string): Asked {
    const { history, stream, topic, bounds } = this.#parts
    const onNext = (next: string): void => {
      asked.next = next
      // One page ahead and no more: what is not taken waits on the server.
      if (asked === this.#present) this.#ahead = this.#ask(next)
    }
    const page = history.entries(stream, { topic, limit: bounds.pageEntries, after }, this.#tenure.signal, onNext)
    // Of a page that nobody takes, nobody needs to know that it failed.
    page.catch(() => undefined)
    const asked: Asked = { after, page, next: undefined }
    return asked
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
