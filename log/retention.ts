/**
 * Retention: streams of some kinds are trimmed by age, by count and by bytes, sweep after sweep. What goes are whole commits,
 * and never the newest one. A sweep looks at so many streams and reads so much a second, and forgets what it has seen but
 * for the sizes of some streams, so that it costs the same however many there are.
 */
import type { Clock } from '../seams/clock.ts'
import { retentionPageMax, retentionPaceMs, type Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import type { Log } from './log.ts'
import { StreamSizes } from './stream-sizes.ts'
import type { Store } from './stores/store.ts'

/** What stays of a stream; what is older than `ageMs`, or beyond so many entries or bytes, goes. */
export interface RetentionPolicy {
  readonly ageMs?: number
  readonly entries?: number
  readonly bytes?: number
}

export interface RetentionParts {
  readonly store: Store
  readonly log: Pick<Log, 'trim'>
  /** By kind: the first level of a stream's name. */
  readonly policies: Readonly<Record<string, RetentionPolicy | undefined>>
  readonly clock: Clock
  readonly limits: Limits
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Up to where the slowest reader to wait for has come, for those of these streams that have one. */
  readonly places: (streams: ReadonlySet<string>) => Promise<ReadonlyMap<string, number>>
}

interface Due {
  readonly first: number
  /** Where the stream may begin. */
  readonly before: number
}

const pacesPerSecond = 1_000 / retentionPaceMs
/** A trim writes several times; it counts like so many looks at a stream. */
const looksPerTrim = 5

export class Retention {
  readonly #parts: RetentionParts
  readonly #sizes: StreamSizes
  #sweeping: Promise<void> | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #closed = false
  #wake: (() => void) | undefined = undefined
  /** Since the last pause. */
  #looks = 0
  #bytes = 0

  constructor(parts: RetentionParts) {
    this.#parts = parts
    const { store, limits } = parts
    this.#sizes = new StreamSizes(store, limits, (bytes) => this.#spend(0, bytes))
  }

  /** Sweeps from now on, with a pause of `retentionSweepMs` after each sweep. */
  start(): void {
    if (this.#closed || Object.keys(this.#parts.policies).length === 0) return
    this.#timer = setTimeout(() => {
      this.sweep().then(
        () => this.start(),
        (error: unknown) => {
          this.#parts.logger.warn({ error }, 'retention could not look at the streams; it is tried again')
          this.start()
        },
      )
    }, this.#parts.limits.retentionSweepMs).unref()
  }

  /** Looks at every stream once; calls at the same time share one sweep. */
  sweep(): Promise<void> {
    return (this.#sweeping ??= this.#sweep().finally(() => (this.#sweeping = undefined)))
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#wake?.()
    await this.#sweeping?.catch(() => {}) // Whoever began the sweep hears of it.
  }

  async #sweep(): Promise<void> {
    for (const [kind, policy] of Object.entries(this.#parts.policies)) {
      if (policy) await this.#sweepKind(kind, policy)
    }
  }

  async #sweepKind(kind: string, policy: RetentionPolicy): Promise<void> {
    const { store, limits, telemetry } = this.#parts
    const prefix = `${kind}/`
    let dues = new Map<string, Due>()
    for (let after = prefix; !this.#closed;) {
      const names = (await store.streams(after, retentionPageMax)).filter((name) => name.startsWith(prefix))
      for (const name of names) {
        if (this.#closed) return
        const due = await this.#guarded(name, () => this.#due(name, policy))
        if (due) dues.set(name, due)
        await this.#spend(1, 0)
      }
      telemetry.swept({ looks: names.length, trims: 0, entries: 0, held: 0 })
      const isEnd = names.length < retentionPageMax
      if (isEnd || dues.size >= limits.retentionTrimsMax) {
        await this.#trim(dues)
        dues = new Map()
      }
      if (isEnd) return
      after = names.at(-1) as string
    }
  }

  /** Undefined where everything stays. */
  async #due(name: string, { ageMs, entries, bytes }: RetentionPolicy): Promise<Due | undefined> {
    const { store, clock } = this.#parts
    const { last, record } = await store.load(name)
    const head = last?.lastSeq ?? 0
    const first = record?.first ?? 1
    if (!last || first > head) return undefined
    await this.#spend(0, last.value.length)
    let before = first
    if (ageMs !== undefined) before = await this.#notOlder(name, first, head, clock.now() - ageMs)
    if (entries !== undefined) before = Math.max(before, await this.#startOfCommit(name, head - entries + 1))
    if (bytes !== undefined)
      before = Math.max(before, Math.min(last.firstSeq, await this.#sizes.cut(name, { first, head, bytesMax: bytes })))
    return before > first ? { first, before } : undefined
  }

  /** First all places of readers, in one walk for many streams: they only ever move on, and begin no earlier than at the head. */
  async #trim(dues: ReadonlyMap<string, Due>): Promise<void> {
    if (dues.size === 0) return
    const places = await this.#parts.places(new Set(dues.keys()))
    for (const [name, { first, before }] of dues) {
      if (this.#closed) return
      const place = places.get(name)
      const allowed = place === undefined ? before : Math.min(before, place + 1)
      const now = allowed > first ? await this.#guarded(name, () => this.#parts.log.trim(name, allowed)) : first
      const entries = Math.max(0, (now ?? first) - first)
      this.#parts.telemetry.swept({ looks: 0, trims: entries > 0 ? 1 : 0, entries, held: allowed < before ? 1 : 0 })
      await this.#spend(looksPerTrim, 0)
    }
  }

  /** The smallest seq whose entry is not older; times never fall along the log, and a commit has one time. */
  async #notOlder(name: string, first: number, head: number, ts: number): Promise<number> {
    let low = first
    let high = head + 1
    for (let middle = first; low < high; middle = Math.floor((low + high) / 2)) {
      const bucket = await this.#bucketWith(name, middle)
      if (!bucket) return first
      if (bucket.ts < ts) low = bucket.lastSeq + 1
      else high = Math.max(low, Math.min(middle, bucket.firstSeq))
    }
    return low
  }

  async #startOfCommit(name: string, seq: number): Promise<number> {
    return seq > 1 ? ((await this.#bucketWith(name, seq))?.firstSeq ?? 1) : 1
  }

  async #bucketWith(name: string, seq: number): Promise<{ ts: number; firstSeq: number; lastSeq: number } | undefined> {
    const [bucket] = await this.#parts.store.read(name, { from: seq, to: seq, bytesMax: 1 })
    await this.#spend(0, bucket?.value.length ?? 0)
    return bucket
  }

  /** One stream that cannot be read or trimmed keeps no other from it. */
  async #guarded<Result>(name: string, work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await work()
    } catch (error) {
      this.#parts.logger.warn({ error, stream: name }, 'retention could not trim a stream; it is tried again')
      return undefined
    }
  }

  /** Pauses once as much was done as a moment allows. */
  async #spend(looks: number, bytes: number): Promise<void> {
    const { retentionStreamsPerSecondMax, retentionReadBytesPerSecondMax } = this.#parts.limits
    this.#looks += looks
    this.#bytes += bytes
    const parts = Math.max(this.#looks / retentionStreamsPerSecondMax, this.#bytes / retentionReadBytesPerSecondMax) * pacesPerSecond
    if (parts < 1 || this.#closed) return
    this.#looks = this.#bytes = 0
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, parts * retentionPaceMs).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
