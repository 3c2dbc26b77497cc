/**
 * Nodes, a store and channels of hints, event by event: messages are published at random streams at random moments, and
 * everything that follows is worked off, until nothing is left.
 */
import { Agenda } from './agenda.ts'
import { assumptions } from './assumptions.ts'
import { backgroundOf, type Background } from './background.ts'
import { measuredCosts, type Costs } from './costs.ts'
import type { Deployment } from './deployment.ts'
import { LiveStream } from './live-stream.ts'
import { Node } from './node.ts'
import { Placement } from './placement.ts'
import { seededRandom, type Random } from './random.ts'
import { Store } from './store.ts'
import { sum, Worker } from './worker.ts'
import type { Workload } from './workloads.ts'

export interface Setting {
  readonly workload: Workload
  readonly deployment: Deployment
  /** With the idle ones. */
  readonly streams: number
  readonly seed?: number
  readonly costs?: Costs
  /** Of the store, as a multiple of what is assumed. */
  readonly storeSpeed?: number
  /** About how many messages are published, though never for less than a moment. By default as many as give some ten thousand deliveries. */
  readonly messages?: number
}

export interface Resource {
  readonly name: 'node CPU' | 'node memory' | 'Redis CPU' | 'Redis network' | 'first shard' | 'other shards'
  /** What was asked of it as a share of what it can do; above 1 it does not keep up. */
  readonly load: number
  /** Which part of that belongs to what. */
  readonly causes: Readonly<Record<string, number>>
}

export interface Outcome {
  readonly published: number
  readonly appended: number
  readonly delivered: number
  /** What should have been delivered. */
  readonly owed: number
  readonly messagesPerSecond: number
  readonly resources: readonly Resource[]
  readonly background: Background
  readonly commits: number
  readonly documents: number
  readonly collisions: number
  readonly looks: number
  /** From publishing to the last reader of a node, ms. */
  readonly delayMs: { readonly p50: number; readonly p99: number }
}

const deliveriesDefault = 8_000
const messagesMin = 300
const messagesMax = 4_000
const periodMsMin = 5

export function simulate(setting: Setting): Outcome {
  return new Cluster(setting).run()
}

export class Cluster {
  readonly agenda = new Agenda()
  readonly costs: Costs
  readonly random: Random
  readonly store: Store
  readonly counts = { published: 0, appended: 0, delivered: 0, owed: 0, commits: 0, documents: 0, collisions: 0, looks: 0 }
  readonly delays: number[] = []
  readonly #setting: Setting
  readonly #placement: Placement
  readonly #background: Background
  readonly #nodes: readonly Node[]
  readonly #channels: readonly Worker[]
  readonly #streams = new Map<number, LiveStream>()
  #channelBytes: number[]

