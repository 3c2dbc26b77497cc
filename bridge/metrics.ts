/** What is counted and timed, in Prometheus' words: base units, the prefix `tidemark_`, and no user, topic or client in a label [P-11.10]. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { errorTable } from '../protocol/errors.ts'
import type { HintOutcome, Telemetry } from '../seams/telemetry.ts'

/**
 * Values read at each scrape, by names in camel case with their unit last: `backlogBytes` becomes
 * `tidemark_backlog_bytes`.
 */
export type MetricsGauges = () => Readonly<Record<string, number>>

const secondsFine = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const entryCounts = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 20_000]

/** The registry of one server. Beside ours it holds what Node and the process tell of themselves, event-loop delay included. */
export class Metrics implements Telemetry {
  readonly #registry = new Registry()
  readonly #gauges: MetricsGauges
  readonly #known = new Map<string, Gauge>()
  readonly #commits = this.#counter('commits_total', 'Commits that reached the disk.')
  readonly #buckets = this.#counter('committed_buckets_total', 'Buckets in commits: one per stream and commit.')
  readonly #entries = this.#counter('committed_entries_total', 'Entries that reached the disk.')
  readonly #bytes = this.#counter('committed_bytes_total', 'Bytes of entries that reached the disk.')
  readonly #commitSeconds = this.#histogram('commit_duration_seconds', 'Time of one commit in the store.', secondsFine)
  readonly #commitEntries = this.#histogram('commit_size_entries', 'Entries in one commit.', entryCounts)
  readonly #appendSeconds = this.#histogram(
    'append_latency_seconds',
    'From the socket to the disk, the oldest entry of each commit.',
    secondsFine,
  )
  readonly #deliverySeconds = this.#histogram(
    'delivery_latency_seconds',
    'From the commit to a socket, the slowest of each turn of the event loop.',
    secondsFine,
  )
  readonly #delivered = this.#counter('delivered_entries_total', 'Entries written to sessions.')
  readonly #refusals = new Counter({
    name: 'tidemark_refusals_total',
    help: 'Refusals by door and code.',
    labelNames: ['door', 'code'] as const,
    registers: [this.#registry],
  })
  readonly #storeFailures = this.#counter('store_failures_total', 'Failed commits, and times the store left.')
  readonly #discarded = this.#counter('sessions_discarded_total', 'Sessions discarded because their cursor could not be served.')
  readonly #looks = this.#counter('retention_looks_total', 'Streams that retention looked at.')
  readonly #trims = this.#counter('retention_trims_total', 'Streams that retention trimmed.')
  readonly #trimmed = this.#counter('retention_trimmed_entries_total', 'Entries that retention trimmed.')
  readonly #held = this.#counter('retention_held_total', 'Trims of retention that waited for a kept session, in whole or in part.')
  readonly #hints = new Counter({
    name: 'tidemark_hints_total',
    help: 'Hints to and from other nodes: sent, received, dropped instead of sent, ignored because they are none.',
    labelNames: ['outcome'] as const,
    registers: [this.#registry],
  })

  constructor(gauges: MetricsGauges) {
    this.#gauges = gauges
    collectDefaultMetrics({ register: this.#registry })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Everything, in the text format of Prometheus. */
  async text(): Promise<string> {
    for (const [name, value] of Object.entries(this.#gauges())) this.#gauge(name).set(value)
    return await this.#registry.metrics()
  }

  committed(buckets: number, entries: number, bytes: number, durationMs: number): void {
    this.#commits.inc()
    this.#buckets.inc(buckets)
    this.#entries.inc(entries)
    this.#bytes.inc(bytes)
    this.#commitSeconds.observe(durationMs / 1_000)
    this.#commitEntries.observe(entries)
  }

  appended(latencyMs: number): void {
    this.#appendSeconds.observe(latencyMs / 1_000)
  }

  delivered(entries: number, latencyMs: number | undefined): void {
    this.#delivered.inc(entries)
    if (latencyMs !== undefined) this.#deliverySeconds.observe(latencyMs / 1_000)
  }

  refused(door: string, code: string): void {
    // A label takes few values only, whatever a caller passes: nobody fills the registry, and no name gets into it.
    this.#refusals.inc({ door: doors.has(door) ? door : 'other', code: Object.hasOwn(errorTable, code) ? code : 'other' })
  }

  storeFailed(): void {
    this.#storeFailures.inc()
  }

  sessionDiscarded(): void {
    this.#discarded.inc()
  }

  swept({ looks, trims, entries, held }: { looks: number; trims: number; entries: number; held: number }): void {
    this.#looks.inc(looks)
    this.#trims.inc(trims)
    this.#trimmed.inc(entries)
    this.#held.inc(held)
  }

  hints(outcome: HintOutcome, count: number): void {
    this.#hints.inc({ outcome }, count)
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name: `tidemark_${name}`, help, registers: [this.#registry] })
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name: `tidemark_${name}`, help, buckets, registers: [this.#registry] })
  }

  #gauge(name: string): Gauge {
    let gauge = this.#known.get(name)
    if (!gauge) {
      const metric = `tidemark_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`
      gauge = new Gauge({ name: metric, help: `${name}, at the scrape.`, registers: [this.#registry] })
      this.#known.set(name, gauge)
    }
    return gauge
  }
}

const doors: ReadonlySet<string> = new Set([
  'plain',
  'put',
  'sync',
  'reply',
  'tap',
  'http',
  'auth',
  'connect',
  'mqtt',
  'tcp',
  'tls',
  'websocket',
  'session',
  'will',
])
