/** MQTT with AWS IoT Core, the answers and envelopes of Tidemark's bridge, and HTTP for what is lost on the way [P-20.13]. */
import { TopicFilter } from '../../protocol/topic-filter.ts'
import { asClientError, ClientError } from '../errors.ts'
import { HttpHistory } from '../history.ts'
import { within, type Surroundings } from '../request.ts'
import type { History } from '../seams.ts'
import type { Control, Envelope, Put, PutAnswer } from '../wire.ts'
import { AwsLink, filtersPerPacketMax } from './aws-link.ts'
import { Denials } from './denials.ts'
import { Mended } from './mended.ts'
import { refusalOf } from './sendable.ts'
import type { AwsCredential, Credential, Session, SessionEvents, Transport } from './transport.ts'

export function awsTransport(surroundings: Surroundings): Transport {
  const { timers, bounds } = surroundings
  const late = (): ClientError => new ClientError('network', `no MQTT session within ${bounds.openTimeoutMs} ms`)
  const denials = new Denials(timers, bounds.refusedRetryMs)
  /** Tokens whose URL was closed before CONNACK: the next time the token may be at fault. */
  const suspects = new WeakSet<Credential>()
  /** Tokens with which AWS has once ended a session soon after its beginning. */
  const brief = new WeakSet<Credential>()
  return {
    kind: 'aws-iot',
    // AWS hands them to whoever of the bridge is free.
    putsInFlightMax: 1,
    async open(credential, events, outer) {
      const aws = awsOf(credential)
      const now = timers.now()
      if (now >= aws.urlEndsAtMs || suspects.has(credential))
        throw new ClientError('token-expired', 'the signed URL has ended, or is not taken')
      const session = new AwsSession(surroundings, credential, events, denials, brief)
      try {
        await within(timers, bounds.openTimeoutMs, late, (signal) => session.connect(credential, signal), outer)
      } catch (thrown) {
        if (!outer.aborted) suspects.add(credential)
        session.abandon()
        throw thrown
      }
      return session
    },
  }
}

function awsOf({ aws }: Credential): AwsCredential {
  if (!aws) throw new ClientError('not-tidemark', 'this token is for another engine')
  return aws
}

interface Waiting {
  readonly topic: string
  readonly payload: string
  readonly resolve: (answer: PutAnswer) => void
  readonly reject: (error: ClientError) => void
}

class AwsSession implements Session {
  readonly #surroundings: Surroundings
  readonly #events: SessionEvents
  readonly #denials: Denials
  readonly #brief: WeakSet<Credential>
  readonly #history: History
  readonly #filters = new Map<string, Mended>()
  readonly #joining = new Set<string>()
  /** In a SUBSCRIBE that has no answer yet. */
  #asked: readonly string[] = []
  #line: Promise<void> = Promise.resolve()
  readonly #puts = new Map<string, Waiting[]>()
  #credential: Credential
  #aws: AwsCredential
  #link: AwsLink | undefined
  #openedAtMs = 0
  #isOver = false

