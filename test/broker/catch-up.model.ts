/**
 * The switch-over from what is stored to what is live, in any interleaving with whatever else happens: a reader gets
 * what matches from where it asked for, in order, without a gap and without a double, or it is told that it cannot.
 *
 * The runs go over TCP: the order of SUBACK, retained messages and entries on the wire is part of what is promised, and
 * a fake link would have its own. They stay quick because each run has few steps. `TIDEMARK_CATCH_UP_RUNS` sets how many
 * runs there are, `TIDEMARK_CATCH_UP_SEED` repeats a seed,
 * with `TIDEMARK_CATCH_UP_PATH` one run of it.
 */
import { expect } from 'chai'
import * as fc from 'fast-check'
import { encodeFrame } from '../../log/draft.ts'
import type { Bucket } from '../../log/bucket.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { CommitOutcome } from '../../log/stores/store.ts'
import type { Stream } from '../../log/stream.ts'
import { TopicFilter } from '../../protocol/filters.ts'
import { formatPosition, parsePosition } from '../../protocol/positions.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { abandon, closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import { calls, GatedStore, type Gate } from '../support/gated-store.ts'
import { destroyRawClients, toMessage, type Message, type RawClient } from '../support/raw-mqtt.ts'
import { tempFolder } from '../support/temp.ts'
import { within } from '../support/waiting.ts'

const runs = Number(process.env['TIDEMARK_CATCH_UP_RUNS'] ?? 200)
const seed = Number(process.env['TIDEMARK_CATCH_UP_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const path = process.env['TIDEMARK_CATCH_UP_PATH']
const longMs = 60_000

const streamName = 'users/alice'
const topics = ['users/alice/a/1', 'users/alice/a/2', 'users/alice/b/1'] as const
/** The QoS tells filters on one first level apart: no two that overlap have the same. */
const syncFilters = [
  { filter: 'users/alice/#', qos: 1 },
  { filter: 'users/alice/a/#', qos: 0 },
  { filter: 'users/alice/b/+', qos: 0 },
] as const
const plainFilters = ['users/alice/#', 'users/alice/a/#', 'users/alice/+/1', 'users/alice/b/1'] as const
const matchers = new Map(
  [...plainFilters, ...syncFilters.map(({ filter }) => filter)].map((text) => [text as string, new TopicFilter(text)]),
)
const matches = (filter: string, topic: string): boolean => (matchers.get(filter) as TopicFilter).matches(topic)

const counts = {
  runs: 0,
  shared: 0,
  entries: 0,
  envelopes: 0,
  deliveries: 0,
  retained: 0,
  dups: 0,
  caughtUp: 0,
  resets: { ahead: 0, epoch: 0, trimmed: 0 },
  snapshots: 0,
  snapshotEntries: 0,
  reconnects: 0,
  discarded: 0,
  closed: 0,
  collisions: 0,
  unknown: 0,
  trims: 0,
  restarts: 0,
  crashes: 0,
  held: 0,
}

/** An entry as the store took it. Never trimmed. */
interface Entry {
  readonly seq: number
  readonly mark: string
  readonly topic: string
  readonly text: string
  readonly qos: number
  readonly retain: boolean
}

/** Remembers everything it ever stored: the truth that readers are held to. */
class RecordingStore extends MemoryStore {
  readonly entries: Entry[] = []

  override async commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const outcomes = await super.commit(buckets)
    buckets.forEach((bucket, at) => {
      if (outcomes[at] === 'stored') this.#record(bucket)
      if (outcomes[at] === 'taken') counts.collisions++
    })
    return outcomes
  }

  #record(bucket: Bucket): void {
    const { mark } = bucket
    expect(bucket.firstSeq, 'contiguous [P-1.1]').to.equal(this.entries.length + 1)
    for (let index = 0; index < bucket.count; index++) {
      const [topic, text] = [bucket.topic(index), bucket.payload(index).toString()]
      this.entries.push({ seq: bucket.firstSeq + index, mark, topic, text, qos: bucket.qos(index), retain: bucket.retain(index) })
    }
    counts.entries += bucket.count
  }

  at(seq: number): Entry | undefined {
    return this.entries[seq - 1]
  }

  markAt(seq: number): string | undefined {
    return seq === 0 ? '0000' : this.at(seq)?.mark
  }

  /** The retained messages at a head that match, ascending. */
  state(head: number, filter: string): Entry[] {
    const last = new Map<string, Entry>()
    for (const entry of this.entries.slice(0, head)) {
      if (!entry.retain) continue
      last.delete(entry.topic)
      if (entry.text !== '') last.set(entry.topic, entry)
    }
    return [...last.values()].filter(({ topic }) => matches(filter, topic))
  }
}

// What happens in a run.

type Start = 'now' | 'earliest' | 'snapshot' | 'seen' | 'past' | 'ahead' | 'wrong mark' | 'foreign'
type Who = 'kept' | 'fresh'

interface Publish {
  readonly topic: number
  readonly retain: boolean
  readonly empty: boolean
  readonly qos: 0 | 1
}

type Op =
  | { readonly op: 'append'; readonly by: 'node' | 'other'; readonly entries: readonly Publish[] }
  | { readonly op: 'collide'; readonly entries: readonly Publish[] }
  | { readonly op: 'hold' }
  | { readonly op: 'open' }
  | { readonly op: 'unknown'; readonly stored: boolean; readonly settles: boolean }
  | { readonly op: 'plain'; readonly who: Who; readonly filter: number; readonly qos: 0 | 1 }
  | { readonly op: 'sync'; readonly filter: number; readonly start: Start; readonly pick: number }
  | { readonly op: 'ack'; readonly who: Who; readonly picks: readonly number[] }
  | { readonly op: 'leave'; readonly who: Who; readonly how: 'disconnect' | 'cut' }
  | { readonly op: 'come'; readonly who: Who }
  | { readonly op: 'trim'; readonly part: number }
  | { readonly op: 'restart'; readonly how: 'stop' | 'crash' }
  | { readonly op: 'settle' }

