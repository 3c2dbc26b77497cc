/**
 * Whatever does one thing after the other: the thread of a node, Redis, the primary of a shard. A part of its time is taken by what
 * goes on all the time and is not simulated one by one.
 */
export class Worker {
  /** Of its time, by cause. */
  readonly background: Readonly<Record<string, number>>
  /** Milliseconds that were asked of it, by cause. */
  readonly work = new Map<string, number>()
  readonly #free: number
  #busyUntilMs = 0

  constructor(background: Readonly<Record<string, number>>) {
    this.background = background
    const taken = sum(Object.values(background))
    // What is overloaded by its background alone goes on, very slowly: the load that was asked for is what counts.
    this.#free = Math.max(0.05, 1 - taken)
  }

  /** Asks for work now; returns when it will be done. */
  spend(cause: string, micros: number, nowMs: number): number {
    const ms = micros / 1000
    this.work.set(cause, (this.work.get(cause) ?? 0) + ms)
    this.#busyUntilMs = Math.max(this.#busyUntilMs, nowMs) + ms / this.#free
    return this.#busyUntilMs
  }

  /** Which share of a period was asked of it, by cause; above 1 in all it does not keep up. */
  load(periodMs: number): Record<string, number> {
    const load = { ...this.background }
    for (const [cause, ms] of this.work) load[cause] = (load[cause] ?? 0) + ms / periodMs
    return load
  }
}

export function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
