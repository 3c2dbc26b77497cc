/** A reader of server-sent events, as WHATWG HTML says. */
import { Arrivals, type Trace } from './arrivals.ts'
import { must, short } from './check.ts'
import { objectOf, type Json } from './wire.ts'

export interface ServerEvent {
  readonly event: string
  readonly id: string | undefined
  readonly data: string
  readonly json: Json
}

export class EventReader {
  readonly events: Arrivals<ServerEvent>
  readonly contentType: string
  readonly #abort: AbortController
  readonly #trace: Trace

  /** Throws `Broken` where the answer is not 200. */
  static async open(url: URL, headers: Record<string, string>, timeoutMs: number, trace: Trace): Promise<EventReader> {
    const abort = new AbortController()
    const late = setTimeout(() => abort.abort(), timeoutMs)
    trace.add(`→ GET ${decodeURIComponent(`${url.pathname}${url.search}`)}`)
    try {
      const response = await fetch(url, { headers, redirect: 'manual', signal: abort.signal })
      must(response.status === 200 && response.body !== null, `GET ${url.pathname} was answered ${response.status}`)
      return new EventReader(response, response.body, { abort, timeoutMs, trace })
    } finally {
      clearTimeout(late)
    }
  }

  private constructor(
    response: Response,
    body: ReadableStream<Uint8Array>,
    parts: { readonly abort: AbortController; readonly timeoutMs: number; readonly trace: Trace },
  ) {
    this.contentType = response.headers.get('content-type') ?? ''
    this.#abort = parts.abort
    this.#trace = parts.trace
    this.events = new Arrivals(parts.timeoutMs)
    void this.#read(body)
  }

  next(event: string, matches: (found: ServerEvent) => boolean = () => true): Promise<ServerEvent> {
    return this.events.take((found) => found.event === event && matches(found), `the event ${event}`)
  }

  close(): void {
    this.#abort.abort()
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    let rest = ''
    try {
      for await (const chunk of body) {
        rest += decoder.decode(chunk, { stream: true })
        const blocks = rest.split(/\r?\n\r?\n/)
        rest = blocks.pop() ?? ''
        for (const block of blocks) this.#take(block)
      }
      this.events.end('the event stream ended')
    } catch (error) {
      this.events.end(this.#abort.signal.aborted ? 'the check was over' : `the event stream broke: ${String(error)}`)
    }
  }

  #take(block: string): void {
    const lines = block.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith(':'))
    if (lines.length === 0) return
    const values = (name: string): string[] =>
      lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ''))
    const data = values('data').join('\n')
    const [event = 'message'] = values('event')
    this.#trace.add(`← event ${event} ${short(data, 140)}`)
    this.events.add({ event, id: values('id').at(-1), data, json: objectOf(data) ?? {} })
  }
}
