/** One node: it takes appends, commits what has gathered, delivers, tells and hears of heads. */
import { defaultLimits } from '../../seams/limits.ts'
import { assumptions } from './assumptions.ts'
import type { Cluster } from './cluster.ts'
import type { LiveStream } from './live-stream.ts'
import { Worker } from './worker.ts'

/** Of group commit: after more it waits for nobody (`log/commit-pace.ts`). */
const largeCommitEntries = 1_024
const retryMsMax = 64
const lossesBeforeQueueing = 2

interface Part {
  readonly stream: LiveStream
  readonly published: readonly number[]
  /** The head that it builds on. */
  readonly builtOn: number
  /** Others stand before this node: the place is left to them. */
  readonly yields: boolean
  stored: boolean
}

export class Node {
  readonly number: number
  readonly thread: Worker
  readonly #cluster: Cluster
  readonly #pending = new Map<LiveStream, number[]>()
  /** Streams that cannot be committed now. */
  readonly #busy = new Set<LiveStream>()
  #inFlight = false
  #scheduled = false
  #mayCommitMs = 0

  constructor(number: number, background: Readonly<Record<string, number>>, cluster: Cluster) {
    this.number = number
    this.thread = new Worker(background)
    this.#cluster = cluster
  }

  publish(stream: LiveStream): void {
    const { agenda, costs } = this.#cluster
    const publishedMs = agenda.nowMs
    const done = this.thread.spend('appends', costs.appendMicros, publishedMs)
    agenda.at(done, () => this.#add(stream, [publishedMs]))
  }

  /** Somebody says that the stream has come to this head; it is looked at. */
  hear(stream: LiveStream, head: number): void {
    if (stream.knownTo(this.number) >= head) return
    if (stream.looking.has(this.number)) stream.looking.set(this.number, true)
    else this.#follow(stream)
  }

  #add(stream: LiveStream, published: readonly number[]): void {
    const waiting = this.#pending.get(stream)
    if (waiting) waiting.push(...published)
    else this.#pending.set(stream, [...published])
    this.#schedule()
  }

