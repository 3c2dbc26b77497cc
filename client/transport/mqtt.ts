/** MQTT 3.1.1 over WebSocket by mqtt.js, which is loaded when the first session is opened [P-7.21]. */
import type { MqttClient } from 'mqtt'
import { asClientError, ClientError, errorOf, type ClientErrorCode } from '../errors.ts'
import { objectIn, within, type Surroundings } from '../request.ts'
import type { Put, PutAnswer } from '../wire.ts'
import { ClockEstimate } from './clock.ts'
import { Following } from './following.ts'
import { loadMqtt } from './mqtt-js.ts'
import { refusalOf } from './sendable.ts'
import type { Credential, Session, SessionEvents, Transport } from './transport.ts'

/** Filters in one SUBSCRIBE or UNSUBSCRIBE; more close the connection [P-13.8]. */
const filtersPerPacketMax = 8

/** What CONNACK says [P-7.14 – P-7.17]. */
const connackCodes: Readonly<Record<number, ClientErrorCode>> = {
  1: 'not-tidemark',
  2: 'bad-request',
  3: 'store-unavailable',
  4: 'unauthorized',
  5: 'forbidden',
}

export function mqttTransport(surroundings: Surroundings): Transport {
  const { timers, bounds } = surroundings
  const late = (): ClientError => new ClientError('network', `no MQTT session within ${bounds.openTimeoutMs} ms`)
  return {
    kind: 'mqtt',
    putsInFlightMax: Infinity,
    open: (credential, events, outer) =>
      within(timers, bounds.openTimeoutMs, late, (signal) => open(surroundings, credential, events, signal), outer),
  }
}

async function open(surroundings: Surroundings, credential: Credential, events: SessionEvents, signal: AbortSignal): Promise<Session> {
  const connectMqtt = await loadMqtt()
  if (signal.aborted) throw asClientError(signal.reason, 'closed')
  const client = connectMqtt(credential.mqttUrl, {
    clientId: credential.clientId,
    username: credential.uid ?? '',
    password: credential.token,
    connectTimeout: surroundings.bounds.openTimeoutMs,
  })
  const session = new MqttSession(client, surroundings, credential, events)
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => client.end(true))
    client.on('error', (error) => reject(connectErrorOf(error)))
    client.on('close', () => {
      reject(new ClientError('network', `${credential.mqttUrl} cannot be reached, or closed the connection`))
      session.end(new ClientError('network', 'the MQTT connection was closed'))
    })
    client.once('connect', () => {
      session.begin()
      resolve(session)
    })
  })
}

function connectErrorOf(error: Error & { readonly code?: unknown }): ClientError {
  const code = typeof error.code === 'number' ? connackCodes[error.code] : undefined
  return new ClientError(code ?? 'network', error.message, {}, error)
}

interface Waiting<Result> {
  resolve(result: Result): void
  reject(error: ClientError): void
}

interface WaitingPut extends Waiting<PutAnswer> {
  readonly sinceMs: number
}

class MqttSession implements Session {
  readonly #client: MqttClient
  readonly #surroundings: Surroundings
  readonly #credential: Credential
  readonly #events: SessionEvents
  readonly #following: Following
  readonly #clock: ClockEstimate
  readonly #replies: string
  /** To be followed (true) or no longer followed, told to the server at the end of this turn. */
  readonly #changes = new Map<string, boolean>()
  /** In the order sent; the same id may be under way twice. */
  readonly #puts = new Map<string, WaitingPut[]>()
  #endWatch: (() => void) | undefined
  readonly #renewals: Waiting<void>[] = []
  #badPut = 'the server takes it for no put'
  #revoked: ClientError | undefined
  #isOver = false

  constructor(client: MqttClient, surroundings: Surroundings, credential: Credential, events: SessionEvents) {
    this.#client = client
    this.#surroundings = surroundings
    this.#credential = credential
    this.#events = events
    this.#following = new Following(events)
    this.#clock = new ClockEstimate(surroundings.timers)
    this.#replies = `reply/${credential.clientId}/`
  }

  /** Connected. Packets take effect in the order sent [P-7.20], so that nobody need wait for the SUBACK. */
  begin(): void {
    const text = new TextDecoder()
    this.#client.on('message', (topic, payload) => this.#message(topic, objectIn(text.decode(payload)) ?? {}))
    this.#client.subscribe(`${this.#replies}#`, { qos: 0 })
  }

  follow(filter: string): void {
    this.#change(filter, true)
  }

  unfollow(filter: string): void {
    this.#change(filter, false)
  }

  put(topic: string, put: Put): Promise<PutAnswer> {
    const payload = JSON.stringify(put)
    const refusal = refusalOf(this.#credential, topic, `put/${topic}`, payload)
    if (refusal) return Promise.resolve({ id: put.id, ...refusal })
    if (this.#isOver) return Promise.reject(new ClientError('network', 'the session is over'))
    return new Promise((resolve, reject) => {
      const waiting = { resolve, reject, sinceMs: this.#surroundings.timers.now() }
      const same = this.#puts.get(put.id)
      if (same) same.push(waiting)
      else this.#puts.set(put.id, [waiting])
      this.#watchPuts()
      this.#client.publish(`put/${topic}`, payload, { qos: 1 }, (error) => {
        // The answer comes before the PUBACK; without one it was a put that the server could not name [P-5.15].
        if (!error && this.#puts.get(put.id)?.includes(waiting))
          this.#answer(put.id, { id: put.id, error: 'bad-put', reason: this.#badPut })
      })
    })
  }

  renew(credential: Credential): Promise<void> {
    return this.#roundTrip('a renewal', this.#surroundings.bounds.putTimeoutMs, (waiting) => {
      this.#renewals.push(waiting)
      this.#client.publish('auth/renew', credential.token, { qos: 1 })
    })
  }

