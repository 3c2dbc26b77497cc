/** What may happen in a run. */
import * as fc from 'fast-check'
import type { Limits } from '../../../seams/limits.ts'
import { plainFilters, syncFilters, topics } from './truth.ts'

export type Start = 'now' | 'earliest' | 'snapshot' | 'seen' | 'past' | 'ahead' | 'wrong mark' | 'foreign'
/** A clean=0 session with plain filters, and a clean=1 session with plain and sync filters. */
export type Who = 'kept' | 'fresh'

export interface Publish {
  readonly topic: number
  readonly retain: boolean
  readonly empty: boolean
  readonly qos: 0 | 1
}

export type Op =
  | { readonly op: 'append'; readonly by: 'node' | 'other'; readonly entries: readonly Publish[] }
  | { readonly op: 'collide'; readonly entries: readonly Publish[] }
  | { readonly op: 'hold' }
  | { readonly op: 'open' }
  | { readonly op: 'unknown'; readonly stored: boolean; readonly fails: number }
  | { readonly op: 'plain'; readonly who: Who; readonly filter: number; readonly qos: 0 | 1 }
  | { readonly op: 'sync'; readonly filter: number; readonly start: Start; readonly pick: number }
  | { readonly op: 'ack'; readonly who: Who; readonly picks: readonly number[] }
  | { readonly op: 'leave'; readonly who: Who; readonly how: 'disconnect' | 'cut' }
  | { readonly op: 'come'; readonly who: Who }
  | { readonly op: 'trim'; readonly part: number }
  | { readonly op: 'restart'; readonly how: 'stop' | 'crash' }
  | { readonly op: 'settle' }

/** One run. */
export interface Scenario {
  /** Two logs write to the store. */
  readonly shared: boolean
  readonly limits: Partial<Limits>
  /** How long the calls of the store take. */
  readonly pace: number
  readonly ops: readonly Op[]
}

const entries = fc.array(
  fc.record<Publish>({
    topic: fc.nat(topics.length - 1),
    retain: fc.boolean(),
    empty: fc.integer({ min: 0, max: 3 }).map((draw) => draw === 0),
    qos: fc.constantFrom(0, 1, 1, 1),
  }),
  { minLength: 1, maxLength: 5, size: 'max' },
)
const who = fc.constantFrom<Who>('kept', 'fresh')
const start = fc.constantFrom<Start>('now', 'earliest', 'snapshot', 'seen', 'seen', 'seen', 'past', 'ahead', 'wrong mark', 'foreign')
const picks = fc.array(fc.nat(5), { minLength: 1, maxLength: 6 })

const weights: Readonly<Record<Op['op'], number>> = {
  append: 8,
  collide: 2,
  hold: 2,
  open: 3,
  unknown: 1,
  plain: 4,
  sync: 5,
  ack: 6,
  leave: 2,
  come: 4,
  trim: 2,
  restart: 1,
  settle: 3,
}

const shapes: { readonly [Name in Op['op']]: fc.Arbitrary<Omit<Op & { op: Name }, 'op'>> } = {
  append: fc.record({ by: fc.constantFrom('node', 'other'), entries }),
  collide: fc.record({ entries }),
  hold: fc.constant({}),
  open: fc.constant({}),
  // After five questions without an answer whoever waits has been refused.
  unknown: fc.record({ stored: fc.boolean(), fails: fc.constantFrom(0, 0, 0, 1, 2, 5) }),
  plain: fc.record({ who, filter: fc.nat(plainFilters.length - 1), qos: fc.constantFrom(0, 1, 1) }),
  sync: fc.record({ filter: fc.nat(syncFilters.length - 1), start, pick: fc.nat(1_000) }),
  ack: fc.record({ who, picks }),
  leave: fc.record({ who, how: fc.constantFrom('disconnect', 'cut') }),
  come: fc.record({ who }),
  trim: fc.record({ part: fc.integer({ min: 0, max: 100 }) }),
  restart: fc.record({ how: fc.constantFrom('stop', 'crash') }),
  settle: fc.constant({}),
}

const anOp = fc.oneof(
  ...(Object.keys(shapes) as Op['op'][]).map((op) => ({
    weight: weights[op],
    arbitrary: shapes[op].map((shape) => ({ ...shape, op }) as Op),
  })),
)

/** Small enough that everything that has a bound meets it. */
const limits: fc.Arbitrary<Partial<Limits>> = fc.record({
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

export const scenarios: fc.Arbitrary<Scenario> = fc.record({
  shared: fc.boolean(),
  limits,
  pace: fc.nat(),
  ops: fc.array(anOp, { minLength: 25, maxLength: 45, size: 'max' }),
})
