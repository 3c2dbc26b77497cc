/** Plain HTTP, for networks that block WebSocket: one event stream for all filters [P-18.1], one POST per put [P-11.3]. */
import { asClientError, ClientError, errorOf } from '../errors.ts'
import { pathOf } from '../history.ts'
import { answerOf, ask, objectIn, problemOf, send, within, type Answer, type Surroundings } from '../request.ts'
import type { Put, PutAnswer } from '../wire.ts'
import { ClockEstimate } from './clock.ts'
import { readEvents, type ServerEvent } from './event-stream.ts'
import { Following } from './following.ts'
import type { Credential, Session, SessionEvents, Transport } from './transport.ts'

export function httpTransport(surroundings: Surroundings): Transport {
  return {
    kind: 'http',
    // Requests may overtake each other.
    putsInFlightMax: 1,
    async open(credential, events, signal) {
      await check(surroundings, credential, surroundings.bounds.openTimeoutMs, signal)
      return new HttpSession(surroundings, credential, events)
    },
  }
}

const bearer = ({ token }: Credential): Record<string, string> => ({ authorization: `Bearer ${token}` })

const over = (): ClientError => new ClientError('network', 'the session is over')

/** Whether the server is there and takes the token. Where the user's own stream is not granted, it does. */
async function check(surroundings: Surroundings, credential: Credential, ms: number, signal: AbortSignal): Promise<void> {
  const url = `${credential.httpUrl}${pathOf(`users/${credential.uid ?? '-'}`)}/entries?limit=0`
  const answer = await ask(surroundings, url, { headers: bearer(credential) }, signal, { ms })
  if (answer.status !== 200 && answer.status !== 403) throw problemOf(answer)
}

class HttpSession implements Session {
  readonly #surroundings: Surroundings
  readonly #events: SessionEvents
  readonly #following: Following
  readonly #clock: ClockEstimate
  /** One each: many listeners on one signal make Node warn. */
  readonly #requests = new Set<AbortController>()
  #isOver = false
  #credential: Credential
  /** Where each followed filter is; empty before its first event: it begins now. */
  readonly #places = new Map<string, string>()
  #stream = new AbortController()
  #isChanged = false

  constructor(surroundings: Surroundings, credential: Credential, events: SessionEvents) {
    this.#surroundings = surroundings
    this.#credential = credential
    this.#events = events
    this.#following = new Following(events)
    this.#clock = new ClockEstimate(surroundings.timers)
  }

  follow(filter: string): void {
    this.#places.delete(filter)
    this.#places.set(filter, '')
    this.#following.add(filter)
    this.#changed()
  }

  unfollow(filter: string): void {
    this.#forget(filter)
    this.#changed()
  }

  async put(topic: string, put: Put): Promise<PutAnswer> {
    const { putTimeoutMs } = this.#surroundings.bounds
    const [kind, id, ...levels] = topic.split('/')
    const url = `${this.#credential.httpUrl}${pathOf(`${kind}/${id}`)}/entries`
    const body = JSON.stringify({ ...put, topic: levels.join('/') })
    const headers = { ...bearer(this.#credential), 'content-type': 'application/json' }
    let answer: Answer
    try {
      answer = await this.#request((signal) =>
        ask(this.#surroundings, url, { method: 'POST', headers, body }, signal, { ms: putTimeoutMs }),
      )
    } catch (thrown) {
      throw this.#end(asClientError(thrown, 'network'))
    }
    if (answer.status < 300) return answer.body as unknown as PutAnswer
    const error = problemOf(answer)
    // What MQTT closes the connection for: what became of the put is not said, or the token is no longer good.
    if (answer.status >= 500 || answer.status === 401 || error.code === 'not-tidemark') {
      this.#end(error)
      throw new ClientError('network', error.message, {}, error)
    }
    return { id: put.id, error: error.code, reason: error.message, ...error.details }
  }

  async renew(credential: Credential): Promise<void> {
    if (credential.uid !== this.#credential.uid || credential.clientId !== this.#credential.clientId) {
      throw new ClientError('forbidden', 'the fresh token is of another user or client')
    }
    await this.#check(credential, this.#surroundings.bounds.putTimeoutMs)
    this.#credential = credential
    this.#changed()
  }

  probe(): Promise<void> {
    return this.#check(this.#credential, this.#surroundings.bounds.probeTimeoutMs)
  }

  clockOffset(): ReturnType<Session['clockOffset']> {
    return this.#clock.get()
  }

  close(): void {
    this.#end(undefined)
  }

  async #check(credential: Credential, ms: number): Promise<void> {
    try {
      await this.#request((signal) => check(this.#surroundings, credential, ms, signal))
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      throw error.code === 'network' ? this.#end(error) : error
    }
  }

  async #request<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    if (this.#isOver) throw over()
    const request = new AbortController()
    this.#requests.add(request)
    try {
      return await work(request.signal)
    } finally {
      this.#requests.delete(request)
    }
  }

