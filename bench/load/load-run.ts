/** One process's part of a run: its publishers and their subscribers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.ts'
import { nowMicros } from './clock.ts'
import { Histogram } from './histogram.ts'
import type { LoadCounts, LoadObserver, LoadOptions } from './options.ts'
import { drawRun } from './payload.ts'
import { Publisher } from './publisher.ts'
import { Subscriber } from './subscriber.ts'
import { Tally } from './tally.ts'
import { Wire } from './wire.ts'

const connectingMax = 50

export class LoadRun {
  readonly #options: LoadOptions
  readonly #run = drawRun()
  readonly #tally = new Tally()
  readonly #latency = new Histogram()
  readonly #ackLatency = new Histogram()
  readonly #publishers: Publisher[] = []
  readonly #subscribers: { client: Subscriber; clientId: string; publisher: number }[] = []
  #numbers: readonly number[] = []
  readonly #failure: Promise<never>
  #fail: (error: Error) => void = () => {}
  /** At a fixed rate: when it began, and whose turn it is. */
  #startedMicros = 0
  #turn = 0
  #pacing = false

  /** Connects and subscribes the clients of the publishers with these numbers. */
  static async connect(options: LoadOptions, numbers: readonly number[]): Promise<LoadRun> {
    const run = new LoadRun(options)
    try {
      await run.#connect(numbers)
    } catch (error) {
      await run.close()
      throw error
    }
    return run
  }

  private constructor(options: LoadOptions) {
    this.#options = options
    this.#failure = new Promise((_resolve, reject) => (this.#fail = reject))
    this.#failure.catch(() => {}) // Whoever waits for the run hears of it.
  }

  /** Warms up, counts, drains. Rejects if a connection is lost. */
  async measure(observer: LoadObserver = {}): Promise<LoadCounts> {
    const { warmUpMs, countMs } = this.#options
    this.#start()
    await this.#during(warmUpMs)
    const cpuBefore = process.cpuUsage()
    const beganMicros = nowMicros()
    const sentBefore = this.#tally.sent
    this.#tally.counting = true
    observer.counting?.()
    await this.#during(countMs)
    this.#tally.counting = false
    const countedMs = (nowMicros() - beganMicros) / 1000
    const cpu = process.cpuUsage(cpuBefore)
    const sent = this.#tally.sent - sentBefore
    observer.counted?.()
    this.#stop()
    await this.#drain()
    return this.#counts({ sent, countedMs, cpuMs: (cpu.user + cpu.system) / 1000 })
  }

  /** Disconnects, and leaves no session behind. */
  async close(): Promise<void> {
    for (const client of this.#clients()) client.leave()
    if (this.#options.clean) return
    await inGroups(
      this.#subscribers.map(
        ({ clientId, publisher }) =>
          () =>
            this.#forget(clientId, publisher),
      ),
      connectingMax,
    )
  }

  async #forget(clientId: string, publisher: number): Promise<void> {
    const client = new Client(await Wire.open(this.#urlOf(publisher + 1)))
    await client.connect({ clientId, clean: true, credentials: this.#credentialsOf(publisher) })
    client.leave()
  }

  async #connect(numbers: readonly number[]): Promise<void> {
    const { subscribers, topic, clean, ratePerSecond, window, qos, sizeBytes } = this.#options
    const run = this.#run
    const [tally, latency, ackLatency] = [this.#tally, this.#latency, this.#ackLatency]
    const name = run.toString(36)
    const subscribe = async (number: number, at: number): Promise<void> => {
      const client = new Subscriber(await Wire.open(this.#urlOf(number + 1)), { run, tally, latency })
      const clientId = `load-${name}-s${number}-${at}`
      this.#subscribers.push({ client, clientId, publisher: number })
      await client.connect({ clientId, clean, credentials: this.#credentialsOf(number) })
      await client.subscribe(topic.replace('{n}', String(number)), qos)
    }
    const publish = async (number: number): Promise<void> => {
      const own = { topic: topic.replace('{n}', String(number)), window: ratePerSecond > 0 ? 0 : window }
      const client = new Publisher(await Wire.open(this.#urlOf(number)), { ...own, qos, sizeBytes, run, tally, ackLatency })
      this.#publishers.push(client)
      // A publisher has nothing to be kept for it.
      await client.connect({ clientId: `load-${name}-p${number}`, clean: true, credentials: this.#credentialsOf(number) })
    }
    const jobs = numbers.flatMap((number) => Array.from({ length: subscribers }, (_, at) => () => subscribe(number, at)))
    await inGroups(jobs, connectingMax)
    this.#subscribers.sort((a, b) => a.publisher - b.publisher)
    for (const number of numbers) await publish(number)
    this.#numbers = numbers
    for (const client of this.#clients()) client.onLost = (error) => this.#fail(error)
  }

  #start(): void {
    const { ratePerSecond } = this.#options
    this.#startedMicros = nowMicros()
    if (ratePerSecond === 0) {
      for (const publisher of this.#publishers) publisher.start()
      return
    }
    this.#pacing = true
    for (const publisher of this.#publishers) publisher.start(() => this.#sendDue())
    const tick = (): void => {
      this.#sendDue()
      if (this.#pacing) setTimeout(tick, 1)
    }
    tick()
  }

  #stop(): void {
    this.#pacing = false
    for (const publisher of this.#publishers) publisher.stop()
  }

  /** At a fixed rate: what should have been sent by now, from each publisher in turn. */
  #sendDue(): void {
    if (!this.#pacing) return
    const { ratePerSecond, publishers } = this.#options
    const share = this.#publishers.length / publishers
    const now = nowMicros()
    const due = ((now - this.#startedMicros) / 1e6) * ratePerSecond * share
    while (this.#tally.sent < due) {
      const publisher = this.#publishers[this.#turn] as Publisher
      this.#turn = (this.#turn + 1) % this.#publishers.length
      if (!publisher.sendOne(nowMicros())) break
      publisher.wire.flush()
    }
  }

  async #drain(): Promise<void> {
    const end = nowMicros() + this.#options.drainMs * 1000
    while (nowMicros() < end && (this.#undelivered() > 0 || this.#unacknowledged() > 0)) await this.#during(20)
    // What comes twice may come a moment later.
    await this.#during(50)
  }

  async #during(ms: number): Promise<void> {
    await Promise.race([sleep(ms), this.#failure])
  }

  #undelivered(): number {
    const sequences = new Map(this.#numbers.map((number, at) => [number, (this.#publishers[at] as Publisher).sequence]))
    return this.#subscribers.reduce((sum, { client, publisher }) => sum + (sequences.get(publisher) as number) - client.last, 0)
  }

  #unacknowledged(): number {
    return this.#publishers.reduce((sum, { inflight }) => sum + inflight, 0)
  }

  #counts(counted: Pick<LoadCounts, 'sent' | 'countedMs' | 'cpuMs'>): LoadCounts {
    const { acked, delivered, gaps, duplicates, reordered, foreign, strayAcks } = this.#tally
    return {
      ...counted,
      acked,
      delivered,
      gaps,
      duplicates,
      reordered,
      foreign,
      strayAcks,
      undelivered: this.#undelivered(),
      unacknowledged: this.#unacknowledged(),
      latency: this.#latency.data,
      ackLatency: this.#ackLatency.data,
    }
  }

  #urlOf(number: number): string {
    const { url, otherUrl = url } = this.#options
    return number % 2 === 0 ? url : otherUrl
  }

  #credentialsOf(number: number): LoadOptions['credentials'][number] | undefined {
    const { credentials } = this.#options
    return credentials.length === 0 ? undefined : credentials[number % credentials.length]
  }

  #clients(): Client[] {
    return [...this.#subscribers.map(({ client }) => client), ...this.#publishers]
  }
}

/** Runs the jobs, so many at a time. */
export async function inGroups(jobs: readonly (() => Promise<void>)[], groupSize: number): Promise<void> {
  for (let at = 0; at < jobs.length; at += groupSize) await Promise.all(jobs.slice(at, at + groupSize).map((job) => job()))
}
