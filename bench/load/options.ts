/** What a load run is told, and what it answers. */
import type { HistogramData, Percentiles } from './histogram.ts'
import type { Credentials } from './packets.ts'

export interface LoadOptions {
  /** `mqtt://host:port` or `ws://host:port/mqtt`. */
  readonly url: string
  /** Of a second node: publishers take turns between the two, and subscribers are at the other one than their publisher. */
  readonly otherUrl?: string
  readonly publishers: number
  /** For each publisher's topic. */
  readonly subscribers: number
  readonly qos: 0 | 1
  readonly sizeBytes: number
  /** Unacknowledged messages of a publisher; at QoS 0 bytes are the bound instead. */
  readonly window: number
  /** Messages a second in all; 0: as fast as the window allows. */
  readonly ratePerSecond: number
  readonly warmUpMs: number
  readonly countMs: number
  /** How long may be waited at the end for what is under way. */
  readonly drainMs: number
  readonly clean: boolean
  /** `{n}` stands for the publisher's number. */
  readonly topic: string
  /** By publisher's number; the first again after the last. Empty: without credentials. */
  readonly credentials: readonly Credentials[]
  /** Processes that share the publishers; 1 is this one. */
  readonly processes: number
}

export const defaultLoad = {
  publishers: 4,
  subscribers: 1,
  qos: 1,
  sizeBytes: 100,
  window: 64,
  ratePerSecond: 0,
  warmUpMs: 1_500,
  countMs: 10_000,
  drainMs: 3_000,
  clean: true,
  topic: 'users/bench-{n}/load',
  credentials: [],
  processes: 1,
} as const satisfies Omit<LoadOptions, 'url'>

/** Told when counting begins and ends, to look at the server meanwhile. */
export interface LoadObserver {
  counting?(): void
  counted?(): void
}

/** Must all be 0. */
export interface Faults {
  readonly gaps: number
  readonly duplicates: number
  readonly reordered: number
  /** Published and not received when the draining ended. */
  readonly undelivered: number
}

/** What one process counted. */
export interface LoadCounts extends Faults {
  readonly sent: number
  readonly acked: number
  readonly delivered: number
  readonly unacknowledged: number
  readonly strayAcks: number
  readonly foreign: number
  readonly countedMs: number
  readonly cpuMs: number
  readonly latency: HistogramData
  readonly ackLatency: HistogramData
}

export interface LoadResult extends Faults {
  readonly publishers: number
  readonly subscribers: number
  readonly qos: 0 | 1
  readonly sizeBytes: number
  readonly window: number
  readonly ratePerSecond: number
  readonly seconds: number
  readonly sentPerSecond: number
  readonly ackedPerSecond: number
  readonly deliveredPerSecond: number
  /** Acknowledgements and deliveries while counting. */
  readonly events: number
  /** Publish to receipt, ms. */
  readonly latencyMs: Percentiles
  /** Publish to PUBACK, ms. */
  readonly ackMs: Percentiles
  /** Published and without PUBACK when the draining ended. */
  readonly unacknowledged: number
  readonly strayAcks: number
  readonly foreign: number
  readonly generator: GeneratorFigures
}

export interface GeneratorFigures {
  readonly processes: number
  /** Of a core, of the busiest process. */
  readonly cpuShare: number
  /** The generator had no time left: the server may be faster than this says. */
  readonly bottleneck: boolean
}