  probe(): Promise<void> {
    return this.#roundTrip('a probe', this.#surroundings.bounds.probeTimeoutMs, (waiting) => {
      this.#client.subscribe(`${this.#replies}#`, { qos: 0 }, () => waiting.resolve())
    })
  }

  clockOffset(): ReturnType<Session['clockOffset']> {
    return this.#clock.get()
  }

  close(): void {
    this.end(undefined)
  }

  end(reason: ClientError | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#endWatch?.()
    this.#client.end(true)
    const error = reason ?? new ClientError('network', 'the session was closed')
    for (const waiting of [...[...this.#puts.values()].flat(), ...this.#renewals]) waiting.reject(error)
    this.#puts.clear()
    this.#events.closed(reason && (this.#revoked ?? reason))
  }

  #change(filter: string, isFollowed: boolean): void {
    if (this.#isOver) return
    if (this.#changes.size === 0) queueMicrotask(() => this.#tellChanges())
    this.#changes.set(filter, isFollowed)
  }

  #tellChanges(): void {
    const changes = [...this.#changes]
    this.#changes.clear()
    if (this.#isOver) return
    const left = changes.filter(([filter, isFollowed]) => !isFollowed && this.#following.delete(filter)).map(([filter]) => filter)
    const joined = changes.filter(([, isFollowed]) => isFollowed).map(([filter]) => filter)
    for (const some of chunksOf(left)) this.#client.unsubscribe(some.map((filter) => `sync/${filter}`))
    for (const some of chunksOf(joined)) this.#subscribe(some)
  }

  #subscribe(filters: readonly string[]): void {
    for (const filter of filters) {
      this.#following.add(filter)
      this.#clock.asked(filter)
    }
    const topics = filters.map((filter) => `sync/${filter}`)
    this.#client.subscribe(topics, { qos: 0 }, (_error, _granted, suback) => {
      if (this.#isOver) return
      // Without a SUBACK mqtt.js itself has refused a filter.
      const codes: readonly unknown[] = suback?.granted ?? []
      for (const [at, filter] of filters.entries()) if (codes[at] !== 0) this.#following.refused(filter)
    })
  }

  #message(topic: string, message: Readonly<Record<string, unknown>>): void {
    if (this.#isOver) return
    if (topic.startsWith(this.#replies)) return this.#replied(topic.slice(this.#replies.length), message)
    if (typeof message['ctl'] !== 'string') return this.#following.entry(topic.slice('sync/'.length), message as never)
    const filter = String(message['filter']).slice('sync/'.length)
    if (message['ctl'] === 'at') this.#clock.answered(filter, Number(message['ts']))
    this.#following.control(filter, message)
  }

  #replied(id: string, message: Readonly<Record<string, unknown>>): void {
    if (id !== '$ctl') return this.#answer(id, message as never)
    switch (message['ctl']) {
      case 'auth-expiring':
        return this.#events.expiring(Number(message['in']) * 1000)
      case 'renewed':
        return this.#renewals.shift()?.resolve()
      case 'renew-refused':
        return this.#renewals.shift()?.reject(errorOf(message['reason'], 401, 'the server refuses to renew with this token'))
      case 'revoked':
        this.#revoked = new ClientError('unauthorized', 'the token was revoked')
        return
      case 'bad-put':
        this.#badPut = String(message['reason'])
    }
  }

  #answer(id: string, answer: PutAnswer): void {
    const waiting = this.#puts.get(id)
    const first = waiting?.shift()
    if (waiting?.length === 0) this.#puts.delete(id)
    first?.resolve(answer)
  }

  /** One timer, for the oldest: puts are many. */
  #watchPuts(): void {
    if (this.#endWatch) return
    const { timers, bounds } = this.#surroundings
    const [oldest] = this.#puts.values()
    const leftMs = (oldest?.[0]?.sinceMs ?? 0) + bounds.putTimeoutMs - timers.now()
    this.#endWatch = timers.after(Math.max(0, leftMs), () => {
      this.#endWatch = undefined
      const [late] = this.#puts.values()
      if (!late?.[0]) return
      if (timers.now() - late[0].sinceMs < bounds.putTimeoutMs) return this.#watchPuts()
      this.end(new ClientError('network', `no answer to a put within ${bounds.putTimeoutMs} ms`))
    })
  }

  /** Rejects with `network` and ends the session where no answer comes in time. */
  async #roundTrip<Result>(what: string, ms: number, ask: (waiting: Waiting<Result>) => void): Promise<Result> {
    if (this.#isOver) throw new ClientError('network', 'the session is over')
    // Made when it is needed: the trace of an error costs more than a put.
    let late: ClientError | undefined
    try {
      return await within(
        this.#surroundings.timers,
        ms,
        () => (late = new ClientError('network', `no answer to ${what} within ${ms} ms`)),
        () => new Promise<Result>((resolve, reject) => ask({ resolve, reject })),
      )
    } catch (thrown) {
      if (late) this.end(late)
      throw thrown
    }
  }
}

function chunksOf(filters: readonly string[]): string[][] {
  const chunks: string[][] = []
  for (let at = 0; at < filters.length; at += filtersPerPacketMax) chunks.push(filters.slice(at, at + filtersPerPacketMax))
  return chunks
}
