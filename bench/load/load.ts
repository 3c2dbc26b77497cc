/** A load run, in this process or in several, and its result. */
import { Histogram } from './histogram.ts'
import { LoadRun } from './load-run.ts'
import type { LoadCounts, LoadObserver, LoadOptions, LoadResult } from './options.ts'
import { forkedRuns } from './workers.ts'

/** Above this share of a core the generator itself is what is measured. */
const busyShare = 0.9

/** Runs the load and resolves with what it was. Rejects if a client is refused or a connection is lost. */
export async function runLoad(options: LoadOptions, observer: LoadObserver = {}): Promise<LoadResult> {
  const numbers = Array.from({ length: options.publishers }, (_, number) => number)
  const parts = options.processes > 1 ? await forkedRuns(options, numbers, observer) : [await ownRun(options, numbers, observer)]
  return resultOf(options, parts)
}

async function ownRun(options: LoadOptions, numbers: readonly number[], observer: LoadObserver): Promise<LoadCounts> {
  const run = await LoadRun.connect(options, numbers)
  try {
    return await run.measure(observer)
  } finally {
    await run.close()
  }
}

function resultOf(options: LoadOptions, parts: readonly LoadCounts[]): LoadResult {
  const { publishers, subscribers, qos, sizeBytes, window, ratePerSecond, countMs } = options
  const sum = (pick: (part: LoadCounts) => number): number => parts.reduce((total, part) => total + pick(part), 0)
  const perSecond = (pick: (part: LoadCounts) => number): number => Math.round(sum((part) => (pick(part) * 1000) / part.countedMs))
  const latency = new Histogram()
  const ackLatency = new Histogram()
  for (const part of parts) {
    latency.merge(part.latency)
    ackLatency.merge(part.ackLatency)
  }
  const cpuShare = Math.max(...parts.map(({ cpuMs, countedMs }) => cpuMs / countedMs))
  return {
    publishers,
    subscribers,
    qos,
    sizeBytes,
    window,
    ratePerSecond,
    seconds: countMs / 1000,
    sentPerSecond: perSecond(({ sent }) => sent),
    ackedPerSecond: perSecond(({ acked }) => acked),
    deliveredPerSecond: perSecond(({ delivered }) => delivered),
    events: sum(({ acked, delivered }) => acked + delivered),
    latencyMs: latency.percentiles(),
    ackMs: ackLatency.percentiles(),
    gaps: sum(({ gaps }) => gaps),
    duplicates: sum(({ duplicates }) => duplicates),
    reordered: sum(({ reordered }) => reordered),
    undelivered: sum(({ undelivered }) => undelivered),
    unacknowledged: sum(({ unacknowledged }) => unacknowledged),
    strayAcks: sum(({ strayAcks }) => strayAcks),
    foreign: sum(({ foreign }) => foreign),
    generator: { processes: parts.length, cpuShare: Math.round(cpuShare * 100) / 100, bottleneck: cpuShare > busyShare },
  }
}