  constructor(surroundings: Surroundings, credential: Credential, events: SessionEvents, denials: Denials, brief: WeakSet<Credential>) {
    this.#surroundings = surroundings
    this.#credential = credential
    this.#aws = awsOf(credential)
    this.#events = events
    this.#denials = denials
    this.#brief = brief
    this.#history = new HttpHistory(surroundings, {
      credential: () => Promise.resolve(this.#credential),
      refresh: () => Promise.reject(new ClientError('unauthorized', 'the server does not take the token any more')),
    })
  }

  /** Opens a connection in place of the one that stands, which AWS closes then: they have one client id. */
  async connect(credential: Credential, signal: AbortSignal): Promise<void> {
    const aws = awsOf(credential)
    const events = {
      message: (topic: string, payload: string): void => this.#message(topic, payload),
      closed: (): void => {
        if (link !== undefined && this.#link === link) this.#cut()
      },
    }
    const before = this.#link
    let link: AwsLink | undefined
    // The old one is not over yet, and must not end the session when it is.
    this.#link = undefined
    this.#asked = []
    before?.close()
    link = await AwsLink.open(this.#surroundings, credential, aws, events, signal)
    const [isHeard] = await link.subscribe([`${aws.root}/reply/${credential.clientId}/#`], 1)
    if (!isHeard) throw new ClientError('forbidden', 'AWS does not let this client hear its answers')
    this.#credential = credential
    this.#aws = aws
    this.#link = link
    this.#openedAtMs = this.#surroundings.timers.now()
  }

  abandon(): void {
    this.#isOver = true
    this.#link?.close()
  }

  follow(filter: string): void {
    if (this.#isOver) return
    this.#filters.get(filter)?.close()
    this.#filters.set(filter, this.#mended(filter))
    this.#join([filter])
  }

  unfollow(filter: string): void {
    const mended = this.#filters.get(filter)
    if (!mended) return
    mended.close()
    this.#filters.delete(filter)
    if (!this.#joining.delete(filter)) this.#link?.unsubscribe(this.#wiresOf(filter))
  }

  put(topic: string, put: Put): Promise<PutAnswer> {
    const { timers, bounds } = this.#surroundings
    const payload = JSON.stringify({ ...put, token: this.#credential.token })
    const refusal = this.#refusalOf(topic, payload)
    if (refusal) return Promise.resolve({ id: put.id, ...refusal })
    if (this.#isOver) return Promise.reject(new ClientError('network', 'the session is over'))
    return new Promise((resolve, reject) => {
      // Either may be lost, the put or its answer; the log knows the id.
      const repeat = timers.after(bounds.putTimeoutMs / 4, () => this.#send(waiting))
      const giveUp = timers.after(bounds.putTimeoutMs, () => {
        this.end(new ClientError('network', `no answer to a put within ${bounds.putTimeoutMs} ms`))
      })
      const settle = (): void => {
        repeat()
        giveUp()
      }
      const waiting: Waiting = {
        topic,
        payload,
        resolve: (answer) => {
          settle()
          resolve(answer)
        },
        reject: (error) => {
          settle()
          reject(error)
        },
      }
      this.#puts.set(put.id, [...(this.#puts.get(put.id) ?? []), waiting])
      this.#send(waiting)
    })
  }

  /** Nothing renews a connection in place: another one with the fresh URL, and the log is asked for what came in between. */
  async renew(credential: Credential): Promise<void> {
    const { timers, bounds } = this.#surroundings
    if (this.#isOver) throw new ClientError('network', 'the session is over')
    if (credential.uid !== this.#credential.uid || awsOf(credential).clientId !== this.#aws.clientId) {
      throw new ClientError('forbidden', 'the fresh token is of another user or client')
    }
    const late = (): ClientError => new ClientError('network', `no renewal within ${bounds.openTimeoutMs} ms`)
    try {
      await within(timers, bounds.openTimeoutMs, late, (signal) => this.connect(credential, signal))
    } catch (thrown) {
      // The old connection was given up for it.
      this.end(asClientError(thrown, 'network'))
      throw thrown
    }
    for (const waiting of [...this.#puts.values()].flat()) this.#send(waiting)
    this.#join([...this.#filters.keys()])
  }

  async probe(): Promise<void> {
    const { timers, bounds } = this.#surroundings
    const link = this.#link
    if (this.#isOver || !link) throw new ClientError('network', 'the session is over')
    const late = new ClientError('network', `no answer to a probe within ${bounds.probeTimeoutMs} ms`)
    const ask = async (): Promise<void> => {
      await link.subscribe([`${this.#aws.root}/reply/${this.#credential.clientId}/#`], 1)
      await Promise.all([...this.#filters.values()].map((mended) => mended.check()))
    }
    try {
      await within(timers, bounds.probeTimeoutMs, () => late, ask)
    } catch (thrown) {
      if (thrown === late) this.end(late)
      throw thrown
    }
  }

  /** HTTP does not tell the server's time, and what AWS delivers answers no question. */
  clockOffset(): undefined {
    return undefined
  }

  close(): void {
    this.end(undefined)
  }

  end(reason: ClientError | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#link?.close()
    for (const mended of this.#filters.values()) mended.close()
    const error = reason ?? new ClientError('network', 'the session was closed')
    for (const waiting of [...this.#puts.values()].flat()) waiting.reject(error)
    this.#puts.clear()
    this.#events.closed(reason)
  }

  #cut(): void {
    const { timers, bounds } = this.#surroundings
    const wasAsking = this.#asked.length > 0
    if (wasAsking) this.#denials.cut(this.#asked)
    const wasBrief = !wasAsking && timers.now() - this.#openedAtMs < bounds.openTimeoutMs
    // So AWS ends, again and again, whose token was revoked: only a fresh one can tell.
    if (wasBrief && this.#brief.has(this.#credential))
      return this.end(new ClientError('token-expired', 'AWS ends sessions with this token'))
    if (wasBrief) this.#brief.add(this.#credential)
    this.end(new ClientError('network', 'the MQTT connection was closed'))
  }

  #mended(filter: string): Mended {
    const tell = <Rest extends unknown[]>(what: (...rest: Rest) => void) => {
      return (...rest: Rest): void => {
        if (!this.#isOver && this.#filters.get(filter) === mended) what(...rest)
      }
    }
    const mended: Mended = new Mended(filter, {
      ...this.#surroundings,
      history: this.#history,
      uid: this.#credential.uid,
      entry: tell((envelope: Envelope) => this.#events.entry(filter, envelope)),
      control: tell((control: Control) => this.#events.control(filter, control)),
      refused: tell(() => this.#refuse(filter)),
      failed: tell((error: ClientError) => this.end(error)),
    })
    return mended
  }

  #refuse(filter: string): void {
    this.#filters.get(filter)?.close()
    this.#filters.delete(filter)
    this.#joining.delete(filter)
    this.#events.refused(filter)
  }

  /** Subscribes at the end of this turn: those of one turn in packets of eight, those that may be denied one after the other. */
  #join(filters: readonly string[]): void {
    if (this.#joining.size === 0) queueMicrotask(() => this.#joinAll())
    for (const filter of filters) this.#joining.add(filter)
  }

  #joinAll(): void {
    const filters = [...this.#joining]
    this.#joining.clear()
    const good: string[] = []
    for (const filter of filters) {
      if (!this.#filters.has(filter)) continue
      // AWS would close the connection.
      if (!this.#isGranted('subscribe', filter) || this.#denials.isDenied(filter) || this.#held > this.#credential.filtersMax)
        this.#refuse(filter)
      else good.push(filter)
    }
    const alone = good.filter((filter) => this.#denials.isSuspect(filter))
    const together = good.filter((filter) => !this.#denials.isSuspect(filter))
    this.#line = this.#line.then(async () => {
      // Each may take two.
      const step = filtersPerPacketMax / 2
      for (let at = 0; at < together.length; at += step) await this.#subscribe(together.slice(at, at + step))
      for (const filter of alone) await this.#subscribe([filter])
    })
  }

  /** Subscriptions, with that of the answers. */
  get #held(): number {
    return [...this.#filters.keys()].reduce((count, filter) => count + this.#wiresOf(filter).length, 1)
  }

  /** To AWS `notes/#` does not match `notes`; a stream has no topic of its own. */
  #wiresOf(filter: string): string[] {
    const wire = `${this.#aws.root}/sync/${filter}`
    return filter.endsWith('/#') && filter.split('/').length > 3 ? [wire, wire.slice(0, -'/#'.length)] : [wire]
  }

  async #subscribe(filters: readonly string[]): Promise<void> {
    const link = this.#link
    if (!link || this.#isOver) return
    this.#asked = filters
    const wires = filters.flatMap((filter) => this.#wiresOf(filter))
    // Without an answer the session is over, or another connection subscribes to them all.
    const granted = await link.subscribe(wires, 0).catch(() => undefined)
    if (!granted || this.#link !== link) return
    this.#asked = []
    for (const filter of filters) {
      this.#denials.answered(filter)
      const isGranted = this.#wiresOf(filter).every((wire) => granted[wires.indexOf(wire)])
      if (isGranted) this.#filters.get(filter)?.begin()
      else if (this.#filters.has(filter)) this.#refuse(filter)
    }
  }

  #message(topic: string, payload: string): void {
    if (this.#isOver) return
    const json = parsed(payload)
    const replies = `${this.#aws.root}/reply/${this.#credential.clientId}/`
    if (topic.startsWith(replies)) return this.#answer(topic.slice(replies.length), json as PutAnswer)
    if (!topic.startsWith(`${this.#aws.root}/sync/`)) return
    for (const message of [json].flat() as (Envelope & Partial<Control> & { readonly filter?: string })[]) {
      if (message?.ctl === 'at') this.#filters.get(String(message.filter).slice('sync/'.length))?.at(message as never)
      else if (typeof message?.topic === 'string') for (const mended of this.#filters.values()) mended.heard(message)
    }
  }

  #send({ topic, payload }: Waiting): void {
    this.#link?.publish(`${this.#aws.root}/put/${topic}`, payload)
  }

  #answer(id: string, answer: PutAnswer): void {
    const [first, ...rest] = this.#puts.get(id) ?? []
    if (rest.length > 0) this.#puts.set(id, rest)
    else this.#puts.delete(id)
    first?.resolve(answer)
  }

  #refusalOf(topic: string, payload: string): ReturnType<typeof refusalOf> {
    const isGranted = this.#isGranted('publish', topic)
    const unsendable = refusalOf(this.#credential, topic, `${this.#aws.root}/put/${topic}`, payload)
    if (unsendable?.error === 'bad-topic' || isGranted) return unsendable
    return { error: 'forbidden', reason: 'no grant to publish covers the topic' }
  }

  #isGranted(verb: 'publish' | 'subscribe', filter: string): boolean {
    return this.#aws.scope.some((text) => text.startsWith(`${verb}:`) && new TopicFilter(text.slice(verb.length + 1)).covers(filter))
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // Nothing of the bridge's.
  }
}
