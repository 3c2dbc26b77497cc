/** 1,000 watchers on one auction: how long from a bidder's call until the last watcher has been told? */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Bidders } from './bidders.ts'
import { startHouse, WatchersProcess } from './crew.ts'
import { freeze } from './frozen.ts'
import { nowMs } from './login.ts'
import { printed, type Measured } from './result.ts'

const { values } = parseArgs({
  options: {
    watchers: { type: 'string', default: '1000' },
    bids: { type: 'string', default: '50' },
    frozen: { type: 'string', default: '1%' },
    seconds: { type: 'string', default: '30' },
    /** Watchers that are clients of the SDK; the others have a bare socket. */
    sdk: { type: 'string', default: '100' },
    limit: { type: 'string', default: '300' },
  },
})
const watchers = numberOf('watchers', 1)
const frozen = Math.round((watchers * numberOf('frozen', 0)) / 100)
const sdk = Math.min(numberOf('sdk', 0), watchers - frozen)
const perSecond = numberOf('bids', 1)
const seconds = numberOf('seconds', 1)
/** For what is on its way when the last bid stands. */
const patienceMs = 30_000

// What was started ends with this process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const house = await startHouse()
const crew = Array.from({ length: Math.min(availableParallelism(), watchers) }, () => new WatchersProcess())
try {
  const measured = await measure()
  const { lines, isGood } = printed(measured, numberOf('limit', 0))
  console.log(lines.join('\n'))
  if (!isGood) process.exitCode = 1
} finally {
  for (const some of crew) some.end()
  await house.stop()
}

async function measure(): Promise<Measured> {
  const { origin } = house
  const thaw = await freeze(origin, frozen)
  const share = (of: number, number: number): number => Math.floor((of * number) / crew.length)
  await Promise.all(
    crew.map(async (some, number) => {
      const [first, end] = [share(watchers - frozen, number), share(watchers - frozen, number + 1)]
      // Each process has its part of those with the SDK.
      await some.join({ origin, first, count: end - first, sdk: first + share(sdk, number + 1) - share(sdk, number) })
    }),
  )
  const bidders = new Bidders()
  await bidders.join(origin)
  console.log(
    `${watchers} watchers (${frozen} frozen), ${perSecond} bids/s for ${seconds} s; ` +
      `${sdk} watchers are tidemark/client, the others bare sockets; ${crew.length} processes`,
  )
  const from = bidders.seq + 1
  const [beginMs, begun] = [nowMs(), process.cpuUsage()]
  const serverMs = await house.cpuMs()
  await bidders.bid(perSecond, seconds)
  const bidsMs = nowMs() - beginMs
  const reports = await Promise.all(crew.map((some) => some.report({ from, to: bidders.seq, patienceMs })))
  const wallMs = nowMs() - beginMs
  const { user, system } = process.cpuUsage(begun)
  const cpuMs = {
    server: (await house.cpuMs()) - serverMs,
    watchers: reports.reduce((sum, report) => sum + report.cpuMs, 0),
    bidders: (user + system) / 1_000,
  }
  await bidders.close()
  thaw()
  return { from, bidders, reports, cpuMs, bidsMs, wallMs }
}

function numberOf(name: keyof typeof values, least: number): number {
  const value = Number(values[name].replace(/%$/, ''))
  if (!(value >= least)) throw new Error(`--${name} ${values[name]}: write a number from ${least} on`)
  return value
}
