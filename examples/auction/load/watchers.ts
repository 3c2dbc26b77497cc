/** A process of watchers: notes when the last of them was told of each entry. */
import { nowMs } from './login.ts'
import { Tally } from './tally.ts'
import { watchBySdk, watchBySocket } from './watch.ts'

/** Watchers by their numbers, of which those below `sdk` are clients of the SDK. */
export interface WatchersOrder {
  readonly origin: string
  readonly first: number
  readonly count: number
  readonly sdk: number
}

/** What came from entry `from` to entry `to`, once it is all there or patience has ended. */
export interface ReportOrder {
  readonly from: number
  readonly to: number
  readonly patienceMs: number
}

export type FromWatchers = { readonly live: true } | { readonly report: WatchersReport } | { readonly failed: string }

export interface WatchersReport {
  /** Per entry from `from` on: when the last watcher was told. */
  readonly lastMs: readonly number[]
  readonly missed: number
  readonly doubled: number
  /** Processor time since they had all joined. */
  readonly cpuMs: number
}

/** Watchers that join at once. */
const atOnce = 50

const lastMs = new Map<number, number>()
const tallies: Tally[] = []
const ends: (() => Promise<void>)[] = []
let joined = process.cpuUsage()
let look = (): void => {}

async function join({ origin, first, count, sdk }: WatchersOrder): Promise<void> {
  for (let at = 0; at < count; at += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, count - at) }, (_, more) => first + at + more)
    const some = numbers.map((number) => {
      const tally = new Tally()
      tallies.push(tally)
      return (number < sdk ? watchBySdk : watchBySocket)(origin, `watcher-${number}`, (seq) => {
        tally.took(seq)
        lastMs.set(seq, nowMs())
        look()
      })
    })
    ends.push(...(await Promise.all(some)))
  }
  joined = process.cpuUsage()
}

async function report({ from, to, patienceMs }: ReportOrder): Promise<WatchersReport> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, patienceMs)
    look = () => {
      if (!tallies.every(({ seq }) => seq >= to)) return
      clearTimeout(timer)
      resolve()
    }
    look()
  })
  const { user, system } = process.cpuUsage(joined)
  const made = {
    lastMs: Array.from({ length: to - from + 1 }, (_, at) => lastMs.get(from + at) ?? Infinity),
    missed: tallies.reduce((sum, tally) => sum + tally.missed(from, to), 0),
    doubled: tallies.reduce((sum, { doubled }) => sum + doubled, 0),
    cpuMs: (user + system) / 1_000,
  }
  await Promise.all(ends.map((end) => end()))
  return made
}

const say = (message: FromWatchers): void => void process.send?.(message)
process.on('message', (order: WatchersOrder | ReportOrder) => {
  const done = 'origin' in order ? join(order).then(() => say({ live: true })) : report(order).then((made) => say({ report: made }))
  done.catch((error: unknown) => say({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
})
