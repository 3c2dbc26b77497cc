/** A reader of server-sent events that reads as WHATWG HTML 9.2.6 says, over a real connection that can be cut or left unread. */
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { Inbox, within } from './waiting.ts'

export interface SentEvent {
  readonly name: string
  /** The last id at this event, also where the event itself has none. */
  readonly lastId: string
  readonly hasId: boolean
  readonly data: string
  readonly json: Readonly<Record<string, unknown>>
}

export interface EventsRequest {
  readonly token?: string
  readonly from: readonly string[]
  readonly lastEventId?: string
  readonly headers?: Readonly<Record<string, string>>
}

const living = new Set<EventReader>()

/** Cuts all readers that are left; for `afterEach`. */
export function cutEventReaders(): void {
  for (const reader of living) reader.cut()
}

export function eventsPath(from: readonly string[]): string {
  return `/v1/events?${from.map((one) => `from=${encodeURIComponent(one)}`).join('&')}`
}

export class EventReader {
  readonly response: IncomingMessage
  readonly inbox = new Inbox<SentEvent>()
  /** Resolves when the response is over: true if the server ended it in good order. */
  readonly over: Promise<boolean>
  comments = 0
  bytesRead = 0
  lastId = ''
  readonly #request: ClientRequest
  readonly #lines = new Inbox<string>()
  #name = ''
  #data: string[] = []
  #hasId = false
  #rest = ''

  /** Resolves when the server has answered 200; rejects with its refusal. */
  static async open(url: string, { token, from, lastEventId, headers }: EventsRequest): Promise<EventReader> {
    const asked = request(url + eventsPath(from), {
      agent: false,
      headers: {
        accept: 'text/event-stream',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
        ...headers,
      },
    })
    const answered = new Promise<IncomingMessage>((resolve, reject) => void asked.once('response', resolve).once('error', reject))
    asked.end()
    const response = await within(answered, 'the answer to a request for events')
    const reader = new EventReader(asked, response)
    if (response.statusCode === 200) return reader
    await within(reader.over, 'the end of a refusal')
    throw new Error(`${response.statusCode} ${reader.#rest}`)
  }

  private constructor(asked: ClientRequest, response: IncomingMessage) {
    living.add(this)
    this.#request = asked
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (text: string) => this.#read(text))
    asked.on('error', () => {}) // Told by `over`.
    response.on('error', () => {})
    this.over = new Promise((resolve) => {
      response.once('close', () => {
        this.inbox.end('the event stream is over')
        this.#lines.end('the event stream is over')
        resolve(response.complete)
      })
    })
  }

  /** The next event of this name that was not taken yet. */
  async event(name: string, matches: (event: SentEvent) => boolean = () => true): Promise<SentEvent> {
    return await this.inbox.take((event) => event.name === name && matches(event), `an event ${name}`)
  }

  /** The next events of this name. */
  async events(name: string, count: number): Promise<SentEvent[]> {
    const events: SentEvent[] = []
    while (events.length < count) events.push(await this.event(name))
    return events
  }

  /** The next `at` of the filter that says it is caught up. */
  async caughtUp(filter: string): Promise<SentEvent> {
    return await this.event('at', ({ json }) => json['filter'] === filter && json['pos'] === json['head'])
  }

  async comment(): Promise<void> {
    await this.#lines.take((line) => line.startsWith(':'), 'a comment')
  }

  pause(): void {
    this.response.pause()
  }

  resume(): void {
    this.response.resume()
  }

  cut(): void {
    living.delete(this)
    this.#request.destroy()
  }

  #read(text: string): void {
    this.bytesRead += Buffer.byteLength(text)
    if (this.response.statusCode !== 200) return void (this.#rest += text)
    // A line ends with CR LF, LF or CR; a CR at the end may be half of one.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() as string
    for (const line of lines) this.#line(line)
  }

  #line(line: string): void {
    this.#lines.add(line)
    if (line === '') return this.#dispatch()
    if (line.startsWith(':')) return void this.comments++
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') this.#name = value
    else if (field === 'data') this.#data.push(value)
    else if (field === 'id') {
      this.lastId = value
      this.#hasId = true
    } else throw new Error(`no field of an event: ${line}`)
  }

  #dispatch(): void {
    const [name, data, hasId] = [this.#name, this.#data.join('\n'), this.#hasId]
    const isEvent = this.#data.length > 0
    this.#name = ''
    this.#data = []
    this.#hasId = false
    if (isEvent) this.inbox.add({ name, lastId: this.lastId, hasId, data, json: JSON.parse(data) as Record<string, unknown> })
  }
}
