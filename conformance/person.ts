/** A user of the deployment within one check: connects, asks and puts, and notes what must be removed again. */
import { setTimeout as wait } from 'node:timers/promises'
import { Broken, must } from './check.ts'
import type { Admission } from './below-root.ts'
import type { Trace } from './arrivals.ts'
import { connectPacket, type ConnectOptions } from './connect-packet.ts'
import { admissionOf, exchangeForm, type Deployment, type User } from './deployment.ts'
import { dial } from './dial.ts'
import { EventReader } from './event-reader.ts'
import { mustAnswer, reasonOf, type Answer, type Question } from './http.ts'
import { Wire, type Json } from './wire.ts'

/** What a page of history or state holds. */
export interface Page {
  readonly entries: readonly Json[]
  readonly next: string
  readonly head: string
  readonly first: string
  readonly pos: string
  readonly upToDate: boolean
}

export interface PersonParts {
  readonly deployment: Deployment
  readonly user: User
  /** Levels of the check's own. */
  readonly levels: string
  readonly trace: Trace
}

export class Person {
  readonly uid: string
  readonly token: string
  readonly scope: readonly string[]
  /** `users/{uid}`. */
  readonly stream: string
  /** Where the check's topics are, as MQTT names them. */
  readonly place: string
  /** The same, below the stream. */
  readonly below: string
  /** AWS IoT Core carries the connections. */
  readonly isAws: boolean
  readonly #parts: PersonParts
  readonly #wires: Wire[] = []
  readonly #readers: EventReader[] = []
  readonly #keptSessions = new Set<string>()

  constructor(parts: PersonParts) {
    const { user, levels } = parts
    this.#parts = parts
    this.isAws = parts.deployment.engine === 'aws-iot'
    this.uid = user.uid
    this.token = user.token
    this.scope = user.scope
    this.stream = `users/${user.uid}`
    this.below = levels
    this.place = `${this.stream}/${levels}`
  }

  /** A connection on which nothing was sent yet. */
  async dial(url = this.#parts.deployment.mqtt): Promise<Wire> {
    must(url !== undefined, 'there is no address for MQTT')
    if (this.isAws) return await this.dialAws(await this.admission())
    return await this.#dial(url)
  }

  /** The same, by a URL of AWS IoT Core. */
  async dialAws(admission: Admission): Promise<Wire> {
    return await this.#dial(admission.url, admission)
  }

  /** How a client of this name gets into AWS IoT Core. */
  async admission(clientId = this.newClientId(), token = this.token, scope = ''): Promise<Admission> {
    const more = { client_id: clientId, ...(scope === '' ? {} : { scope }) }
    const admission = admissionOf(mustAnswer(await this.exchange(more, token), 200, 'the exchange').json)
    must(admission !== undefined, 'the exchange does not say how to get into AWS IoT Core')
    return admission
  }

  /** CONNECT and its CONNACK, whatever it says; the token is the user's own. */
  async knock(options: ConnectOptions = {}): Promise<{ wire: Wire; returnCode: number; sessionPresent: boolean }> {
    const { clean = true, clientId = this.newClientId(), token = this.token, will } = options
    if (!clean) this.#keptSessions.add(clientId)
    if (will?.retain === true) this.#noteRetained(will.topic)
    if (this.isAws) return await this.#knockAws({ ...options, clean }, await this.admission(clientId, token ?? this.token))
    const wire = await this.dial()
    const { returnCode = 0, sessionPresent } = await wire.connect(connectPacket({ ...options, clean, clientId, token }))
    return { wire, returnCode, sessionPresent }
  }

