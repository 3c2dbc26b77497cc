/** What was measured, in words. */
import type { Bidders } from './bidders.ts'
import type { WatchersReport } from './watchers.ts'

export interface Measured {
  /** The first entry that counts. */
  readonly from: number
  readonly bidders: Pick<Bidders, 'placed' | 'seqs' | 'conflicts' | 'hops'>
  readonly reports: readonly Pick<WatchersReport, 'lastMs' | 'missed' | 'doubled'>[]
  readonly cpuMs: Readonly<Record<string, number>>
  /** How long the bids took, and how long it was until every watcher was told. */
  readonly bidsMs: number
  readonly wallMs: number
}

export function printed(
  { from, bidders, reports, cpuMs, bidsMs, wallMs }: Measured,
  limitMs: number,
): { lines: string[]; isGood: boolean } {
  const { placed, seqs, conflicts, hops } = bidders
  const missed = reports.reduce((sum, report) => sum + report.missed, 0)
  const doubled = reports.reduce((sum, report) => sum + report.doubled, 0)
  const times = placed.map(({ id, calledMs }) => {
    const at = (seqs.get(id) ?? NaN) - from
    return Math.max(...reports.map(({ lastMs }) => lastMs[at] ?? Infinity)) - calledMs
  })
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => shareOf(times, share)) as [number, number, number]
  const cores = Object.entries(cpuMs).map(([who, spent]) => `${who} ${(spent / wallMs).toFixed(2)}`)
  const isGood = missed === 0 && doubled === 0 && p99 <= limitMs
  const lines = [
    `bids: ${placed.length} accepted (${((placed.length * 1000) / bidsMs).toFixed(1)}/s), ${conflicts} conflicts; entries at the watchers: ${missed} missed, ${doubled} doubled`,
    `from the call to the last watcher, ms: p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)}; limit ${limitMs}`,
    `of that, hop by hop until the bidder is told (medians, ms): ${mediansOf(hops)}`,
    `cores busy: ${cores.join(', ')}`,
    isGood ? 'good' : p99 > limitMs ? 'TOO SLOW' : 'NOT COMPLETE',
  ]
  return { lines, isGood }
}

function mediansOf(hops: Bidders['hops']): string {
  const names = hops[0]?.map(({ name }) => name) ?? []
  const median = (at: number): number => {
    const times = hops.map((some) => some[at]?.ms ?? 0)
    return shareOf(times, 0.5)
  }
  return names.map((name, at) => `${name} ${ms(median(at))}`).join(', ')
}

function shareOf(times: readonly number[], share: number): number {
  const sorted = [...times].sort((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Infinity
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0)
}