  #end(reason: ClientError | undefined): ClientError {
    if (!this.#isOver) {
      this.#isOver = true
      for (const request of this.#requests) request.abort(over())
      this.#stream.abort()
      this.#events.closed(reason)
    }
    return reason ?? over()
  }

  #forget(filter: string): void {
    this.#places.delete(filter)
    this.#following.delete(filter)
  }

  /** What changes in one turn asks for the stream once. */
  #changed(): void {
    if (this.#isChanged) return
    this.#isChanged = true
    queueMicrotask(() => this.#restart())
  }

  /** Asks for the stream again, each filter from where it is: nothing is missed, and nothing comes twice [P-18.3]. */
  #restart(): void {
    this.#isChanged = false
    this.#stream.abort()
    if (this.#isOver) return
    const filters = [...this.#places.keys()]
    for (const filter of filters.splice(this.#credential.filtersMax)) this.#refused(filter)
    if (filters.length === 0) return
    this.#stream = new AbortController()
    void this.#read(filters, this.#stream.signal)
  }

  async #read(filters: readonly string[], signal: AbortSignal): Promise<void> {
    const { timers, bounds } = this.#surroundings
    const beganMs = timers.now()
    let cancel = (): void => {}
    // Something comes every 15 s [P-18.15]: silence is a connection that is dead without knowing it.
    const sound = (): void => {
      cancel()
      cancel = timers.after(bounds.quietMs, () => this.#restart())
    }
    try {
      const body = await this.#open(filters, signal)
      sound()
      await readEvents(body, (event) => void (signal.aborted || this.#event(event, filters)), sound)
      throw new ClientError('network', 'the event stream broke off')
    } catch (thrown) {
      if (!signal.aborted) this.#broke(asClientError(thrown, 'network'), filters, timers.now() - beganMs)
    } finally {
      cancel()
    }
  }

  async #open(filters: readonly string[], signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { timers, bounds } = this.#surroundings
    const from = filters.map((filter) => ['from', `${filter}@${this.#places.get(filter) ?? ''}`])
    const url = `${this.#credential.httpUrl}/v1/events?${new URLSearchParams(from).toString()}`
    for (const filter of filters) if (this.#places.get(filter) === '') this.#clock.asked(filter)
    const late = (): ClientError => new ClientError('network', `no event stream within ${bounds.openTimeoutMs} ms`)
    const headers = { ...bearer(this.#credential), accept: 'text/event-stream' }
    const response = await within(timers, bounds.openTimeoutMs, late, () => send(this.#surroundings, url, { headers }, signal), signal)
    const isStream = response.status === 200 && response.headers.get('content-type')?.startsWith('text/event-stream')
    if (isStream && response.body) return response.body
    throw problemOf(await answerOf(url, response))
  }

  #event({ name, id, data }: ServerEvent, filters: readonly string[]): void {
    const message = objectIn(data) ?? {}
    if (name === 'closed') throw errorOf(message['code'], 503, 'the server ended the event stream')
    const filter = String(message['filter'])
    if (!this.#places.has(filter)) return
    const places = id === '' ? [] : id.split(',')
    for (const [at, place] of places.entries()) if (this.#places.has(filters[at] as string)) this.#places.set(filters[at] as string, place)
    if (name === 'entry' || name === 'ephemeral') return this.#following.entryOf(filter, message as never)
    if (name === 'at') this.#clock.answered(filter, Number(message['ts']))
    // Asked for again it would be refused or reset again, and all others with it.
    if (name === 'reset' || name === 'ended') this.#places.delete(filter)
    this.#following.control(filter, message)
  }

  #refused(filter: string): void {
    this.#places.delete(filter)
    this.#following.refused(filter)
  }

  /** One bad filter refuses the request [P-18.4]: the others go on without it. */
  #broke(error: ClientError, filters: readonly string[], livedMs: number): void {
    if (error.code === 'forbidden' || error.code === 'bad-filter' || error.code === 'bad-request') {
      const named = error.details['filter']
      const begun = (filter: string): boolean => (this.#places.get(filter) ?? '') !== ''
      const bad = filters.filter((filter) => (typeof named === 'string' ? filter === named : !begun(filter)))
      if (bad.length > 0) {
        for (const filter of bad) this.#refused(filter)
        return this.#restart()
      }
    }
    // There are proxies that end every answer after a minute.
    if (error.code === 'network' && livedMs >= this.#surroundings.bounds.steadyAfterMs) return this.#restart()
    this.#end(error)
  }
}