  async #knockAws(options: ConnectOptions, admission: Admission): ReturnType<Person['knock']> {
    const wire = await this.dialAws(admission)
    const { clientId } = admission
    const { returnCode = 0, sessionPresent } = await wire.connect(connectPacket({ ...options, clientId, token: null }))
    return { wire, returnCode, sessionPresent }
  }

  /** A connection that was let in. */
  async connect(options: ConnectOptions = {}): Promise<Wire> {
    const { wire, returnCode } = await this.knock(options)
    must(returnCode === 0, `CONNECT was answered CONNACK ${returnCode}`)
    return wire
  }

  /** A connection that follows these filters. */
  async listen(...filters: string[]): Promise<Wire> {
    return await (await this.connect()).follow(...filters)
  }

  /** A connection that may put: it follows its reply topics. */
  async putter(options: ConnectOptions = {}): Promise<Wire> {
    const wire = await this.connect(options)
    return await wire.follow(`reply/${wire.clientId}/#`)
  }

  newClientId(): string {
    const own = Math.random().toString(36).slice(2, 10)
    // It stands in a policy there, which has little room.
    return this.isAws ? own : `${this.#parts.deployment.root}-${own}`
  }

  /** An entry id of the check's own: ids are remembered for days [P-9.5]. */
  id(name: string): string {
    return `${this.below.replace('/', '-')}-${name}`
  }

  /** An HTTP request with the user's token, if not told otherwise. */
  async ask(path: string, question: Question = {}): Promise<Answer> {
    const { deployment, trace } = this.#parts
    if (!deployment.http) throw new Broken('there is no address for HTTP')
    const headers = { authorization: `Bearer ${this.token}`, ...question.headers }
    const given = Object.entries(headers).filter(([, value]) => value !== '')
    return await deployment.http.ask(path, { ...question, headers: Object.fromEntries(given) }, trace)
  }

  /** A page of the check's own entries, or as asked; throws `Broken` where it is refused. */
  async entries(query: Readonly<Record<string, string>> = {}): Promise<Page> {
    return await this.#page('entries', query)
  }

  /**
   * The check's own entries after so many publishes on the plain door: as they stand when the last one was acknowledged. AWS
   * acknowledges by itself (P-20.2); there, when the log has so many, or at the end of the time.
   */
  async logged(count: number): Promise<Page> {
    return this.isAws ? await this.stored(count) : await this.entries()
  }

  /** The check's own entries when there are so many, or at the end of the time. */
  async stored(count: number): Promise<Page> {
    const deadlineMs = Date.now() + this.#parts.deployment.options.timeoutMs
    for (;;) {
      const page = await this.entries()
      if (page.entries.length >= count || Date.now() >= deadlineMs) return page
      await wait(100)
    }
  }

  async state(query: Readonly<Record<string, string>> = {}): Promise<Page> {
    return await this.#page('state', query)
  }

  async head(): Promise<string> {
    return (await this.entries({ limit: '0' })).head
  }

  /** `POST …/entries`, with the topic below the check's place. */
  async post(topic: string, put: Json, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return await this.postTo(this.stream, { topic: `${this.below}/${topic}`, ...put }, headers)
  }

  async postTo(stream: string, body: Json, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    if (body['retain'] === true) this.#noteRetained(`${stream}/${String(body['topic'])}`)
    const question = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } }
    return await this.ask(`/v1/streams/${pathOf(stream)}/entries`, question)
  }

  /** As `post`, where it must be appended; the answer. */
  async append(topic: string, put: Json): Promise<{ id: string; pos: string }> {
    return mustAnswer(await this.post(topic, put), 201, `POST of ${topic}`).json as unknown as { id: string; pos: string }
  }

  async events(from: readonly string[], headers: Readonly<Record<string, string>> = {}): Promise<EventReader> {
    const { deployment, trace } = this.#parts
    if (!deployment.http) throw new Broken('there is no address for HTTP')
    const url = new URL(`${deployment.http.url}/v1/events`)
    for (const filter of from) url.searchParams.append('from', filter)
    const all = { authorization: `Bearer ${this.token}`, ...headers }
    const reader = await EventReader.open(url, all, deployment.options.timeoutMs, trace)
    this.#readers.push(reader)
    return reader
  }

  /** The answer to an exchange of the user's token, whatever it says. */
  async exchange(more: Readonly<Record<string, string>> = {}, token = this.token): Promise<Answer> {
    return await this.ask('/v1/token', { method: 'POST', body: exchangeForm(token, more), headers: { authorization: '' } })
  }

  /** A broker token, narrowed as asked. */
  async brokerToken(more: Readonly<Record<string, string>> = {}): Promise<string> {
    const { access_token: token } = mustAnswer(await this.exchange(more), 200, 'the exchange').json
    must(typeof token === 'string', 'the exchange answers without access_token')
    return token
  }

  /** Ends every connection, and removes the sessions that would outlive theirs. */
  async leave(): Promise<void> {
    for (const reader of this.#readers) reader.close()
    for (const wire of this.#wires) wire.cut()
    for (const clientId of this.#keptSessions) await (await this.connect({ clientId, clean: true })).disconnect()
  }

  async #page(route: 'entries' | 'state', query: Readonly<Record<string, string>>): Promise<Page> {
    const all = { topic: `${this.below}/#`, ...query }
    const answer = await this.ask(`/v1/streams/${pathOf(this.stream)}/${route}`, { query: all })
    return mustAnswer(answer, 200, route).json as unknown as Page
  }

  async #dial(url: string, admission?: Admission): Promise<Wire> {
    const { deployment, trace, user } = this.#parts
    const { timeoutMs } = deployment.options
    const socket = await dial(url, timeoutMs).catch((error: unknown) => {
      throw new Broken(`${new URL(url).host} cannot be reached: ${reasonOf(error)}`, { cause: error })
    })
    const name = `${user.name}${this.#wires.length === 0 ? '' : `'${this.#wires.length + 1}`}`
    const wire = new Wire(socket, { name, trace, timeoutMs, retained: (topic) => this.#noteRetained(topic), admission })
    this.#wires.push(wire)
    return wire
  }

  #noteRetained(topic: string): void {
    const { retained } = this.#parts.deployment
    const name = this.#parts.user.name
    const topics = retained.get(name) ?? new Set()
    retained.set(name, topics.add(topic))
  }
}

/** Levels as a URL has them. */
export function pathOf(stream: string): string {
  return stream.split('/').map(encodeURIComponent).join('/')
}