  constructor(setting: Setting) {
    const { workload, deployment, streams, seed = 1, costs = measuredCosts, storeSpeed = 1 } = setting
    this.#setting = setting
    this.costs = costs
    this.random = seededRandom(seed)
    this.#placement = new Placement(workload, deployment)
    this.#background = backgroundOf({ workload, deployment, streams, costs, storeSpeed })
    this.store = new Store(deployment.shards, this.#background, storeSpeed)
    this.#nodes = Array.from({ length: deployment.nodes }, (_, number) => new Node(number, this.#background.node, this))
    this.#channels = Array.from({ length: deployment.channels }, () => new Worker({}))
    this.#channelBytes = Array.from({ length: deployment.channels }, () => 0)
  }

  run(): Outcome {
    const { workload, streams } = this.#setting
    const { messages = Math.min(messagesMax, Math.max(messagesMin, deliveriesDefault / workload.readers)) } = this.#setting
    const live = Math.max(1, Math.round(streams * workload.liveShare))
    const perSecond = live * workload.messagesPerSecond
    const periodMs = Math.max(periodMsMin, (messages / perSecond) * 1_000)
    const publishNext = (): void => {
      const stream = this.#stream(Math.floor(this.random() * live))
      const writer = Math.floor(this.random() * this.#placement.writersOf(stream.number))
      this.counts.published++
      this.counts.owed += sum(stream.readers.values())
      ;(this.#nodes[this.#placement.nodeOf(stream.number, writer)] as Node).publish(stream)
      come()
    }
    const come = (): void => {
      const nextMs = this.agenda.nowMs - (Math.log(1 - this.random()) / perSecond) * 1_000
      if (nextMs < periodMs) this.agenda.at(nextMs, publishNext)
    }
    come()
    this.agenda.run()
    return this.#outcome(periodMs, perSecond)
  }

  /** One message for all heads of a commit, on each channel that they belong to; every node that listens pays for hearing it. */
  tell(teller: Node, streams: readonly LiveStream[]): void {
    const { hintMessageSentMicros, hintHeadSentMicros } = this.costs
    for (const [channel, some] of byChannel(streams)) {
      const micros = hintMessageSentMicros + some.length * hintHeadSentMicros
      this.agenda.at(teller.thread.spend('hints sent', micros, this.agenda.nowMs), () => this.#pass(teller, channel, some))
    }
  }

  /** Over Redis to all that listen. */
  #pass(teller: Node, channel: number, streams: readonly LiveStream[]): void {
    const { costs, agenda } = this
    const listeners = this.#placement.listenersOf(channel)
    const micros = costs.redisMessageMicros + listeners.length * (costs.redisListenerMicros + streams.length * costs.redisHeadMicros)
    const bytes = costs.hintMessageBytes + streams.length * costs.hintHeadBytes
    this.#channelBytes[channel] = (this.#channelBytes[channel] as number) + listeners.length * bytes
    const heads = streams.map((stream) => ({ stream, head: stream.head }))
    agenda.at((this.#channels[channel] as Worker).spend('hints', micros, agenda.nowMs) + assumptions.hintMs, () => {
      for (const listener of listeners) if (listener !== teller.number) this.#hear(this.#nodes[listener] as Node, heads)
    })
  }

  #hear(node: Node, heads: readonly { readonly stream: LiveStream; readonly head: number }[]): void {
    const { hintsLost } = this.#setting.deployment
    const { agenda, costs, random } = this
    const isLost = hintsLost > 0 && random() < hintsLost
    // What was lost is found by looking, some time within the next round.
    const heardMs = isLost
      ? agenda.nowMs + random() * this.#background.pollRoundMs
      : node.thread.spend('hints heard', costs.hintMessageHeardMicros + heads.length * costs.hintHeadHeardMicros, agenda.nowMs)
    for (const { stream, head } of heads) if (stream.readers.has(node.number)) agenda.at(heardMs, () => node.hear(stream, head))
  }

  #stream(number: number): LiveStream {
    let stream = this.#streams.get(number)
    if (!stream) this.#streams.set(number, (stream = new LiveStream(number, this.#placement)))
    return stream
  }

  #outcome(periodMs: number, messagesPerSecond: number): Outcome {
    const { loadMax, nodeMemoryBytes, redisNetworkBytesPerSecond } = assumptions
    const [first, ...others] = this.store.shards.map((shard) => shard.load(periodMs)) as [
      Record<string, number>,
      ...Record<string, number>[],
    ]
    const channels = this.#channels.map((channel) => channel.load(periodMs))
    const bytes = Math.max(...this.#channelBytes) / (periodMs / 1_000)
    const memory = this.#background.nodeBytes / nodeMemoryBytes
    const resources = [
      resource('node CPU', mean(this.#nodes.map(({ thread }) => thread.load(periodMs)))),
      // Memory may be full: it is the time of something that must not be.
      resource('node memory', { connections: memory * loadMax }),
      resource('Redis CPU', busiest(channels)),
      resource('Redis network', { hints: bytes / redisNetworkBytesPerSecond }),
      resource('first shard', first),
      resource('other shards', others.length === 0 ? {} : mean(others)),
    ]
    const sorted = Float64Array.from(this.delays).sort()
    const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
    const { background, counts } = { background: this.#background, counts: this.counts }
    return { ...counts, messagesPerSecond, resources, background, delayMs: { p50: at(0.5), p99: at(0.99) } }
  }
}

function byChannel(streams: readonly LiveStream[]): Map<number, LiveStream[]> {
  const found = new Map<number, LiveStream[]>()
  for (const stream of streams) {
    const some = found.get(stream.channel)
    if (some) some.push(stream)
    else found.set(stream.channel, [stream])
  }
  return found
}

function resource(name: Resource['name'], causes: Readonly<Record<string, number>>): Resource {
  return { name, load: sum(Object.values(causes)), causes }
}

/** Equal ones differ by chance only. */
function mean(loads: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {}
  for (const load of loads) for (const [cause, share] of Object.entries(load)) total[cause] = (total[cause] ?? 0) + share / loads.length
  return total
}

function busiest(loads: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  return loads.reduce((most, load) => (sum(Object.values(load)) > sum(Object.values(most)) ? load : most), {})
}