  #schedule(): void {
    if (this.#inFlight || this.#scheduled || this.#pending.size === 0) return
    this.#scheduled = true
    this.#cluster.agenda.at(this.#mayCommitMs, () => {
      this.#scheduled = false
      this.#commit()
    })
  }

  #commit(): void {
    const { agenda, costs, store } = this.#cluster
    const parts = this.#take()
    if (parts.length === 0) return
    this.#inFlight = true
    const sent = parts.filter(({ yields }) => !yields)
    const sentMs = this.thread.spend('commits', costs.commitMicros + sent.length * costs.documentMicros, agenda.nowMs)
    this.#cluster.counts.commits++
    this.#cluster.counts.documents += sent.length
    agenda.at(sentMs, () => {
      let doneMs = sentMs
      for (const [shard, some] of byShard(sent)) {
        const insertedMs = store.write(shard, 'appends', some.length, sentMs)
        doneMs = Math.max(doneMs, insertedMs)
        agenda.at(insertedMs, () => some.forEach(insert))
      }
      agenda.at(doneMs + assumptions.storeCommitMs, () => this.#conclude(parts))
    })
  }

  #take(): Part[] {
    const parts: Part[] = []
    for (const [stream, published] of this.#pending) {
      if (parts.length >= defaultLimits.commitStreamsMax) break
      if (this.#busy.has(stream)) continue
      this.#pending.delete(stream)
      this.#busy.add(stream)
      const [first = this.number] = stream.queue
      parts.push({ stream, published, builtOn: stream.knownTo(this.number), yields: first !== this.number, stored: false })
    }
    return parts
  }

  #conclude(parts: readonly Part[]): void {
    const { agenda, counts } = this.#cluster
    this.#inFlight = false
    const stored = parts.filter((part) => part.stored)
    const entries = stored.reduce((sum, { published }) => sum + published.length, 0)
    this.#mayCommitMs = entries > largeCommitEntries ? agenda.nowMs : agenda.nowMs + defaultLimits.commitPauseMs
    for (const { stream, published, builtOn } of stored) {
      this.#busy.delete(stream)
      this.#won(stream)
      counts.appended += published.length
      this.#deliver(stream, stream.learn(this.number, builtOn + 1))
    }
    this.#cluster.tell(
      this,
      stored.map(({ stream }) => stream),
    )
    for (const part of parts) if (!part.stored) this.#tryAgain(part)
    this.#schedule()
  }

  #won(stream: LiveStream): void {
    stream.losses.delete(this.number)
    const place = stream.queue.indexOf(this.number)
    if (place < 0) return
    stream.queue.splice(place, 1)
    this.#cluster.store.write(0, 'collisions', 1, this.#cluster.agenda.nowMs)
  }

  #tryAgain({ stream, published, yields }: Part): void {
    const { agenda, counts, random, store } = this.#cluster
    counts.collisions++
    const losses = (stream.losses.get(this.number) ?? 0) + 1
    stream.losses.set(this.number, losses)
    if (yields || losses >= lossesBeforeQueueing) store.read(0, 'collisions', 1, agenda.nowMs)
    if (losses >= lossesBeforeQueueing && !stream.queue.includes(this.number)) {
      stream.queue.push(this.number)
      store.write(0, 'collisions', 1, agenda.nowMs)
    }
    const pauseMs = random() * Math.min(retryMsMax, 2 ** losses)
    const again = (): void =>
      agenda.at(agenda.nowMs + pauseMs, () => {
        this.#busy.delete(stream)
        this.#add(stream, published)
      })
    if (stream.looking.has(this.number)) again()
    else this.#look(stream, again)
  }

  /** After a hint: what is new is read, and nothing else. */
  #follow(stream: LiveStream): void {
    const { agenda, costs, store, counts } = this.#cluster
    counts.looks++
    stream.looking.set(this.number, false)
    const askedMs = this.thread.spend('hints followed', costs.readMicros, agenda.nowMs)
    agenda.at(askedMs, () => {
      const answeredMs = store.read(stream.shard, 'hints followed', 1, askedMs) + assumptions.storeFindMs
      agenda.at(answeredMs, () => this.#looked(stream, stream.head, () => {}))
    })
  }

  /** After a lost race: the head is made sure of, and what is new is read. */
  #look(stream: LiveStream, then: () => void): void {
    const { agenda, costs, store, counts } = this.#cluster
    counts.looks++
    stream.looking.set(this.number, false)
    const askedMs = this.thread.spend('collisions', costs.lookMicros, agenda.nowMs)
    agenda.at(askedMs, () => {
      const recordMs = store.read(0, 'collisions', 1, askedMs)
      // The newest bucket, and those that are new.
      const headMs = store.read(stream.shard, 'collisions', 2, askedMs)
      agenda.at(Math.max(recordMs, headMs) + 3 * assumptions.storeFindMs, () => {
        const { head } = stream
        const readMs = this.thread.spend('collisions', costs.readMicros, agenda.nowMs)
        agenda.at(readMs, () => this.#looked(stream, head, then))
      })
    })
  }

  #looked(stream: LiveStream, head: number, then: () => void): void {
    const again = stream.looking.get(this.number) === true
    stream.looking.delete(this.number)
    this.#deliver(stream, stream.learn(this.number, head))
    then()
    if (again) this.hear(stream, stream.head)
  }

  #deliver(stream: LiveStream, buckets: readonly (readonly number[])[]): void {
    const readers = stream.readers.get(this.number) ?? 0
    if (readers === 0) return
    const { agenda, costs, counts, delays } = this.#cluster
    const entries = buckets.flat()
    if (entries.length === 0) return
    // What comes at once goes to a connection in one write.
    const micros = costs.deliveryMicros + (entries.length - 1) * costs.nextDeliveryMicros
    const doneMs = this.thread.spend('deliveries', readers * micros, agenda.nowMs)
    counts.delivered += entries.length * readers
    for (const publishedMs of entries) delays.push(doneMs - publishedMs)
  }
}

/** Whoever comes first at a place has it. */
function insert(part: Part): void {
  part.stored = part.stream.head === part.builtOn
  if (part.stored) part.stream.buckets.push(part.published)
}

function byShard(parts: readonly Part[]): Map<number, Part[]> {
  const found = new Map<number, Part[]>()
  for (const part of parts) {
    const some = found.get(part.stream.shard)
    if (some) some.push(part)
    else found.set(part.stream.shard, [part])
  }
  return found
}
