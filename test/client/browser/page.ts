/** The page under test: an app of a few lines that knows the SDK's public API and nothing else, and tells the test what it sees. */
import { connect, type Client, type ClientError, type ClientOptions } from 'tidemark/client'
import type { App, Opening, Told } from './told.ts'

/** Given by the test. */
declare const tell: (told: readonly Told[]) => Promise<void>
declare const token: () => Promise<string>

const pumpPauseMs = 15

let waiting: Told[] = []
let client: Client | undefined
const pumping = { on: false }
let longestTaskMs = 0

/** Many in one call: a page that is told on for each entry would be busy with that. */
function say(told: Told): void {
  if (waiting.push(told) > 1) return
  setTimeout(() => {
    const all = waiting
    waiting = []
    void tell(all)
  })
}

const codeOf = (error: unknown): string => (error as ClientError).code

function open({ url, streams, options = {}, countOnly = false }: Opening): void {
  const onWarning: ClientOptions['onWarning'] = ({ code, message }) => say({ what: 'warning', code, message })
  client = connect({ url, getToken: () => token(), onWarning, ...options })
  client.status.subscribe(({ error, ...status }) => say({ what: 'status', ...status, error: error?.code }))
  client.outbox.refused.subscribe((refused) => say({ what: 'refused', ids: refused.map(({ id }) => id) }))
  client.outbox.onSettled((settled) => {
    const { id, stream } = settled
    if (settled.outcome === 'refused') say({ what: 'settled', id, stream, outcome: 'refused', code: settled.error.code })
    else say({ what: 'settled', id, stream, outcome: 'committed', pos: settled.pos, duplicate: settled.duplicate })
  })
  for (const [stream, from] of Object.entries(streams)) void follow(client, stream, from, countOnly)
}

async function follow(from: Client, stream: string, place: string, countOnly: boolean): Promise<void> {
  const reader = from.stream(stream).entries({
    from: place,
    onReset: ({ reason }) => say({ what: 'reset', stream, reason }),
    onProgress: ({ behind, live }) => say({ what: 'progress', stream, behind, live }),
  })
  let [count, faults, last] = [0, 0, 0]
  try {
    for await (const { seq, id, pos, data } of reader) {
      count++
      if (seq !== last + 1) faults++
      last = seq
      if (!countOnly) say({ what: 'entry', stream, seq, id, pos, data: (data as { n?: unknown } | undefined)?.n })
      else if (count % 1_000 === 0) say({ what: 'counted', stream, count, faults })
    }
  } catch (error) {
    say({ what: 'ended', stream, code: codeOf(error) })
  }
}

function publish(stream: string, id: string, n: number, bytes: number): Promise<void> {
  // What a browser could pack would need no room.
  const text = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes)).map((byte) => 35 + (byte % 57)))
  const value = { n, text }
  const published = (client as Client).stream(stream).publish('log', value, { id })
  return published.then(
    ({ pos, duplicate }) => say({ what: 'promise', id, stream, outcome: 'committed', pos, duplicate }),
    (error: unknown) => say({ what: 'promise', id, stream, outcome: 'refused', code: codeOf(error) }),
  )
}

/** In `lanes` beside each other, in each one when the one before is answered, at the pace of somebody who works. */
function pump(stream: string, name: string, lanes: number): void {
  pumping.on = true
  let n = 0
  const lane = async (): Promise<void> => {
    while (pumping.on) {
      await publish(stream, `${name}-${++n}`, n, 20)
      await new Promise((next) => setTimeout(next, pumpPauseMs))
    }
    say({ what: 'pumped', name, count: n })
  }
  for (let each = 0; each < lanes; each++) void lane()
}

/** What stands in the browser's database of the outbox, which the SDK promises to outlive the page. */
async function kept(): Promise<number> {
  const [found] = await indexedDB.databases()
  if (!found?.name) return 0
  const database = await resultOf(indexedDB.open(found.name))
  const count = await resultOf(database.transaction('waiting').objectStore('waiting').count())
  database.close()
  return count
}

function resultOf<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(request.error ?? new Error('the database gives no reason')))
  })
}

const app: App = {
  open,
  publish: (stream, name, count, bytes = 20) => {
    for (let n = 1; n <= count; n++) void publish(stream, `${name}-${n}`, n, bytes)
  },
  pump,
  stop: () => void (pumping.on = false),
  retry: () => client?.retry(),
  dismiss: (id) => (client as Client).outbox.dismiss(id),
  kept,
  longestTaskMs: () => longestTaskMs,
}
Object.assign(globalThis, { app })

new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longestTaskMs = Math.max(longestTaskMs, duration)
}).observe({ type: 'longtask', buffered: true })