const publishes = fc.array(
  fc.record<Publish>({
    topic: fc.nat(topics.length - 1),
    retain: fc.boolean(),
    empty: fc.integer({ min: 0, max: 5 }).map((draw) => draw === 0),
    qos: fc.constantFrom(0, 1, 1, 1),
  }),
  { minLength: 1, maxLength: 5, size: 'max' },
)
const who = fc.constantFrom<Who>('kept', 'fresh')
const starts = fc.constantFrom<Start>('now', 'earliest', 'snapshot', 'seen', 'seen', 'seen', 'past', 'ahead', 'wrong mark', 'foreign')
const filterOf = (all: readonly unknown[]): fc.Arbitrary<number> => fc.nat(all.length - 1)

const anOp: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record<Op & { op: 'append' }>({ op: fc.constant('append'), by: fc.constantFrom('node', 'other'), entries: publishes }),
  },
  { weight: 2, arbitrary: fc.record<Op & { op: 'collide' }>({ op: fc.constant('collide'), entries: publishes }) },
  { weight: 2, arbitrary: fc.constant<Op>({ op: 'hold' }) },
  { weight: 3, arbitrary: fc.constant<Op>({ op: 'open' }) },
  { weight: 1, arbitrary: fc.record<Op & { op: 'unknown' }>({ op: fc.constant('unknown'), stored: fc.boolean(), settles: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record<Op & { op: 'plain' }>({
      op: fc.constant('plain'),
      who,
      filter: filterOf(plainFilters),
      qos: fc.constantFrom(0, 1, 1),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record<Op & { op: 'sync' }>({
      op: fc.constant('sync'),
      filter: filterOf(syncFilters),
      start: starts,
      pick: fc.nat(1_000),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record<Op & { op: 'ack' }>({ op: fc.constant('ack'), who, picks: fc.array(fc.nat(5), { minLength: 1, maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: fc.record<Op & { op: 'leave' }>({ op: fc.constant('leave'), who, how: fc.constantFrom('disconnect', 'cut') }) },
  { weight: 4, arbitrary: fc.record<Op & { op: 'come' }>({ op: fc.constant('come'), who }) },
  { weight: 2, arbitrary: fc.record<Op & { op: 'trim' }>({ op: fc.constant('trim'), part: fc.integer({ min: 0, max: 100 }) }) },
  { weight: 1, arbitrary: fc.record<Op & { op: 'restart' }>({ op: fc.constant('restart'), how: fc.constantFrom('stop', 'crash') }) },
  { weight: 3, arbitrary: fc.constant<Op>({ op: 'settle' }) },
)

const someLimits: fc.Arbitrary<Partial<Limits>> = fc.record({
  inflightMax: fc.constantFrom(2, 3, 1_000),
  unsentBytesMax: fc.constantFrom(150, 600, 262_144),
  tailCacheBytesMax: fc.constantFrom(1, 600, 1_000_000),
  stateCacheBytesMax: fc.constantFrom(1, 1_000_000),
  readBytesMax: fc.constantFrom(1, 300, 524_288),
  bucketEntriesMax: fc.constantFrom(1, 3, 4_096),
  snapshotEntriesMax: fc.constantFrom(5, 65_536),
  cursorFlushMs: fc.constantFrom(5, 3_600_000),
  headPollMs: fc.constantFrom(2, 3_600_000),
})

// The model.

/** Thrown where a reader was shown what it must not see. */
function violation(text: string): never {
  throw new Error(text)
}

interface PlainHeld {
  readonly filter: string
  qos: number
  /** The head at its SUBSCRIBE lies within; the two meet as deliveries tell more. */
  sinceMin: number
  sinceMax: number
  /** Whether its retained messages must come, may come or must not come when the session is restored. */
  retainedDue: 'yes' | 'maybe' | 'no'
}

interface RetainedModel {
  readonly held: PlainHeld
  readonly qos: number
  /** What would come for each head at which it may have begun. */
  readonly candidates: readonly (readonly Entry[])[]
  readonly got: number
  /** Whether it may as well not have begun. */
  readonly optional: boolean
  readonly ids: readonly number[]
}

/** A delivery that asked for a PUBACK. */
interface Delivery {
  readonly id: number
  /** Of a live plain entry. */
  readonly seq: number | undefined
  acked: boolean
}

/** The plain filters of one session. */
class PlainModel {
  readonly #truth: RecordingStore
  readonly held = new Map<string, PlainHeld>()
  /** Runs of retained messages in every way in which what came can be shared out among them. */
  worlds: readonly (readonly RetainedModel[])[] = [[]]
  deliveries: Delivery[] = []
  /** The newest live entry on this connection. */
  last = 0
  /** Everything up to here was acknowledged in order; where the stored place is at least. */
  placeMin = 0
  /** The same when this connection began: what a crash falls back to. */
  placeAtStart = 0
  /** Acknowledged, in any order; entries come again as long as one before them is not. */
  readonly acked = new Set<number>()
  /** Entries of QoS 0 that may have been written to a connection that did not read them. */
  readonly #lossy = new Set<number>()
  /** No live entry has come on this connection yet. */
  fresh = true
  readonly received = new Set<number>()
  /** Entries after this one did not exist when the connection began. */
  existedTo = 0
  uncleanStart = false

  constructor(truth: RecordingStore) {
    this.#truth = truth
  }

  subscribed(filter: string, qos: number, headMin: number, headMax: number): void {
    const old = this.held.get(filter)
    const held: PlainHeld = {
      filter,
      qos,
      sinceMin: old?.sinceMin ?? headMin,
      sinceMax: old?.sinceMax ?? headMax,
      retainedDue: 'yes',
    }
    if (this.held.size === 0) this.placeMin = Math.max(this.placeMin, headMin)
    this.held.set(filter, held)
    this.#begin(held, headMin, headMax, false, Infinity, Infinity)
  }

  /** The session goes on on a new connection. */
  restored(headMin: number, headMax: number): void {
    const due = [...this.held.values()].filter(({ retainedDue }) => retainedDue !== 'no')
    this.worlds = [[]]
    this.deliveries = []
    this.last = this.placeMin
    this.placeAtStart = this.placeMin
    this.fresh = true
    for (const held of due) this.#begin(held, headMin, headMax, held.retainedDue === 'maybe', held.sinceMin, held.sinceMax)
  }

  /** The connection is over: what the server may remember of it. */
  left(how: 'in order' | 'crashed', head: number): void {
    const done = this.#inOrder()
    for (const held of this.held.values()) {
      const dues = new Set(this.worlds.map((world) => this.#dueAfter(world, held, done, how)))
      const [only] = dues
      held.retainedDue = dues.size === 1 && only ? only : 'maybe'
    }
    for (const entry of this.#truth.entries.slice(this.last, head)) if (this.#qos(entry).min === 0) this.#lossy.add(entry.seq)
    // With nothing in flight the place is behind everything that was written, QoS 0 included [P-4.18].
    if (this.deliveries.every(({ id, seq }) => seq === undefined || done.has(id))) this.placeMin = Math.max(this.placeMin, this.last)
    if (how === 'crashed') this.placeMin = this.placeAtStart
  }

  /** Takes a PUBLISH from the wire. */
  message(message: Message): void {
    if (message.retain) this.#retained(message)
    else this.#live(message)
  }

  acknowledged(id: number): void {
    const delivery = this.deliveries.find((other) => other.id === id && !other.acked)
    if (!delivery) return
    delivery.acked = true
    if (delivery.seq !== undefined) this.acked.add(delivery.seq)
    this.#inOrder()
  }

  /** Whether nothing is due any more at this head. */
  complete(head: number): boolean {
    const came = (run: RetainedModel): boolean => (run.optional && run.got === 0) || run.candidates.some((list) => list.length === run.got)
    if (!this.worlds.some((world) => world.every(came))) return false
    for (let seq = this.last + 1; seq <= head; seq++) {
      if (this.#wants(this.#truth.at(seq) as Entry) === 'yes' && !this.#maySkip(seq)) return false
    }
    return true
  }

  /** The first entry that is still to come, as far as the client can know. */
  get next(): number {
    return this.last + 1
  }

  /** The newest place the server may have stored. */
  get placeMax(): number {
    for (const { seq } of this.#truth.entries.slice(this.placeMin)) {
      const entry = this.#truth.at(seq) as Entry
      if (this.#wants(entry) === 'yes' && !this.acked.has(seq) && this.#qos(entry).max > 0) return seq - 1
    }
    return this.#truth.entries.length
  }

  /** The packet ids of deliveries that were acknowledged without one before them left open. */
  #inOrder(): Set<number> {
    const done = new Set<number>()
    for (const { id, seq, acked } of this.deliveries) {
      if (!acked) break
      done.add(id)
      if (seq !== undefined) this.placeMin = Math.max(this.placeMin, seq)
    }
    return done
  }

  #begin(held: PlainHeld, headMin: number, headMax: number, optional: boolean, upToMin: number, upToMax: number): void {
    const distinct = new Map<string, Entry[]>()
    for (let head = headMin; head <= headMax; head++) {
      const state = this.#truth.state(head, held.filter)
      for (let upTo = upToMin; upTo <= upToMax; upTo++) {
        const list = state.filter(({ seq }) => seq <= upTo)
        distinct.set(list.map(({ seq }) => seq).join(), list)
        if (upTo === Infinity) break
      }
    }
    const candidates = [...distinct.values()]
    const run: RetainedModel = { held, qos: held.qos, candidates, got: 0, optional, ids: [] }
    this.worlds = this.worlds.map((world) => [...world, run])
  }

  #retained(message: Message): void {
    const { topic, text, qos, messageId } = message
    const worlds = this.worlds.flatMap((world) =>
      world.flatMap((run, at) => {
        const candidates = run.candidates.filter((list) => {
          const next = list[run.got]
          return next?.topic === topic && next.text === text && Math.min(next.qos, run.qos) === qos
        })
        if (candidates.length === 0) return []
        const ids = messageId === undefined || qos === 0 ? run.ids : [...run.ids, messageId]
        return [world.map((other, index) => (index === at ? { ...run, candidates, got: run.got + 1, ids } : other))]
      }),
    )
    if (worlds.length === 0) violation(`[P-4.12] nobody waits for the retained message ${topic} ${text} at QoS ${qos}`)
    const distinct = new Map(
      worlds.map((world) => [JSON.stringify(world.map(({ got, ids, candidates }) => [got, ids, candidates.length])), world]),
    )
    this.worlds = [...distinct.values()]
    counts.retained++
    if (messageId !== undefined && qos > 0) this.deliveries.push({ id: messageId, seq: undefined, acked: false })
  }

  /** Whether the retained messages of a filter come again in the session's next connection. */
  #dueAfter(world: readonly RetainedModel[], held: PlainHeld, done: Set<number>, how: 'in order' | 'crashed'): PlainHeld['retainedDue'] {
    const run = world.findLast((other) => other.held === held)
    if (!run || held.retainedDue === 'no') return held.retainedDue
    const certain = run.candidates.length === 1
    if (run.candidates.every((list) => list.length === 0)) return 'no'
    const complete = run.candidates.some((list) => list.length === run.got) && run.ids.every((id) => done.has(id))
    if (!complete) return held.retainedDue
    return how === 'in order' && certain ? 'no' : 'maybe'
  }

  #live(message: Message): void {
    const { topic, text, messageId, dup } = message
    for (let seq = this.last + 1; ; seq++) {
      const entry = this.#truth.at(seq)
      if (!entry) violation(`[P-4.12] [P-8.13] ${topic} ${JSON.stringify(text)} has no place after ${this.last}`)
      const wanted = this.#wants(entry)
      const same = entry.topic === topic && entry.text === text
      if (same && wanted !== 'no') {
        this.#check(entry, message)
        this.#tightenFrom(entry)
        this.last = seq
        this.fresh = false
        counts.deliveries++
        if (dup) counts.dups++
        this.received.add(seq)
        // [P-4.18]
        if (message.qos === 0) this.acked.add(seq)
        if (messageId !== undefined && message.qos > 0) this.deliveries.push({ id: messageId, seq, acked: false })
        return
      }
      if (wanted === 'yes' && !this.#maySkip(seq)) {
        violation(`[P-4.17] a gap: seq ${seq} (${entry.topic} ${entry.text}) is due after ${this.last}, there came ${topic} ${text}`)
      }
      if (wanted === 'maybe') this.#tightenPast(entry)
    }
  }

  /** What a client that returns need not get again, and what a cut may have lost. */
  #maySkip(seq: number): boolean {
    if (this.fresh && this.acked.has(seq)) return true
    return this.#lossy.has(seq)
  }

  #check(entry: Entry, { qos, dup }: Message): void {
    const { min, max } = this.#qos(entry)
    if (qos < min || qos > max) violation(`[P-4.7] [P-4.10] seq ${entry.seq} came at QoS ${qos}, not ${min} to ${max}`)
    if (qos > 0 && !dup && this.received.has(entry.seq)) violation(`[P-4.20] seq ${entry.seq} came again without DUP`)
    if (dup && !this.uncleanStart && entry.seq > this.existedTo) violation(`seq ${entry.seq} has DUP, but was never sent before`)
    if (qos === 0 && dup) violation('[MQTT-3.3.1-2] DUP at QoS 0')
  }

  #wants({ seq, topic }: Entry): 'yes' | 'maybe' | 'no' {
    let wanted: 'yes' | 'maybe' | 'no' = 'no'
    for (const { filter, sinceMin, sinceMax } of this.held.values()) {
      if (seq <= sinceMin || !matches(filter, topic)) continue
      if (seq > sinceMax) return 'yes'
      wanted = 'maybe'
    }
    return wanted
  }

  #qos({ seq, topic, qos }: Entry): { min: number; max: number } {
    let [min, max] = [-1, -1]
    for (const held of this.held.values()) {
      if (seq <= held.sinceMin || !matches(held.filter, topic)) continue
      if (seq > held.sinceMax) min = Math.max(min, held.qos)
      max = Math.max(max, held.qos)
    }
    return { min: Math.min(qos, Math.max(min, 0)), max: Math.min(qos, max) }
  }

  /** It came, so a filter that may have begun after it has not, if no other asked for it. */
  #tightenFrom({ seq, topic }: Entry): void {
    const asking = [...this.held.values()].filter(({ filter, sinceMin }) => seq > sinceMin && matches(filter, topic))
    const [only] = asking
    if (asking.length === 1 && only) only.sinceMax = Math.min(only.sinceMax, seq - 1)
  }

  /** It did not come, so whoever might have asked for it begins later. */
  #tightenPast({ seq, topic }: Entry): void {
    for (const held of this.held.values()) if (seq > held.sinceMin && matches(held.filter, topic)) held.sinceMin = seq
  }
}

/** One sync filter from its SUBSCRIBE on. */
class SyncModel {
  readonly #run: Run
  readonly text: string
  readonly first: string
  readonly filter: string
  readonly qos: number
  readonly #start: Start
  readonly #position: string | undefined
  readonly #headMin: number
  readonly #firstMin: number
  state: 'starting' | 'snapshot' | 'snapshot ended' | 'tail' | 'over' = 'starting'
  /** Everything that matches up to here has come. */
  #sent = 0
  #snapshot: Entry[] = []
  #snapshotPos = ''
  #headSeen = 0
  /** The seq up to which it was last told that it is caught up. */
  caughtUpAt = -1

  constructor(
    run: Run,
    at: { text: string; filter: string; qos: number; start: Start; position: string | undefined; headMin: number; firstMin: number },
  ) {
    this.#run = run
    this.text = at.text
    this.first = at.text.slice(0, at.text.indexOf('/'))
    this.filter = at.filter
    this.qos = at.qos
    this.#start = at.start
    this.#position = at.position
    this.#headMin = at.headMin
    this.#firstMin = at.firstMin
  }

  envelope(entryTopic: string, json: Record<string, unknown>): void {
    const { seq, mark, epoch } = parsePosition(json['pos'] as string)
    const entry = this.#state(seq)
    if (this.state === 'over') violation(`[P-6.11] ${this.text}: seq ${seq} after the end`)
    if (!entry || entry.mark !== mark || epoch !== this.#run.epoch) violation(`[P-8.13] ${this.text}: ${String(json['pos'])} is no entry`)
    const text = json['text'] ?? (json['deleted'] === true ? '' : undefined)
    if (entry.topic !== entryTopic || json['topic'] !== entryTopic || text !== entry.text || (json['retain'] === true) !== entry.retain) {
      violation(`[P-3.20] ${this.text}: seq ${seq} is ${JSON.stringify(json)}, the log has ${JSON.stringify(entry)}`)
    }
    counts.envelopes++
    this.#run.seen.push(json['pos'] as string)
    if (this.state === 'snapshot') {
      const due = this.#snapshot.shift()
      if (due?.seq !== seq) violation(`[P-6.16] ${this.text}: seq ${seq} in the snapshot instead of ${due?.seq}`)
      counts.snapshotEntries++
      return
    }
    if (this.state !== 'tail') violation(`[P-6.15] ${this.text}: an entry before the first control message`)
    const due = this.#next()
    if (due?.seq !== seq) violation(`[P-6.8] ${this.text}: seq ${seq} came, ${due?.seq} was due after ${this.#sent}`)
    this.#sent = seq
  }

  control(json: Record<string, unknown>): void {
    if (this.state === 'over') violation(`[P-6.11] ${this.text}: ${JSON.stringify(json)} after the end`)
    switch (json['ctl']) {
      case 'at':
        return this.#at(json)
      case 'reset':
        return this.#reset(json)
      case 'snapshot-start': {
        const seq = this.#known(json['pos'])
        if (this.state !== 'starting' || this.#start !== 'snapshot' || seq < this.#headMin) {
          violation(`[P-6.16] ${this.text}: ${JSON.stringify(json)}, asked when the head was ${this.#headMin}`)
        }
        this.state = 'snapshot'
        this.#sent = seq
        this.#snapshotPos = json['pos'] as string
        this.#snapshot = this.#run.truth.state(seq, this.filter)
        return
      }
      case 'snapshot-end':
        if (this.state !== 'snapshot' || this.#snapshot.length > 0 || json['pos'] !== this.#snapshotPos) {
          violation(`[P-6.16] ${this.text}: ${JSON.stringify(json)} with ${this.#snapshot.length} to come`)
        }
        this.state = 'snapshot ended'
        counts.snapshots++
        return
      default:
        violation(`${this.text}: ${JSON.stringify(json)}`)
    }
  }

  #at(json: Record<string, unknown>): void {
    const seq = this.#known(json['pos'])
    const head = this.#known(json['head'])
    this.#known(json['first'])
    if (head < this.#headSeen || head < seq) violation(`[P-6.10] ${this.text}: the head went back to ${head} from ${this.#headSeen}`)
    if (this.state === 'starting') {
      this.#startedAt(seq, head)
      this.#sent = seq
    } else if (this.state === 'snapshot') violation(`[P-6.16] ${this.text}: at within a snapshot`)
    const due = this.#next()
    if (due && due.seq <= seq) violation(`[P-6.10] ${this.text}: at ${seq} although seq ${due.seq} has not been sent`)
    if (seq < this.#sent) violation(`[P-6.10] ${this.text}: at ${seq} although seq ${this.#sent} has been sent`)
    this.state = 'tail'
    this.#sent = seq
    this.#headSeen = head
    if (seq === head) {
      this.caughtUpAt = head
      counts.caughtUp++
    }
    this.#run.seen.push(json['pos'] as string)
  }

  /** [P-2.17]: where it begins is where it was asked to. */
  #startedAt(seq: number, head: number): void {
    const where = `${this.text}: began at ${seq}, asked when the head was ${this.#headMin} and the first ${this.#firstMin}`
    if (head < this.#headMin) violation(`[P-2.18] ${where}: says the head is ${head}`)
    switch (this.#start) {
      case 'now':
        if (seq < this.#headMin) violation(`[P-6.1] ${where}`)
        break
      case 'earliest':
        if (seq < this.#firstMin - 1 || seq > this.#run.first - 1) violation(`[P-2.15] ${where}`)
        break
      case 'snapshot':
        violation(`[P-6.16] ${where}: at before the snapshot`)
        break
      case 'seen':
      case 'past':
      case 'ahead':
      case 'wrong mark':
      case 'foreign': {
        const { epoch, seq: asked, mark } = parsePosition(this.#position as string)
        if (epoch !== this.#run.epoch || asked !== seq || this.#run.truth.markAt(asked) !== mark || asked < this.#firstMin - 1) {
          violation(`[P-2.17] ${where}: the position cannot be served`)
        }
      }
    }
  }

  #reset(json: Record<string, unknown>): void {
    const head = this.#known(json['head'])
    const first = this.#known(json['first'])
    const why = `${this.text} (${this.state}, sent ${this.#sent}, head ${this.#headMin} and first ${this.#firstMin} when asked, first ${this.#run.first} now): ${JSON.stringify(json)}`
    const reason = json['reason'] as 'trimmed' | 'epoch' | 'ahead'
    const asked = this.#position === undefined ? undefined : parsePosition(this.#position)
    const foreign = asked !== undefined && asked.epoch !== this.#run.epoch
    if (this.state === 'snapshot') violation(`[P-6.16] ${why}`)
    if (this.state === 'starting') {
      if (head < this.#headMin && reason === 'ahead') violation(`[P-2.18] ${why}`)
      const { truth } = this.#run
      const ahead = asked !== undefined && !foreign && asked.seq > this.#headMin
      const wrong = asked !== undefined && !foreign && truth.markAt(asked.seq) !== asked.mark
      if (asked && reason === 'ahead' && !ahead) violation(`[P-2.11] ${why}`)
      if (asked && reason === 'epoch' && !foreign && !wrong) violation(`[P-2.13] ${why}`)
      if (reason === 'trimmed' && (foreign || this.#run.first - 1 <= (asked?.seq ?? this.#headMin))) {
        if (foreign || !(this.#start === 'earliest' && this.#run.first > this.#firstMin)) violation(`[P-2.12] ${why}`)
      }
      if (!asked && reason !== 'trimmed') violation(`[P-2.17] ${why}`)
    } else if (reason !== 'trimmed' || this.#run.first <= this.#sent + 1) {
      violation(`[P-6.20] ${why}`)
    }
    if (first > head) violation(`[P-2.8] ${why}`)
    this.state = 'over'
    counts.resets[reason]++
  }

  #state(seq: number): Entry | undefined {
    return this.#run.truth.at(seq)
  }

  /** The next entry that matches. */
  #next(): Entry | undefined {
    return this.#run.truth.entries.slice(this.#sent).find(({ topic }) => matches(this.filter, topic))
  }

  /** The seq of a position that the server named; it must be one of this history. */
  #known(pos: unknown): number {
    const { epoch, seq, mark } = parsePosition(pos as string)
    if (epoch !== this.#run.epoch || this.#run.truth.markAt(seq) !== mark) violation(`[P-2.4] ${this.text}: ${String(pos)} is no position`)
    return seq
  }
}

// A run.

interface Peer {
  readonly who: Who
  client: RawClient | undefined
  plain: PlainModel
  syncs: Map<string, SyncModel>
  /** What takes effect at the SUBACK with this packet id. */
  readonly pending: Map<number, (granted: number) => void>
  read: number
}

class Run {
  readonly truth: RecordingStore
  readonly shared: boolean
  readonly #limits: Partial<Limits>
  readonly #folder: string
  epoch = ''
  /** The oldest readable seq. */
  first = 1
  /** Positions that readers were shown. */
  readonly seen: string[] = []
  /** Positions shown before something was trimmed away. */
  #past: string[] = []
  #it!: TestBroker
  #store!: GatedStore
  #stream!: Stream
  #other: Log | undefined
  #gate: Gate | undefined
  readonly #peers: Record<Who, Peer>
  #texts = 0
  #appending: Promise<unknown>[] = []
  /** Deletions on their way. */
  readonly #deleting = new Set<Promise<unknown>>()
  #restoring: (() => void)[] = []

  constructor(shared: boolean, limits: Partial<Limits>, folder: string) {
    this.shared = shared
    this.#limits = limits
    this.#folder = folder
    this.truth = new RecordingStore({ shared })
    const peer = (name: Who): Peer => ({
      who: name,
      client: undefined,
      plain: new PlainModel(this.truth),
      syncs: new Map(),
      pending: new Map(),
      read: 0,
    })
    this.#peers = { kept: peer('kept'), fresh: peer('fresh') }
  }

  async play(ops: readonly Op[]): Promise<void> {
    await this.#open()
    try {
      if (this.shared) this.#other = await Log.open({ store: new GatedStore(this.truth), limits: { ...defaultLimits, ...this.#limits } })
      await this.#come(this.#peers.kept)
      await this.#come(this.#peers.fresh)
      for (const op of ops) {
        await this.#step(op)
        for (const peer of Object.values(this.#peers)) this.#drain(peer)
      }
      await this.#finish()
    } finally {
      this.#mend()
      await this.#other?.close()
      await closeAll()
    }
  }

  async #open(): Promise<void> {
    this.#store = new GatedStore(this.truth)
    this.#it = await testBroker({ store: this.#store, limits: this.#limits, folder: this.#folder })
    this.epoch = this.#it.log.epoch
    this.#stream = await this.#it.log.stream(streamName)
  }

  /** The oldest head a reader may be given that asks now. */
  get #head(): number {
    return this.shared ? this.truth.entries.length : this.#stream.headSeq
  }

  async #step(op: Op): Promise<void> {
    switch (op.op) {
      case 'append':
        return this.#append(op.by === 'other' && this.#other ? this.#other : this.#it.log, op.entries)
      case 'collide':
        this.#append(this.#it.log, op.entries)
        if (this.#other) this.#append(this.#other, op.entries)
        return
      case 'hold':
        if (this.#gate) return
        this.#gate = this.#store.hold(calls('commit'))
        counts.held++
        return
      case 'open':
        return this.#release()
      case 'unknown':
        return this.#unknown(op.stored, op.settles)
      case 'plain':
        return this.#subscribePlain(this.#peers[op.who], plainFilters[op.filter] as string, op.qos)
      case 'sync':
        return this.#subscribeSync(op)
      case 'ack':
        return this.#acknowledge(this.#peers[op.who], op.picks)
      case 'leave':
        return this.#leave(this.#peers[op.who], op.how)
      case 'come':
        return this.#come(this.#peers[op.who])
      case 'trim':
        return this.#trim(op.part)
      case 'restart':
        return this.#restart(op.how)
      case 'settle':
        for (const peer of Object.values(this.#peers)) await this.#barrier(peer)
    }
  }

  #append(log: Log, entries: readonly Publish[]): void {
    for (const { topic: at, retain, empty, qos } of entries) {
      const topic = topics[at] as string
      const text = retain && empty ? '' : `m${++this.#texts}`
      const draft = {
        topic,
        ...encodeFrame(topic, Buffer.from(text)),
        qos: retain ? qos : (1 as const),
        retain,
        from: 'alice',
        client: 'desk',
      }
      // What became of it is seen in the store.
      const settled = log.publish(streamName, { ...draft, receivedMs: Date.now() }).catch(() => {})
      if (log === this.#it.log) this.#appending.push(settled)
      if (text !== '') continue
      this.#deleting.add(settled)
      void settled.then(() => this.#deleting.delete(settled))
    }
  }

  #release(): void {
    this.#gate?.release()
    this.#gate = undefined
  }

  /** Nothing fails or waits any more. */
  #mend(): void {
    this.#release()
    for (const restore of this.#restoring.splice(0)) restore()
  }

  /** The next commit of the node has no clear end. */
  #unknown(stored: boolean, settles: boolean): void {
    counts.unknown++
    const unsettle = settles ? undefined : this.#store.fail(calls('settle'))
    if (unsettle) this.#restoring.push(unsettle)
    this.#store.committing = async (buckets, commit) => {
      this.#store.committing = undefined
      if (stored) await commit()
      return buckets.map(() => 'unknown')
    }
    this.#restoring.push(() => (this.#store.committing = undefined))
  }

  async #trim(part: number): Promise<void> {
    const before = Math.max(1, Math.floor((this.#stream.headSeq * part) / 100) + 1)
    if (before <= this.first) return
    // What lies before it may go at any moment from here on.
    const kept = this.first
    this.first = Math.max(this.first, before)
    const first = await within(this.#it.log.trim(streamName, before), 'the trim', longMs)
    this.first = Math.max(kept, first)
    this.#past.push(...this.seen.filter((pos) => parsePosition(pos).seq < first - 1))
    counts.trims++
  }

  async #restart(how: 'stop' | 'crash'): Promise<void> {
    const { kept, fresh } = this.#peers
    for (const peer of [kept, fresh]) await this.#barrier(peer)
    if (how === 'stop') {
      this.#mend()
      await within(Promise.all(this.#appending), 'the appends to be settled', longMs)
      await within(this.#it.close(), 'the broker to stop', longMs)
      counts.restarts++
    } else {
      this.#store.crash()
      this.#gate = undefined
      this.#restoring = []
      abandon(this.#it)
      counts.crashes++
    }
    for (const peer of [kept, fresh]) {
      if (peer.client) await within(peer.client.closed, 'the connection to end with the broker', longMs)
      this.#gone(peer, how === 'stop' ? 'in order' : 'crashed')
    }
    await this.#open()
    this.#appending = []
    this.#deleting.clear()
  }

  // Connections.

  async #come(peer: Peer): Promise<void> {
    if (peer.client) return
    const isKept = peer.who === 'kept'
    const headMin = this.#head
    const existed = this.#hadSession
    const placeMin = peer.plain.placeMin
    const placeMax = peer.plain.placeMax
    const client = await this.#it.raw()
    client.acknowledges = false
    const token = await this.#it.token('alice')
    const connack = await client.connect({ clientId: peer.who, clean: !isKept, password: token })
    expect(connack.returnCode, 'CONNACK').to.equal(0)
    peer.client = client
    peer.read = 0
    peer.pending.clear()
    if (!isKept || !connack.sessionPresent) {
      if (isKept && existed) {
        const active = peer.plain.held.size > 0
        if (!active || placeMin >= this.first - 1) violation(`[P-4.21] the session was lost: place ${placeMin}, first ${this.first}`)
        counts.discarded++
      }
      peer.plain = new PlainModel(this.truth)
    } else {
      counts.reconnects++
      if (!existed) violation('[P-4.21] session present 1 for a session that never was')
      if (peer.plain.held.size > 0 && placeMax < this.first - 1)
        violation(`[P-4.22] place ${placeMax} is served, the first is ${this.first}`)
      peer.plain.existedTo = this.truth.entries.length
      peer.plain.restored(headMin, this.truth.entries.length)
    }
    this.#hadSession ||= isKept
  }
  #hadSession = false

  async #leave(peer: Peer, how: 'disconnect' | 'cut'): Promise<void> {
    await this.#barrier(peer)
    const { client } = peer
    if (!client) return
    if (how === 'disconnect') client.send({ cmd: 'disconnect' })
    else client.destroy()
    await within(client.closed, 'the end of the connection', longMs)
    this.#gone(peer, 'in order')
  }

  /** Takes in what came until the end. */
  #gone(peer: Peer, how: 'in order' | 'crashed'): void {
    if (!peer.client) return
    this.#drain(peer, true)
    peer.client = undefined
    peer.syncs.clear()
    peer.plain.left(how, this.truth.entries.length)
    peer.plain.uncleanStart = how === 'crashed' || peer.plain.uncleanStart
  }

  /** Resolves when everything the server wrote so far has come, and everything the client sent has been taken. */
  async #barrier(peer: Peer): Promise<void> {
    const { client } = peer
    if (!client) return
    await client.ping().catch(() => {})
    this.#drain(peer)
  }

  // Subscribing.

  async #subscribePlain(peer: Peer, filter: string, qos: 0 | 1): Promise<void> {
    // On this door one deletion looks like another: none may lie where the filter may or may not begin.
    if (this.#deleting.size > 0) {
      this.#mend()
      await within(Promise.all(this.#deleting), 'the deletions to be settled', longMs)
    }
    const headMin = this.#head
    if (this.truth.entries.slice(headMin).some(({ text }) => text === '')) return
    const placeEmpty = peer.plain.held.size === 0
    await this.#subscribe(peer, filter, qos, (granted) => {
      if (granted !== qos) violation(`[P-4.7] ${filter} was granted ${granted}`)
      const head = this.truth.entries.length
      if (placeEmpty) {
        peer.plain.last = headMin
        peer.plain.placeMin = headMin
        peer.plain.placeAtStart = headMin
      }
      peer.plain.subscribed(filter, qos, headMin, head)
    })
  }

  async #subscribeSync({ filter: at, start, pick }: Op & { op: 'sync' }): Promise<void> {
    const peer = this.#peers.fresh
    const { filter, qos } = syncFilters[at] as (typeof syncFilters)[number]
    const position = this.#position(start, pick)
    const text = start === 'now' ? `sync/${filter}` : `sync@${position ?? start}/${filter}`
    const asked = { text, filter, qos, start, position, headMin: this.#head, firstMin: this.first }
    await this.#subscribe(peer, text, qos, (granted) => {
      if (granted !== qos) violation(`[P-6.19] ${text} was granted ${granted}`)
      peer.syncs.set(text, new SyncModel(this, asked))
    })
  }

  async #subscribe(peer: Peer, filter: string, qos: 0 | 1, granted: (code: number) => void): Promise<void> {
    const { client } = peer
    if (!client) return
    const messageId = client.nextId()
    peer.pending.set(messageId, granted)
    client.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos }] })
    await client
      .expect((packet) => packet.cmd === 'suback' && packet.messageId === messageId, `SUBACK of ${filter}`, longMs)
      .catch((error: unknown) => {
        if (!client.isClosed) throw error
      })
    this.#drain(peer)
  }

  #position(start: Start, pick: number): string | undefined {
    const { entries } = this.truth
    const known = this.seen.length > 0 ? (this.seen[pick % this.seen.length] as string) : formatPosition(this.epoch, 0, '0000')
    const { seq, mark } = parsePosition(known)
    switch (start) {
      case 'seen':
        return known
      case 'past':
        return this.#past.length > 0 ? this.#past[pick % this.#past.length] : known
      case 'ahead':
        return formatPosition(this.epoch, entries.length + 1 + (pick % 3), mark)
      case 'wrong mark':
        return formatPosition(this.epoch, seq, mark === 'AAAA' ? 'BBBB' : 'AAAA')
      case 'foreign':
        return formatPosition(this.epoch === 'AAAAAAAA' ? 'BBBBBBBB' : 'AAAAAAAA', seq, mark)
      case 'now':
      case 'earliest':
      case 'snapshot':
    }
    return undefined
  }

  #acknowledge(peer: Peer, picks: readonly number[]): void {
    for (const pick of picks) {
      const open = this.#unackedOf(peer)
      const id = open[pick % Math.max(open.length, 1)]
      if (id !== undefined) this.#ack(peer, id)
    }
  }

  #ack(peer: Peer, id: number): void {
    peer.client?.send({ cmd: 'puback', messageId: id })
    peer.plain.acknowledged(id)
    this.#unacked.get(peer.client as RawClient)?.delete(id)
  }

  /** Packet ids that wait for their PUBACK. */
  #unackedOf(peer: Peer): number[] {
    return [...(peer.client ? (this.#unacked.get(peer.client) ?? []) : [])]
  }
  readonly #unacked = new Map<RawClient, Set<number>>()

  // What comes.

  #drain(peer: Peer, ended = false): void {
    const { client } = peer
    if (!client) return
    for (; peer.read < client.inbox.all.length; peer.read++) {
      const packet = client.inbox.all[peer.read]
      if (packet?.cmd === 'suback') {
        peer.pending.get(packet.messageId as number)?.(packet.granted[0] as number)
        peer.pending.delete(packet.messageId as number)
      } else if (packet?.cmd === 'publish') {
        this.#message(peer, client, toMessage(packet))
      }
    }
    if (!client.isClosed || ended) return
    // Closed by the server: only for what a plain reader has missed [P-4.23].
    const { next, held } = peer.plain
    const why = this.#it.lines.all.findLast(({ message }) => message.startsWith('closed:'))?.message
    if (held.size === 0 || next >= this.first) violation(`${peer.who} was closed for nothing, next ${next}, first ${this.first}: ${why}`)
    counts.closed++
    this.#gone(peer, 'in order')
  }

  #message(peer: Peer, client: RawClient, message: Message): void {
    const { topic, text, qos, messageId } = message
    if (qos > 0) {
      const open = this.#unacked.get(client) ?? new Set<number>()
      this.#unacked.set(client, open)
      if (open.has(messageId as number)) violation(`packet id ${messageId} is in use [MQTT-2.3.1-2]`)
      open.add(messageId as number)
      const { inflightMax = defaultLimits.inflightMax } = this.#limits
      // Control messages do not wait for room.
      const control = [...this.#unackedControl].filter((id) => open.has(id)).length
      if (topic.endsWith('/$ctl')) this.#unackedControl.add(messageId as number)
      else if (open.size - control > inflightMax) violation(`[P-4.30] ${open.size} deliveries in flight`)
    }
    if (!topic.startsWith('sync')) return peer.plain.message(message)
    const first = topic.slice(0, topic.indexOf('/'))
    const json = JSON.parse(text) as Record<string, unknown>
    if (topic.endsWith('/$ctl')) {
      const sync = peer.syncs.get(json['filter'] as string)
      if (!sync || sync.qos !== qos) violation(`${text}: nobody asked for it`)
      return sync.control(json)
    }
    const entryTopic = topic.slice(first.length + 1)
    const sync = [...peer.syncs.values()].find((other) => other.first === first && other.qos === qos && matches(other.filter, entryTopic))
    if (!sync) violation(`${topic} ${text}: nobody asked for it`)
    sync.envelope(entryTopic, json)
  }
  readonly #unackedControl = new Set<number>()

  // The end: everything must come that is due.

  async #finish(): Promise<void> {
    this.#mend()
    await within(Promise.all(this.#appending), 'the appends to be settled', longMs)
    for (const topic of topics) {
      const draft = {
        topic,
        ...encodeFrame(topic, Buffer.from(`last ${topic}`)),
        qos: 1 as const,
        retain: false,
        from: 'alice',
        client: 'desk',
      }
      await within(
        this.#it.log.publish(streamName, { ...draft, receivedMs: Date.now() }),
        'an append that nothing stands in the way of',
        longMs,
      )
    }
    await this.#quiet()
    for (const peer of Object.values(this.#peers)) {
      await this.#come(peer)
      await this.#complete(peer)
    }
    for (const peer of Object.values(this.#peers)) {
      // A double would have come by now.
      await this.#barrier(peer)
      this.#ackAll(peer)
      await this.#barrier(peer)
    }
    expect(this.#stream.headSeq).to.equal(this.truth.entries.length)
  }

  /** Commits of the other log come to an end as well. */
  async #quiet(): Promise<void> {
    if (!this.#other) return
    const topic = topics[0]
    const draft = {
      topic,
      ...encodeFrame(topic, Buffer.from('last of the other')),
      qos: 1 as const,
      retain: false,
      from: 'alice',
      client: 'desk',
    }
    await within(this.#other.publish(streamName, { ...draft, receivedMs: Date.now() }), 'an append of the other log', longMs)
    await this.#it.log.confirmHead(this.#stream)
  }

  async #complete(peer: Peer): Promise<void> {
    for (;;) {
      const { client } = peer
      if (!client) return await this.#come(peer)
      let failed: unknown
      let closed = false
      const done = (): boolean => {
        try {
          this.#drain(peer)
          closed = !peer.client
          this.#ackAll(peer)
          return closed || this.#isComplete(peer)
        } catch (error) {
          failed = error
          return true
        }
      }
      await client.inbox.until(done, `what is due to ${peer.who}: ${this.#missing(peer)}`, longMs).catch((error: unknown) => {
        if (!client.isClosed) throw new Error(`${peer.who} did not get what is due: ${this.#missing(peer)}`, { cause: error })
        done()
      })
      if (failed) throw failed
      if (!closed) return
    }
  }

  #ackAll(peer: Peer): void {
    for (const id of this.#unackedOf(peer)) this.#ack(peer, id)
  }

  #isComplete(peer: Peer): boolean {
    const head = this.truth.entries.length
    return peer.plain.complete(head) && [...peer.syncs.values()].every(({ state, caughtUpAt }) => state === 'over' || caughtUpAt === head)
  }

  #missing(peer: Peer): string {
    const syncs = [...peer.syncs.values()].map(({ text, state, caughtUpAt }) => `${text} ${state}, caught up at ${caughtUpAt}`)
    const { last, held } = peer.plain
    const retained = peer.plain.worlds.map((world) => world.map(({ candidates, got, optional }) => ({ candidates, got, optional })))
    return JSON.stringify({
      known: this.#stream.headSeq,
      head: this.truth.entries.length,
      first: this.first,
      last,
      held: [...held.values()],
      retained,
      syncs,
    })
  }
}

describe(`Catch-up, ${runs} runs with seed ${seed}`, function () {
  this.timeout(Math.max(300_000, runs * 10_000))
  afterEach(closeAll)

  it('[P-4.12] [P-4.17] [P-6.8] [P-6.10] [P-6.20] every reader gets what matches from where it asked for, in order, once, or is told', async () => {
    const startedMs = Date.now()
    const folder = await tempFolder()
    const property = fc.asyncProperty(
      fc.boolean(),
      someLimits,
      fc.array(anOp, { minLength: 25, maxLength: 45, size: 'max' }),
      async (shared, limits, ops) => {
        counts.runs++
        if (shared) counts.shared++
        await new Run(shared, limits, folder).play(ops)
      },
    )
    await fc
      .assert(property, {
        numRuns: runs,
        seed,
        ...(path === undefined ? {} : { path }),
        includeErrorInReport: true,
        endOnFailure: process.env['TIDEMARK_CATCH_UP_SHRINK'] === undefined,
      })
      .finally(destroyRawClients)
    console.log(`catch-up, seed ${seed}, ${Date.now() - startedMs} ms: ${JSON.stringify(counts)}`)
    const enough = runs / 200
    const least = {
      entries: 2_000,
      envelopes: 1_000,
      deliveries: 1_000,
      retained: 100,
      dups: 30,
      caughtUp: 500,
      snapshots: 25,
      snapshotEntries: 12,
      reconnects: 80,
      discarded: 1,
      collisions: 20,
      unknown: 40,
      trims: 80,
      restarts: 40,
      crashes: 40,
      held: 100,
    }
    for (const [name, count] of Object.entries(least)) {
      expect(counts[name as keyof typeof least], `${name} examined`).to.be.at.least(Math.floor(count * enough))
    }
    for (const [reason, count] of Object.entries(counts.resets)) expect(count, `reset ${reason}`).to.be.at.least(Math.floor(10 * enough))
  })
})
