/** Counts of the last minutes: messages, and how long each hop of them took. */
import type { Entry } from '../client/index.ts'

export const bucketMs = 5_000
export const bucketsShown = 60

/** From the server's socket to this page. */
export const hopNames = ['authorised', 'on disk', 'written out', 'here'] as const

export interface Bucket {
  readonly fromMs: number
  count: number
  /** Messages with a receipt. */
  timed: number
  /** Sums per hop, ms, in the order of `hopNames`. */
  readonly hopMs: number[]
}

export class Meter {
  readonly #now: () => number
  readonly #buckets: Bucket[] = []
  /** End to end, of the last messages. */
  #latencies: { readonly atMs: number; readonly ms: number }[] = []

  constructor(now: () => number = () => Date.now()) {
    this.#now = now
  }

  add({ receipt }: Entry): void {
    const nowMs = this.#now()
    const bucket = this.#bucketAt(nowMs)
    bucket.count++
    if (!receipt) return
    const { received, authorised, committed = authorised, written, delivered } = receipt
    const hops = [authorised - received, committed - authorised, written - committed, delivered - written]
    bucket.timed++
    for (const [at, ms] of hops.entries()) bucket.hopMs[at] = (bucket.hopMs[at] as number) + Math.max(0, ms)
    this.#latencies.push({ atMs: nowMs, ms: Math.max(0, delivered - received) })
    if (this.#latencies.length > 2_000) this.#latencies = this.#latencies.slice(-1_000)
  }

  /** The last buckets, oldest first, empty ones as well. */
  buckets(): readonly Bucket[] {
    const last = Math.floor(this.#now() / bucketMs) * bucketMs
    const byStart = new Map(this.#buckets.map((bucket) => [bucket.fromMs, bucket]))
    return Array.from({ length: bucketsShown }, (_unused, at) => {
      const fromMs = last - (bucketsShown - 1 - at) * bucketMs
      return byStart.get(fromMs) ?? emptyBucket(fromMs)
    })
  }

  /** Median and 99th percentile of the last minute, ms; undefined where nothing came. */
  lastMinute(): { readonly p50: number; readonly p99: number; readonly perSecond: number } | undefined {
    const since = this.#now() - 60_000
    const sorted = this.#latencies
      .filter(({ atMs }) => atMs >= since)
      .map(({ ms }) => ms)
      .toSorted((one, other) => one - other)
    if (sorted.length === 0) return undefined
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
    const count = this.#buckets.filter(({ fromMs }) => fromMs >= since).reduce((sum, bucket) => sum + bucket.count, 0)
    return { p50: at(0.5), p99: at(0.99), perSecond: count / 60 }
  }

  #bucketAt(nowMs: number): Bucket {
    const fromMs = Math.floor(nowMs / bucketMs) * bucketMs
    const last = this.#buckets.at(-1)
    if (last?.fromMs === fromMs) return last
    const bucket = emptyBucket(fromMs)
    this.#buckets.push(bucket)
    if (this.#buckets.length > bucketsShown) this.#buckets.shift()
    return bucket
  }
}

function emptyBucket(fromMs: number): Bucket {
  return { fromMs, count: 0, timed: 0, hopMs: hopNames.map(() => 0) }
}
