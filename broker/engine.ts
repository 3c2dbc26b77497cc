/**
 * The adapter to aedes 1.2.0, the only file that knows it. aedes speaks CONNECT, SUBSCRIBE, UNSUBSCRIBE and
 * take-over; it never sees a PUBLISH, an acknowledgement, a PINGREQ, a will or a keep-alive.
 *
 * Relied on, and guarded by tests: `preConnect` may change the CONNECT; `authenticate` may write `client.id`;
 * the event `unsubscribe` fires after the filters are gone; `mq` that answers
 * synchronously leaves one survivor of several connections with one client id.
 */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { Aedes, type AuthenticateError, type Client } from 'aedes'
import type { Pipe } from './pipe.ts'

/** A CONNECT, as far as we answer for it. */
export interface ConnectRequest {
  /** As sent; empty where the server shall choose one. */
  readonly clientId: string
  readonly clean: boolean
  readonly keepAliveS: number
  readonly username: string | undefined
  readonly password: Buffer | undefined
  readonly will: WillRequest | undefined
}

export interface WillRequest {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** One connection, as the engine sees it. The pipe it was given leads here. */
export interface EnginePeer {
  /** Decides on a CONNECT; resolves with the name of the session, unique per user and client. Rejects with a ConnectRefusal. */
  connect(request: ConnectRequest): Promise<string>
  /** The CONNACK has been written. */
  ready(): void
  /** Whether the filter with this number is granted. */
  subscribe(number: string): Promise<boolean>
  /** Resolves when what was subscribed or unsubscribed so far is durable. */
  saved(): Promise<void>
  /** The UNSUBACK has been written. */
  unsubscribed(): void
}

/** A refused CONNECT with its return code [MQTT-3.2.2-3]. */
export class ConnectRefusal extends Error {
  readonly returnCode: number

  constructor(returnCode: number, message: string) {
    super(message)
    this.name = 'ConnectRefusal'
    this.returnCode = returnCode
  }
}

export class Engine {
  readonly #aedes: Aedes
  readonly #peers = new WeakMap<Client, EnginePeer>()
  /** What preConnect took out of the CONNECT, until authenticate asks. */
  readonly #requests = new WeakMap<Client, ConnectRequest>()

  private constructor(onError: (error: Error) => void) {
    const aedes = new Aedes({
      persistence: new NullPersistence((client) => this.#peer(client)),
      mq: new NullEmitter(),
      connectTimeout: 0x7fff_ffff,
      drainTimeout: 0,
      // MQTT 3.1 allowed 23; the limit is ours and the same for both.
      maxClientsIdLength: 65_535,
      preConnect: (client, packet, done) => {
        const { clientId, clean = true, keepalive = 0, username, password, will } = packet
        this.#requests.set(client, {
          clientId,
          clean,
          keepAliveS: keepalive,
          username,
          password: password === undefined ? undefined : Buffer.from(password),
          will: will && { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos ?? 0, retain: will.retain ?? false },
        })
        // aedes goes on with this very object: keep-alive and will are ours.
        packet.keepalive = 0
        delete packet.will
        done(null, true)
      },
      authenticate: (client, _username, _password, done) => void this.#authenticate(client, done),
      authorizePublish: (_client, _packet, done) => done(new Error('aedes publishes nothing here')),
      authorizeSubscribe: (client, subscription, done) => {
        const peer = this.#peer(client)
        if (!peer) return done(null, null)
        peer.subscribe(subscription.topic).then(
          (granted) => done(null, granted ? subscription : null),
          (error: unknown) => done(error as Error),
        )
      },
    })
    aedes.on('clientReady', (client) => this.#peer(client)?.ready())
    aedes.on('unsubscribe', (_filters, client) => this.#peer(client)?.unsubscribed())
    // Errors of one connection end that connection through its pipe; the log line is written there.
    aedes.on('clientError', () => {})
    aedes.on('connectionError', () => {})
    // aedes emits 'error' for what its typings do not name.
    ;(aedes as unknown as NodeJS.EventEmitter).on('error', onError)
    this.#aedes = aedes
  }

  static async open(onError: (error: Error) => void): Promise<Engine> {
    const engine = new Engine(onError)
    await engine.#aedes.listen()
    return engine
  }

  /** Hands a connection to aedes. The first packet pushed into the pipe is a whole CONNECT. */
  attach(peer: EnginePeer, pipe: Pipe, request?: IncomingMessage): void {
    const client = this.#aedes.handle(pipe, request)
    this.#peers.set(client, peer)
  }

  /** Connections that aedes holds, for tests and metrics. */
  get connections(): number {
    return this.#aedes.connectedClients
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#aedes.close(() => resolve()))
  }

  async #authenticate(client: Client, done: (error: AuthenticateError | null, ok: boolean) => void): Promise<void> {
    const peer = this.#peer(client)
    const request = this.#requests.get(client)
    this.#requests.delete(client)
    try {
      if (!peer || !request) throw new ConnectRefusal(3, 'the connection is gone')
      ;(client as { id: string }).id = await peer.connect(request)
      done(null, true)
    } catch (error) {
      const returnCode = error instanceof ConnectRefusal ? error.returnCode : 3
      done(Object.assign(error instanceof Error ? error : new Error(String(error)), { returnCode }), false)
    }
  }

  #peer(client: Client): EnginePeer | undefined {
    return this.#peers.get(client)
  }
}

/** Carries nothing. It answers in the call itself: a deferred answer lets several connections of one client id survive. */
class NullEmitter {
  closed = false
  current = 0
  concurrency = 0

  on(_topic: string, _listener: unknown, done?: () => void): this {
    done?.()
    return this
  }

  removeListener(_topic: string, _listener: unknown, done?: () => void): this {
    done?.()
    return this
  }

  emit(_packet: unknown, done?: () => void): this {
    if (done) setImmediate(done)
    return this
  }

  close(done?: () => void): void {
    this.closed = true
    if (done) setImmediate(done)
  }
}

/** Sessions, retained messages and queues are ours: aedes finds nothing, and waits before its SUBACK until we have saved. */
class NullPersistence {
  readonly #peer: (client: Client) => EnginePeer | undefined

  constructor(peer: (client: Client) => EnginePeer | undefined) {
    this.#peer = peer
  }

  async setup(): Promise<void> {}
  async addSubscriptions(client: Client): Promise<void> {
    await this.#peer(client)?.saved()
  }
  async removeSubscriptions(client: Client): Promise<void> {
    await this.#peer(client)?.saved()
  }
  async subscriptionsByClient(): Promise<[]> {
    return []
  }
  async subscriptionsByTopic(): Promise<[]> {
    return []
  }
  async cleanSubscriptions(): Promise<void> {}
  async cleanIncoming(): Promise<void> {}
  async storeRetained(): Promise<void> {}
  async outgoingEnqueue(): Promise<void> {}
  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  async outgoingClearMessageId(): Promise<void> {}
  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  createRetainedStreamCombi(): Readable {
    return Readable.from([])
  }
  outgoingStream(): Readable {
    return Readable.from([])
  }
  streamWill(): Readable {
    return Readable.from([])
  }
  async destroy(): Promise<void> {}
}
