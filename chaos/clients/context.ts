/** What the clients of a run share: where the servers are, what was published, and when it is time to end. */
import { between, seededRandom, type Random } from '../random.ts'
import type { Door, Event, Recorder, StoreKind } from '../record.ts'
import { root } from '../faults/aws.ts'
import type { World } from '../faults/world.ts'
import { pause } from '../faults/nemesis.ts'

export const streams = ['users/alice', 'users/bob', 'spaces/team'] as const
/** Who publishes to a stream. */
export const writerOf: Readonly<Record<string, string>> = { 'users/alice': 'alice', 'users/bob': 'bob', 'spaces/team': 'bob' }

/** What alice sends to bob stands in both. */
export const relayStreams = ['outbox/alice', 'inbox/bob'] as const

/** Who reads a stream for the run. */
export function readerOf(stream: string): string {
  return stream.startsWith('spaces/') ? 'carol' : (stream.split('/')[1] ?? '')
}

/** What the topics begin with that are published to a stream. */
export function topicsOf(stream: string): string {
  return stream === 'outbox/alice' ? 'outbox/alice/bob' : stream
}

const slowness: Readonly<Record<StoreKind, number>> = { level: 1, 'aws-iot': 1, 'mongo-stub': 1.5, mongo: 4 }

export interface Message {
  readonly m: number
  readonly stream: string
  readonly topic: string
  readonly text: string
  readonly retain: boolean
}

export interface Sender {
  readonly door: Door
  readonly user: string
  readonly client: string
}

export class Context {
  readonly world: World
  readonly recorder: Recorder
  readonly #seed: number
  /** Nothing new is published any more; what is under way is brought to its end. */
  draining = false
  /** What is under way will not come to its end, and nobody tries any more. */
  isVain = false
  /** Everybody stops. */
  stopping = false
  /** How often something was acknowledged. */
  acknowledged = 0
  /** How often a stream was trimmed. */
  trims = 0
  /** Position of the newest entry known in each stream, by an acknowledgement or a sighting. */
  readonly newest = new Map<string, { readonly seq: number; readonly pos: string }>()
  /** Up to where somebody has read every entry of a stream. */
  readonly followed = new Map<string, number>()
  /** What stands at topics that are written under conditions, as far as their writers know: a position, or null for nothing. */
  readonly raced = new Map<string, string | null>()
  readonly #followers = new Map<number, string>()
  #messages = 0
  #subs = 0
  #connections = 0

  constructor(world: World, recorder: Recorder, seed: number) {
    this.world = world
    this.recorder = recorder
    this.#seed = seed
    const streamOf = new Map<number, string>()
    recorder.listen((event: Event) => {
      if (event.k === 'acked') this.acknowledged++
      if (event.k === 'fault' && event.trimmed) this.trims++
      if (event.k === 'send') streamOf.set(event.m, event.stream)
      else if (event.k === 'acked' && event.pos !== undefined) this.#met(streamOf.get(event.m) ?? '', event.pos)
      else if (event.k === 'open' && event.reader.startsWith('follow-')) this.#followers.set(event.sub, event.stream ?? '')
      else if (event.k === 'got') {
        this.#met(event.e[5].split('/').slice(0, 2).join('/'), event.e[0])
        const stream = this.#followers.get(event.sub)
        if (stream !== undefined) this.followed.set(stream, Math.max(this.followed.get(stream) ?? 0, Number(event.e[0].split('.')[1])))
      }
    })
  }

  /** How many times as long everything takes with this store. */
  get slowness(): number {
    return slowness[this.world.options.store]
  }

  /** As an entry names a client. */
  clientOf(user: string, name: string): string {
    return this.world.aws ? `${root}=2E${user}=2E${name}` : name
  }

  random(name: string): Random {
    return seededRandom(this.#seed, name)
  }

  connection(): number {
    return ++this.#connections
  }

  subscription(): number {
    return ++this.#subs
  }

  /** Whether who has so much under way may end. */
  isDone(underWay: number): boolean {
    return this.draining && (underWay === 0 || this.isVain)
  }

  /** A message that no other one equals. */
  message(random: Random, stream: string, topic: string, options: { retain?: boolean; deletes?: boolean } = {}): Message {
    const { retain = false, deletes = false } = options
    const m = ++this.#messages
    const fill = random() < 0.03 ? 6_000 : Math.floor(random() * 60)
    return { m, stream, topic, text: deletes ? '' : `m${m} ${'x'.repeat(fill)}`, retain }
  }

  /** Records one attempt to publish. */
  sending(message: Message, sender: Sender, conn: number, more: { id?: string; if?: string; forbidden?: boolean } = {}): void {
    this.recorder.add({ k: 'send', ...message, ...sender, conn, ...more })
  }

  /** Calls the work again and again until the run ends; between two calls a short moment passes. */
  async again(random: Random, work: () => Promise<void>, isOver: () => boolean = () => false): Promise<void> {
    while (!this.stopping && !isOver()) {
      await work()
      await this.rest(random, 30, 330)
    }
  }

  /** A moment between two things that a client does; FerretDB is slower than the others. */
  rest(random: Random, lowMs: number, highMs: number): Promise<void> {
    return pause(between(random, lowMs, highMs) * this.slowness)
  }

  /** A longer moment, which the end of the run cuts short. */
  async linger(ms: number, isOver: () => boolean = () => false): Promise<void> {
    for (const untilMs = performance.now() + ms; performance.now() < untilMs && !this.draining && !isOver();) await pause(50)
  }

  #met(stream: string, pos: string): void {
    const seq = Number(pos.split('.')[1])
    if (seq > (this.newest.get(stream)?.seq ?? 0)) this.newest.set(stream, { seq, pos })
  }
}
