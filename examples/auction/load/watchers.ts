/** A process of watchers, each a client of its own: notes when the last of them was told of each entry. */
import { connect, type Client } from 'tidemark/client'
import { streamName } from '../rules.ts'
import { login, nowMs } from './login.ts'
import { Tally } from './tally.ts'

export interface WatchersOrder {
  readonly origin: string
  readonly first: number
  readonly count: number
}

/** Up to the entry with this number every watcher must come. */
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
}

/** Sockets that are opened at once. */
const atOnce = 50

interface Watcher {
  readonly client: Client
  readonly tally: Tally
}

/** Resolves when it has caught up. One that ends later will have missed what comes then. */
async function watch(origin: string, name: string, told: (seq: number) => void): Promise<Watcher> {
  const { url } = await login(origin, name)
  const client = connect({ url, transport: 'mqtt', getToken: async () => (await login(origin, name)).token })
  const tally = new Tally()
  await new Promise<void>((resolve, reject) => {
    const read = async (): Promise<void> => {
      for await (const { seq, ephemeral } of client.stream(streamName).entries({ onProgress: ({ live }) => live && resolve() })) {
        if (ephemeral) continue
        tally.took(seq)
        told(seq)
      }
    }
    read().catch(reject)
  })
  return { client, tally }
}

const lastMs = new Map<number, number>()
let watchers: Watcher[] = []
let look = (): void => {}

async function join({ origin, first, count }: WatchersOrder): Promise<void> {
  const told = (seq: number): void => {
    lastMs.set(seq, nowMs())
    look()
  }
  for (let at = 0; at < count; at += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, count - at) }, (_, more) => first + at + more)
    watchers.push(...(await Promise.all(numbers.map((number) => watch(origin, `watcher-${number}`, told)))))
  }
}

async function report({ from, to, patienceMs }: ReportOrder): Promise<WatchersReport> {
  const areThere = (): boolean => watchers.every(({ tally }) => tally.seq >= to)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, patienceMs)
    look = () => {
      if (!areThere()) return
      clearTimeout(timer)
      resolve()
    }
    look()
  })
  const sum = (of: (tally: Tally) => number): number => watchers.reduce((total, { tally }) => total + of(tally), 0)
  const result = {
    lastMs: Array.from({ length: to - from + 1 }, (_, at) => lastMs.get(from + at) ?? Infinity),
    missed: sum((tally) => tally.missed(from, to)),
    doubled: sum(({ doubled }) => doubled),
  }
  await Promise.all(watchers.map(({ client }) => client.close()))
  watchers = []
  return result
}

const say = (message: FromWatchers): void => void process.send?.(message)
process.on('message', (order: WatchersOrder | ReportOrder) => {
  const done = 'origin' in order ? join(order).then(() => say({ live: true })) : report(order).then((made) => say({ report: made }))
  done.catch((error: unknown) => say({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
})
