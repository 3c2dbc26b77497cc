/**
 * A stand-in for the broker of AWS IoT Core, behind the door of gateway.ts: what AWS's documents say of it, with its vices at the
 * test's command. Judged by role and session policy through iam.ts; nothing of ours is in it.
 */
import type { Authorizer } from './authorizers.ts'
import { GatewayStandIn } from './gateway.ts'
import { DeviceConnection, type DeviceMessage } from './device-connection.ts'
import type { StsStandIn } from './sts.ts'

export interface Switches {
  /** Which of the two AWS does is disputed. */
  denySubscribe: 'suback' | 'close'
  /** Messages reach a new subscription only after that. */
  settleMs: number
  /** Every delivery comes twice. */
  duplicate: boolean
  /** So many deliveries to one connection are held, and let go in another order; 0: none. */
  reorder: number
  /** So many requests to close a connection are answered with an error. */
  failClosings: number
  /** Deliveries that never come. AWS may do so at QoS 0, and at QoS 1 after an hour of trying, which is not waited for here. */
  lose: (message: DeviceMessage, clientId: string) => boolean
  /** What becomes of a delivery: for a bridge that takes something else than it was sent. */
  alter: (message: DeviceMessage, clientId: string) => DeviceMessage
  /** How long AWS keeps a session and what waits in it: an hour, if the account says nothing else. */
  sessionMs: number
  /** No policy is asked: what an account is like whose role and session policies allow everything. */
  unjudged: boolean
  /** Messages of one connection, in and out, in each second of it; what is more is discarded. AWS: 100. Default: no bound. */
  perSecondMax: number
  /** A CONNECT of a client id that comes sooner after the one before is closed. AWS: 1,000. Default 0. */
  connectEveryMs: number
}

interface Subscription {
  readonly filter: string
  readonly qos: 0 | 1
  /** Of `$share/{group}/…`. */
  readonly group: string | undefined
  /** By the clock of the machine. */
  readonly fromMs: number
}

/** What AWS keeps of one client id. */
interface Kept {
  connection: DeviceConnection | undefined
  clean: boolean
  readonly subscriptions: Map<string, Subscription>
  /** For when it is back. */
  readonly queue: DeviceMessage[]
  /** Sent, and not acknowledged. */
  readonly open: Set<DeviceMessage>
  held: { readonly message: DeviceMessage; readonly send: () => void }[]
  /** By the clock of the machine; what it says counts while nobody is connected. */
  leftMs: number
}

/** What AWS would put on the bill, in messages of 5 KB. */
export interface Meter {
  /** Taken from the client. */
  publishes: number
  deliveries: number
  /** PUBACKs of the client. */
  acknowledgements: number
  connects: number
}

export class DeviceGateway {
  readonly switches: Switches = {
    denySubscribe: 'close',
    settleMs: 0,
    duplicate: false,
    reorder: 0,
    failClosings: 0,
    lose: () => false,
    alter: (message) => message,
    sessionMs: 3_600_000,
    unjudged: false,
    perSecondMax: Infinity,
    connectEveryMs: 0,
  }
  /** Whom it closed, and why. */
  readonly closings: string[] = []
  /** Filters that were denied, each time. */
  readonly denied: string[] = []
  /** Client ids that came in, each time. */
  readonly connects: string[] = []
  readonly published: DeviceMessage[] = []
  /** Hears what clients publish, and which they are, as rules do. */
  ruled: (message: DeviceMessage, clientId: string, sessionName: string) => void = () => {}
  /** By client id. */
  readonly meters = new Map<string, Meter>()
  /** Of the last CONNECT of each client id, in seconds. */
  readonly keepalives = new Map<string, number>()
  /** How many messages were one too many for their connection. */
  discarded = 0
  readonly #door: GatewayStandIn
  readonly #sts: StsStandIn
  readonly #clients = new Map<string, Kept>()
  readonly #turns = new Map<string, number>()
  readonly #retained = new Map<string, DeviceMessage>()
  readonly #connectedMs = new Map<string, number>()
  #random = 1
  readonly #looking = new Set<() => void>()

  static async start(sts: StsStandIn): Promise<DeviceGateway> {
    return new DeviceGateway(await GatewayStandIn.start(sts), sts)
  }

  private constructor(door: GatewayStandIn, sts: StsStandIn) {
    this.#door = door
    this.#sts = sts
    door.admitted = (socket, session) => void new DeviceConnection(this, socket, session)
    door.deleted = (clientId) => {
      if (this.switches.failClosings-- > 0) throw new Error('busy')
      const connection = this.#clients.get(clientId)?.connection
      connection?.close('API_INITIATED_DISCONNECT')
      return connection !== undefined
    }
  }

  get host(): string {
    return this.#door.host
  }

  /** Why upgrades were answered 403. */
  get refusals(): readonly string[] {
    return this.#door.refusals
  }

