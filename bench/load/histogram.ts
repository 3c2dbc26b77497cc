/** Latencies: 64 steps per power of two, so that a percentile is within 1.6 % of the truth and adding one allocates nothing. */
const stepBits = 6
const exactBelow = 1 << (stepBits + 1)
const slotCount = (32 - stepBits) << stepBits

export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** As it travels between processes. */
export interface HistogramData {
  readonly slots: Float64Array
  readonly count: number
  readonly maxMicros: number
}

export class Histogram {
  readonly #slots = new Float64Array(slotCount)
  #count = 0
  #maxMicros = 0

  add(micros: number): void {
    const whole = micros > 0 ? Math.min(micros, 0x7fff_ffff) | 0 : 0
    const shift = whole < exactBelow ? 0 : 31 - stepBits - Math.clz32(whole)
    const slot = (shift << stepBits) + (whole >> shift)
    this.#slots[slot] = (this.#slots[slot] as number) + 1
    this.#count++
    if (micros > this.#maxMicros) this.#maxMicros = micros
  }

  get data(): HistogramData {
    return { slots: this.#slots, count: this.#count, maxMicros: this.#maxMicros }
  }

  merge({ slots, count, maxMicros }: HistogramData): void {
    for (const [slot, more] of slots.entries()) this.#slots[slot] = (this.#slots[slot] as number) + more
    this.#count += count
    this.#maxMicros = Math.max(this.#maxMicros, maxMicros)
  }

  /** In milliseconds; all -1 where nothing was added. */
  percentiles(): Percentiles {
    if (this.#count === 0) return { count: 0, p50: -1, p99: -1, p999: -1, max: -1 }
    const at = (share: number): number => round(this.#microsAt(share) / 1000)
    return { count: this.#count, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: round(this.#maxMicros / 1000) }
  }

  #microsAt(share: number): number {
    const rank = (this.#count - 1) * share
    let seen = 0
    for (const [slot, count] of this.#slots.entries()) {
      seen += count
      if (seen > rank) return Math.min(middleOf(slot), this.#maxMicros)
    }
    return this.#maxMicros
  }
}

function middleOf(slot: number): number {
  if (slot < exactBelow) return slot
  const shift = (slot >> stepBits) - 1
  const lowest = (slot - (shift << stepBits)) * 2 ** shift
  return lowest + 2 ** shift / 2
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
