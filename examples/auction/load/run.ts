/** 1,000 watchers on one auction: how long from a bidder's call until the last watcher has been told? */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Bidders } from './bidders.ts'
import { startHouse, WatchersProcess } from './crew.ts'
import { freeze } from './frozen.ts'
import type { WatchersReport } from './watchers.ts'

const { values } = parseArgs({
  options: {
    watchers: { type: 'string', default: '1000' },
    bids: { type: 'string', default: '50' },
    frozen: { type: 'string', default: '1%' },
    seconds: { type: 'string', default: '30' },
    limit: { type: 'string', default: '300' },
  },
})
const watchersCount = numberOf('watchers', 1)
const perSecond = numberOf('bids', 1)
const seconds = numberOf('seconds', 1)
const limitMs = numberOf('limit', 0)
const frozenCount = Math.round((watchersCount * numberOf('frozen', 0)) / 100)
/** For what is on its way when the last bid stands. */
const patienceMs = 30_000

const house = await startHouse()
const crew = Array.from({ length: Math.min(availableParallelism(), watchersCount) }, () => new WatchersProcess())
try {
  const thaw = await freeze(house.origin, frozenCount)
  const reading = watchersCount - frozenCount
  await Promise.all(
    crew.map((some, number) => {
      const first = Math.floor((reading * number) / crew.length)
      return some.join({ origin: house.origin, first, count: Math.floor((reading * (number + 1)) / crew.length) - first })
    }),
  )
  const bidders = new Bidders()
  await bidders.join(house.origin)
  console.log(
    `${watchersCount} watchers (${frozenCount} frozen), ${perSecond} bids/s for ${seconds} s; watchers: tidemark/client, ${crew.length} processes`,
  )
  const from = bidders.seq + 1
  await bidders.bid(perSecond, seconds)
  const reports = await Promise.all(crew.map((some) => some.report({ from, to: bidders.seq, patienceMs })))
  await bidders.close()
  thaw()
  tell(bidders, from, reports)
} finally {
  for (const some of crew) some.end()
  await house.stop()
}

function tell({ placed, seqs, conflicts, hops }: Bidders, from: number, reports: readonly WatchersReport[]): void {
  const missed = sumOf(reports.map((report) => report.missed))
  const doubled = sumOf(reports.map((report) => report.doubled))
  const times = placed.map(({ id, calledMs }) => {
    const at = (seqs.get(id) as number) - from
    return Math.max(...reports.map(({ lastMs }) => lastMs[at] as number)) - calledMs
  })
  const p99 = shareOf(times, 0.99)
  console.log(`bids: ${placed.length} accepted, ${conflicts} conflicts; entries at the watchers: ${missed} missed, ${doubled} doubled`)
  console.log(
    `from the call to the last watcher, ms: p50 ${ms(shareOf(times, 0.5))}, p95 ${ms(shareOf(times, 0.95))}, p99 ${ms(p99)}; limit ${limitMs}`,
  )
  console.log(`of that, until the bidder is told (medians, ms): ${mediansOf(hops)}`)
  const isGood = missed === 0 && doubled === 0 && p99 <= limitMs
  console.log(isGood ? 'good' : p99 > limitMs ? 'TOO SLOW' : 'NOT COMPLETE')
  if (!isGood) process.exitCode = 1
}

function mediansOf(hops: Bidders['hops']): string {
  const names = hops[0]?.map(({ name }) => name) ?? []
  return names
    .map(
      (name, at) =>
        `${name} ${ms(
          shareOf(
            hops.map((some) => some[at]?.ms ?? 0),
            0.5,
          ),
        )}`,
    )
    .join(', ')
}

function shareOf(values_: readonly number[], share: number): number {
  const sorted = [...values_].sort((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Infinity
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0)
}

function numberOf(name: keyof typeof values, least: number): number {
  const value = Number(values[name].replace(/%$/, ''))
  if (!(value >= least)) throw new Error(`--${name} ${values[name]}: write a number from ${least} on`)
  return value
}
