/** Random logs: few topics, users and ids, so that they meet. */
import * as fc from 'fast-check'
import type { Bucket } from '../../log/bucket.ts'
import { bucketOf, draftOf, type DraftOptions } from './buckets.ts'

export interface LogStep {
  readonly drafts: DraftOptions[]
  /** Since the bucket before. */
  readonly laterMs: number
}

const topic = fc.integer({ min: 0, max: 11 }).map((number) => `spaces/s/${number}`)
const from = fc.constantFrom('alice', 'bob', 'carol=20d')
const payload = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  { weight: 4, arbitrary: fc.string({ minLength: 1, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer({ min: 50, max: 150 }).map((length) => 'é'.repeat(length)) },
)
const id = fc.oneof(
  fc.constant(''),
  fc.integer({ min: 0, max: 40 }).map((number) => `id${number}`),
)
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const)

const draft: fc.Arbitrary<DraftOptions> = fc.record({
  topic,
  from,
  payload,
  id,
  qos,
  client: fc.constantFrom('a', 'b'),
  retain: fc.boolean(),
})
const plainDraft: fc.Arbitrary<DraftOptions> = fc.record({ topic, from, payload, qos })

export const logStep: fc.Arbitrary<LogStep> = fc.record({
  drafts: fc.oneof(
    { weight: 4, arbitrary: fc.array(draft, { minLength: 1, maxLength: 6 }) },
    { weight: 1, arbitrary: fc.array(plainDraft, { minLength: 1, maxLength: 6 }) },
  ),
  laterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 600 })),
})

export const logSteps = fc.array(logStep, { minLength: 1, maxLength: 25 })

/** The buckets these steps make, after those given. */
export function bucketsFrom(steps: readonly LogStep[], before: readonly Bucket[] = []): Bucket[] {
  const buckets = [...before]
  for (const { drafts, laterMs } of steps) {
    const last = buckets.at(-1)
    const place = { stream: 'spaces/s', firstSeq: (last?.lastSeq ?? 0) + 1, ts: (last?.ts ?? 1_000_000) + laterMs }
    buckets.push(bucketOf(drafts.map(draftOf), place))
  }
  return buckets
}