  /** By name. */
  get authorizers(): Map<string, Authorizer> {
    return this.#door.authorizers
  }

  now(): number {
    return this.#sts.now()
  }

  close(): Promise<void> {
    return this.#door.close()
  }

  /** Closes every connection whose client id begins so, as AWS does at the end of a day, or at any time. */
  cut(prefix: string): void {
    for (const [clientId, { connection }] of this.#clients) if (clientId.startsWith(prefix)) connection?.close('cut')
  }

  /** Forgets the sessions of clients that are away, as AWS does after an hour. */
  expire(prefix: string): void {
    for (const [clientId, { connection }] of this.#clients) {
      if (!connection && clientId.startsWith(prefix)) this.#clients.delete(clientId)
    }
  }

  connected(prefix: string): string[] {
    return [...this.#clients]
      .filter(([clientId, { connection }]) => connection && clientId.startsWith(prefix))
      .map(([clientId]) => clientId)
  }

  /** Resolves when the condition holds; it is asked again whenever something has happened here. */
  when(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return
        this.#looking.delete(look)
        resolve()
      }
      this.#looking.add(look)
      look()
    })
  }

  #happened(): void {
    for (const look of this.#looking) look()
  }

  /** Filters that a connected client holds. */
  filtersOf(clientId: string): string[] {
    return [...(this.#clients.get(clientId)?.subscriptions.keys() ?? [])]
  }

  metered(clientId: string, what: keyof Meter, count: number): void {
    const meter = this.meters.get(clientId) ?? { publishes: 0, deliveries: 0, acknowledgements: 0, connects: 0 }
    meter[what] += count
    this.meters.set(clientId, meter)
  }

  connectsTooSoon(clientId: string): boolean {
    const nowMs = performance.now()
    const lastMs = this.#connectedMs.get(clientId) ?? -Infinity
    this.#connectedMs.set(clientId, nowMs)
    return nowMs - lastMs < this.switches.connectEveryMs
  }

  /** Takes the place of an older connection; whether there was a session. */
  joined(connection: DeviceConnection): boolean {
    const { clientId, clean } = connection
    this.connects.push(clientId)
    queueMicrotask(() => this.#happened())
    this.#clients.get(clientId)?.connection?.close('taken over')
    queueMicrotask(() => this.#tell(`$aws/events/presence/connected/${clientId}`, { clientId, eventType: 'connected' }))
    const kept = this.#clients.get(clientId)
    if (kept && !clean && !this.#isForgotten(kept)) {
      kept.connection = connection
      return true
    }
    this.#clients.set(clientId, { connection, clean, subscriptions: new Map(), queue: [], open: new Set(), held: [], leftMs: 0 })
    return false
  }

  #isForgotten({ connection, leftMs }: Kept): boolean {
    return connection === undefined && performance.now() - leftMs >= this.switches.sessionMs
  }

  /** What was kept for it. */
  resume({ clientId }: DeviceConnection): void {
    const kept = this.#clients.get(clientId) as Kept
    for (const message of kept.queue.splice(0)) this.#deliver(kept, message)
  }

  left(connection: DeviceConnection, reason: string): void {
    const { clientId } = connection
    const kept = this.#clients.get(clientId)
    if (kept?.connection !== connection) return
    kept.connection = undefined
    kept.leftMs = performance.now()
    // What is held back to come in another order was not sent yet, and is not lost either.
    const open = [...kept.open, ...kept.held.flatMap(({ message }) => (message.qos === 1 ? [message] : []))]
    kept.held = []
    kept.open.clear()
    if (kept.clean) this.#clients.delete(clientId)
    // Sent again: to another member of the group, or when it is back.
    for (const message of open) this.#again(kept, message)
    const event = { clientId, eventType: 'disconnected', disconnectReason: reason }
    this.#tell(`$aws/events/presence/disconnected/${clientId}`, event)
  }

  /** False where there would be too many. */
  subscribe(connection: DeviceConnection, asked: readonly { readonly topic: string; readonly qos: number }[], max: number): boolean {
    const { subscriptions } = this.#clients.get(connection.clientId) as Kept
    for (const { topic, qos } of asked) {
      const [, group, filter = topic] = /^\$share\/([^/]+)\/(.+)$/.exec(topic) ?? []
      const before = subscriptions.get(topic)
      const fromMs = before?.fromMs ?? performance.now() + this.switches.settleMs
      subscriptions.set(topic, { filter, qos: Math.min(qos, 1) as 0 | 1, group, fromMs })
    }
    if (subscriptions.size > max) return false
    this.#tellSubscriptions(
      'subscribed',
      connection.clientId,
      asked.map(({ topic }) => topic),
    )
    return true
  }

  /** Of a topic that was named exactly: wildcards and shared subscriptions get none. */
  tellRetained({ clientId }: DeviceConnection, asked: readonly { readonly topic: string; readonly qos: number }[]): void {
    const kept = this.#clients.get(clientId) as Kept
    for (const { topic, qos } of asked) {
      const message = this.#retained.get(topic)
      if (message) this.#deliver(kept, { ...message, qos: Math.min(qos, message.qos) as 0 | 1 })
    }
  }

  unsubscribe({ clientId }: DeviceConnection, filters: readonly string[]): void {
    for (const filter of filters) this.#clients.get(clientId)?.subscriptions.delete(filter)
    this.#tellSubscriptions('unsubscribed', clientId, filters)
  }

  /** Also for the test, as a publisher whom nothing restricts. */
  publish(message: DeviceMessage): void {
    this.published.push(message)
    this.#happened()
    if (message.retain && message.payload.length > 0) this.#retained.set(message.topic, message)
    else if (message.retain) this.#retained.delete(message.topic)
    const groups = new Map<string, [Kept, Subscription][]>()
    for (const kept of this.#clients.values()) {
      for (const [wire, subscription] of kept.subscriptions) {
        if (!matches(subscription.filter, message.topic)) continue
        if (subscription.group === undefined) this.#route(kept, subscription, message)
        else groups.set(wire, [...(groups.get(wire) ?? []), [kept, subscription]])
      }
    }
    for (const [wire, members] of groups) this.#share(wire, members, message)
  }

  /** To one member that is there; kept for one that comes back where nobody is. */
  #share(wire: string, members: readonly [Kept, Subscription][], message: DeviceMessage): void {
    const there = members.filter(([{ connection }]) => connection)
    const among = there.length > 0 ? there : members
    const turn = this.#turns.get(wire) ?? 0
    this.#turns.set(wire, turn + 1)
    const [kept, subscription] = among[turn % among.length] as [Kept, Subscription]
    this.#route(kept, subscription, message)
  }

  #route(kept: Kept, subscription: Subscription, { topic, payload, qos }: DeviceMessage): void {
    const message: DeviceMessage = { topic, payload, qos: Math.min(qos, subscription.qos) as 0 | 1 }
    if (performance.now() < subscription.fromMs) return
    if (kept.connection) return this.#deliver(kept, message)
    if (!kept.clean && message.qos === 1 && !this.#isForgotten(kept)) kept.queue.push(message)
  }

  #again(kept: Kept, message: DeviceMessage): void {
    for (const [wire, subscription] of kept.subscriptions) {
      if (subscription.group === undefined || !matches(subscription.filter, message.topic)) continue
      const members = [...this.#clients.values()].flatMap((other): [Kept, Subscription][] => {
        const same = other.subscriptions.get(wire)
        return same ? [[other, same]] : []
      })
      return this.#share(wire, members.length > 0 ? members : [[kept, subscription]], message)
    }
    if (!kept.clean) kept.queue.push(message)
  }

  #deliver(kept: Kept, sent: DeviceMessage): void {
    const { connection } = kept
    const { switches } = this
    if (!connection?.may('iot:Receive', 'topic', sent.topic)) return
    if (switches.lose(sent, connection.clientId)) return
    const message = switches.alter(sent, connection.clientId)
    const send = (): void => {
      if (message.qos === 1) kept.open.add(message)
      connection.deliver(message, () => void kept.open.delete(message))
      if (switches.duplicate) connection.deliver(message)
    }
    if (switches.reorder === 0) return send()
    if (kept.held.length === 0) setImmediate(() => this.#letGo(kept))
    kept.held.push({ message, send })
    if (kept.held.length >= switches.reorder) this.#letGo(kept)
  }

  /** Shuffled by a seed of its own, so that a run can be repeated. */
  #letGo(kept: Kept): void {
    const held = kept.held
    kept.held = []
    for (let left = held.length; left > 0; left--) {
      this.#random = (this.#random * 48_271) % 2_147_483_647
      const [next] = held.splice(this.#random % left, 1)
      next?.send()
    }
  }

  #tellSubscriptions(eventType: string, clientId: string, topics: readonly string[]): void {
    this.#tell(`$aws/events/subscriptions/${eventType}/${clientId}`, { clientId, eventType, topics })
  }

  #tell(topic: string, event: object): void {
    this.publish({ topic, payload: Buffer.from(JSON.stringify({ ...event, timestamp: this.now() })), qos: 1 })
  }
}

/** As AWS matches: `a/#` is not for `a`, and no wildcard stands for a first level that begins with `$`. */
function matches(filter: string, topic: string): boolean {
  const [wanted, levels] = [filter.split('/'), topic.split('/')]
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false
  for (const [at, level] of wanted.entries()) {
    if (level === '#') return levels.length > at
    if (at >= levels.length || (level !== '+' && level !== levels[at])) return false
  }
  return wanted.length === levels.length
}
