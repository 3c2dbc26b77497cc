/** The MQTT broker: listeners in front, the log behind. */
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { createServer, type AddressInfo, type Server as TcpServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Authority } from '../auth/index.ts'
import { Deliveries } from '../delivery/deliveries.ts'
import type { Live } from '../delivery/live.ts'
import { Turn } from '../delivery/turn.ts'
import type { Log } from '../log/log.ts'
import { SyncError } from '../protocol/errors.ts'
import type { TopicRules } from '../protocol/topics.ts'
import type { Clock } from '../seams/clock.ts'
import type { Hints } from '../seams/hints.ts'
import { connectionsTickMs, type Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import { clusterOf, type Cluster } from './cluster.ts'
import { Engine } from './engine.ts'
import { Ephemerals } from './ephemerals.ts'
import { hold } from './holds.ts'
import type { Hub } from './hub.ts'
import { Link } from './link.ts'
import { listSessions, type ListedPage } from './session-list.ts'
import { Sessions } from './sessions.ts'
import type { Tenures } from './tenures.ts'
import { acceptWebSockets } from './websocket.ts'
import { Wills } from './wills.ts'

export interface BrokerParts {
  readonly log: Log
  readonly authority: Authority
  readonly clock: Clock
  readonly limits: Limits
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly hints: Hints
  readonly live: Live
  /** Whether topics outside the reserved first levels are served [P-1.6]. */
  readonly openEnabled: boolean
  /** Origins of pages that may connect, beside the server's own; without an issuer only the own [P-10.27]. */
  readonly allowedOrigins: readonly string[]
}

export interface BrokerStats {
  readonly connections: number
  readonly sessions: number
  readonly unsentBytes: number
}

export class Broker {
  readonly #hub: Hub & { stopping: boolean }
  readonly #parts: BrokerParts
  readonly #listeners: TcpServer[] = []
  readonly #stopAccepting: (() => void)[] = []
  readonly #tick: NodeJS.Timeout
  readonly #tenures: Tenures | undefined

  /** Opens the broker without listening, and publishes the wills that a crash left behind. */
  static async open(parts: BrokerParts): Promise<Broker> {
    const engine = await Engine.open((error) => parts.logger.error({ error }, 'aedes reports an error'))
    const broker = new Broker(parts, engine)
    const { nodes, wills, logger } = broker.#hub
    try {
      await nodes?.start()
    } catch (error) {
      // What was begun would keep the process alive, which serves nobody.
      await broker.close()
      throw error
    }
    // Where others live, what one of them left is seen to when it is known to be dead.
    const isOver = (node: string | undefined): boolean => !nodes || node === undefined
    await wills.publishLeft(isOver).catch((error: unknown) => logger.warn({ error }, 'wills are still due; they are tried again'))
    return broker
  }

  private constructor(parts: BrokerParts, engine: Engine) {
    const { log, authority, clock, limits, logger, telemetry, hints, live, openEnabled } = parts
    const rules: TopicRules = { ...limits, openEnabled }
    const deliveries = new Deliveries(clock, telemetry)
    const ephemerals = new Ephemerals(live)
    const { nodes, tenures } = log.shared ? this.#cluster(parts) : { nodes: undefined, tenures: undefined }
    this.#parts = parts
    this.#tenures = tenures
    this.#hub = {
      log,
      authority,
      clock,
      limits,
      logger,
      telemetry,
      hints,
      rules,
      engine,
      live,
      ephemerals,
      sessions: new Sessions({ log, logger, telemetry, tenures }),
      wills: new Wills({ log, authority, rules, logger, telemetry, ephemerals, node: nodes && (() => nodes.name) }),
      nodes,
      deliveries,
      turn: new Turn(() => deliveries.tell()),
      links: new Set(),
      leaving: new Set(),
      stopping: false,
    }
    this.#tick = setInterval(() => this.#ticked(), connectionsTickMs).unref()
    this.#stopAccepting.push(
      authority.onChange(() => this.#checkRevoked()),
      log.observe((bucket) => {
        if (!ephemerals.tapped) return
        for (let index = 0; index < bucket.count; index++) {
          if (!bucket.isNote(index)) ephemerals.show(bucket.topic(index), bucket.payload(index))
        }
      }),
    )
  }

  /** Listens for MQTT over TCP; resolves with the port taken. */
  listenTcp(at: { host: string; port: number }): Promise<number> {
    return this.#listen(
      createServer({ noDelay: true }, (socket) => this.#accept(socket, 'tcp')),
      'tcp',
      at,
    )
  }

  /** Listens for MQTT over TLS with the certificate and key of these PEM files. */
  async listenTls(at: { host: string; port: number; certFile: string; keyFile: string }): Promise<number> {
    const [cert, key] = await Promise.all([readFile(at.certFile), readFile(at.keyFile)])
    return await this.#listen(
      createTlsServer({ cert, key, noDelay: true }, (socket) => this.#accept(socket, 'tls')),
      'tls',
      at,
    )
  }

  /** Serves MQTT over WebSocket at /mqtt of an HTTP server. */
  takeUpgrades(server: Server): void {
    const { limits } = this.#hub
    const refused = (request: IncomingMessage): void => {
      this.#hub.telemetry.refused('websocket', 'forbidden')
      this.#hub.logger.warn(
        { door: 'websocket', code: 'forbidden', origin: request.headers.origin, host: request.headers.host },
        'an upgrade was refused: origin or host',
      )
    }
    const allowed = (request: IncomingMessage): boolean => this.#allowed(request)
    const rules = { ...limits, allowed, refused }
    this.#stopAccepting.push(acceptWebSockets(server, rules, (wire, request) => this.#accept(wire, 'websocket', request)))
  }

  /** The sessions of a user with a client id after `after`, `limit` at most. */
  sessionsOf(uid: string, page: { readonly after: string; readonly limit: number }): Promise<ListedPage> {
    const { sessions, log, clock } = this.#hub
    return listSessions({ sessions, tenures: this.#tenures, documents: log.documents, clock }, uid, page)
  }

  stats(): BrokerStats {
    let unsentBytes = 0
    for (const link of this.#hub.links) unsentBytes += link.unsentBytes
    return { connections: this.#hub.links.size, sessions: this.#hub.sessions.connected, unsentBytes }
  }

  /** Takes nothing new, acknowledges what was appended, stores the places of all sessions, closes the connections [P-8.15]. */
  async close(): Promise<void> {
    this.#hub.stopping = true
    clearInterval(this.#tick)
    for (const stop of this.#stopAccepting) stop()
    for (const listener of this.#listeners) listener.close()
    await Promise.all([...this.#hub.links].map((link) => endInOrder(link)))
    // Who left just before is waited for as well [P-4.19].
    await Promise.all([...this.#hub.leaving].map(({ gone }) => gone))
    this.#hub.sessions.close()
    await this.#hub.nodes?.stop().catch((error: unknown) => this.#hub.logger.warn({ error }, 'the others could not be told of the end'))
    await this.#hub.engine.close()
  }

  #accept(wire: Duplex, door: string, request?: IncomingMessage): void {
    if (this.#hub.stopping) return void wire.destroy()
    Link.open(this.#hub, wire, door, request)
  }

  #listen(server: TcpServer, door: string, { host, port }: { host: string; port: number }): Promise<number> {
    server.maxConnections = this.#hub.limits.connectionsPerListenerMax
    server.on('drop', () => this.#hub.telemetry.refused(door, 'too-many-requests'))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 4_096 }, () => {
        server.off('error', reject)
        server.on('error', (error) => this.#hub.logger.error({ error }, 'a listener failed'))
        this.#listeners.push(server)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }

  #cluster({ log, hints, limits, clock, logger }: BrokerParts): Cluster {
    return clusterOf({
      documents: log.documents,
      hints,
      limits,
      clock,
      logger,
      holds: (session) => this.#hub.sessions.holds(session),
      evict: (session, upTo) => this.#hub.sessions.evict(session, upTo),
      evictAll: () => {
        for (const holder of this.#hub.sessions.holders()) holder.close('this node was taken for dead', 'takeover')
      },
      publishWills: (dead) => this.#hub.wills.publishLeft((node) => node === dead),
    })
  }

  /** Pages of the server's own host, and of configured origins; without an issuer only on this machine [P-10.27], [P-10.28]. */
  #allowed({ headers: { origin, host = '' } }: IncomingMessage): boolean {
    const local = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i.test(host)
    if (this.#hub.authority.developmentMode && !local) return false
    if (origin === undefined) return true
    if (sameHost(origin, host)) return true
    return !this.#hub.authority.developmentMode && this.#parts.allowedOrigins.includes(origin)
  }

  #checkRevoked(): void {
    for (const link of this.#hub.links) {
      link.checkRevoked()
      // What was held back while revocations could not be read goes on.
      link.session?.kick()
    }
  }

  #ticked(): void {
    const nowMs = this.#hub.clock.now()
    for (const link of this.#hub.links) link.tick(nowMs)
    if (!this.#hub.log.failure) this.#hub.wills.publishDue()
  }
}

async function endInOrder(link: Link): Promise<void> {
  link.setHold(hold.stopping)
  await new Promise<void>((resolve) => {
    link.publisher.whenDone(resolve)
    // A connection that breaks meanwhile is over as well.
    void link.gone.then(resolve)
  })
  link.close(new SyncError('stopping', 'the server is stopping').message, 'stopping')
  await link.gone
  await link.wireClosed
}

function sameHost(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host.toLowerCase() === host.toLowerCase()
}
