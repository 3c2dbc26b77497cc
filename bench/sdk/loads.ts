/** What is done with clients, and what is measured of it. Runs in Node and in pages. */
import { Histogram, type Percentiles } from '../load/histogram.ts'
import type { Faults } from '../load/options.ts'
import { nowMs, payloadOf, type Opener, type Payload, type Subject, type Target } from './subject.ts'

export interface Reading extends Faults {
  readonly received: number
  /** From before connecting to the first and the last of them in the app's loop. */
  readonly firstMs: number
  readonly lastMs: number
}

export interface Publishing {
  readonly acknowledgedPerSecond: number
  /** From the call to the acknowledgement. */
  readonly latencyMs: Percentiles
}

export interface Listening extends Faults {
  /** From the call of publish to the app's loop of the other client. */
  readonly latencyMs: LatencyMs
}

export interface LatencyMs {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** Opens a client and reads everything that there is. */
export async function firstSync(open: Opener, target: Target, count: number): Promise<Reading> {
  const judge = new Judge(count)
  const began = performance.now()
  let firstMs = 0
  const subject = await open(target)
  await subject.read('first', ({ n }) => {
    firstMs ||= performance.now() - began
    return judge.see(Number(n))
  })
  const lastMs = performance.now() - began
  await subject.close()
  return { received: judge.received, firstMs, lastMs, ...judge.faults }
}

/** Each client keeps so many publishes without an acknowledgement; counted is what is acknowledged after the warm-up. */
export async function publish(
  open: Opener,
  targets: readonly Target[],
  { window, warmUpMs, countMs }: { readonly window: number; readonly warmUpMs: number; readonly countMs: number },
): Promise<Publishing> {
  const subjects = await Promise.all(targets.map((target) => open(target)))
  await Promise.all(subjects.map((subject) => subject.connected()))
  const latency = new Histogram()
  const from = performance.now() + warmUpMs
  const to = from + countMs
  const one = async (subject: Subject, number: number): Promise<void> => {
    for (let n = number; performance.now() < to; n += window) {
      const called = performance.now()
      await subject.publish(payloadOf(n))
      const now = performance.now()
      if (now >= from && now < to) latency.add((now - called) * 1000)
    }
  }
  await Promise.all(subjects.flatMap((subject) => Array.from({ length: window }, (_, number) => one(subject, number + 1))))
  await Promise.all(subjects.map((subject) => subject.close()))
  const latencyMs = latency.percentiles()
  return { acknowledgedPerSecond: (latencyMs.count * 1000) / countMs, latencyMs }
}

/** At an even pace, whether or not what went before was acknowledged; resolves when all is. */
export async function pace(open: Opener, target: Target, count: number, perSecond: number): Promise<void> {
  const subject = await open(target)
  await subject.connected()
  const acknowledged: Promise<unknown>[] = []
  const began = performance.now()
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      while (acknowledged.length < Math.min(count, ((performance.now() - began) * perSecond) / 1000))
        acknowledged.push(subject.publish(payloadOf(acknowledged.length + 1)))
      if (acknowledged.length < count) return
      clearInterval(timer)
      resolve()
    }, 1)
  })
  await Promise.all(acknowledged)
  await subject.close()
}

/** Resolves when it listens; `heard` when the last one has come. The first `warmUp` are judged, and not timed. */
export async function listen(open: Opener, target: Target, count: number, warmUp: number): Promise<{ heard: Promise<Listening> }> {
  const subject = await open(target)
  const judge = new Judge(count)
  const delays: number[] = []
  const take = ({ n, at }: Payload): boolean => {
    if (Number(n) > warmUp) delays.push(nowMs() - at)
    return judge.see(Number(n))
  }
  return new Promise((resolve, reject) => {
    const heard = (async (): Promise<Listening> => {
      await subject.read('now', take, () => resolve({ heard }))
      await subject.close()
      return { latencyMs: latencyOf(delays), ...judge.faults }
    })()
    heard.catch(reject)
  })
}

function latencyOf(delays: readonly number[]): LatencyMs {
  const sorted = delays.toSorted((one, other) => one - other)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? -1
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}

/** Judges a sequence that should be 1, 2, 3 … `expected`, once each. */
class Judge {
  readonly #expected: number
  readonly #seen = new Set<number>()
  #last = 0
  #duplicates = 0
  #reordered = 0

  constructor(expected: number) {
    this.#expected = expected
  }

  get received(): number {
    return this.#seen.size
  }

  /** Whether it was the last one. */
  see(n: number): boolean {
    if (n < this.#last) this.#reordered++
    if (this.#seen.has(n)) this.#duplicates++
    this.#last = n
    this.#seen.add(n)
    return n >= this.#expected
  }

  get faults(): Faults {
    return { gaps: this.#expected - this.#seen.size, duplicates: this.#duplicates, reordered: this.#reordered, undelivered: 0 }
  }
}
