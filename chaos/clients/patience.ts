/** How long the end of a round waits: as long as something still comes, for a machine may be slow, and not for what never will. */
import type { Recorder } from '../record.ts'

/** More than any single request takes, also on a machine that has much else to do. */
const stillMs = 40_000
/** Where something was waited for in vain already, that is all for the rest. */
const vainMs = 10_000
const longestMs = 150_000

export class Patience {
  readonly #awaited = new Set<number>()
  #newsMs = performance.now()
  readonly #slowness: number
  #stillMs = stillMs

  /** What those see whose names begin so is news; what comes to all others never ends. A slow store has as many times as long. */
  constructor(recorder: Recorder, names: readonly string[], slowness: number) {
    this.#slowness = slowness
    recorder.listen((event) => {
      if (event.k === 'open' && names.some((name) => event.reader.startsWith(name))) this.#awaited.add(event.sub)
      const isNews =
        event.k === 'acked' ||
        event.k === 'taken' ||
        (event.k === 'page' && event.final === true) ||
        (event.k === 'got' && this.#awaited.has(event.sub)) ||
        // What is retained is sent again with every connection.
        (event.k === 'plain' && !event.retain && !event.dup && this.#awaited.has(event.sub))
      if (isNews) this.#newsMs = performance.now()
    })
  }

  /** Begins to wait: the function says whether to go on. */
  begin(): () => boolean {
    const beganMs = performance.now()
    return () => {
      const now = performance.now()
      return now - beganMs < longestMs * this.#slowness && now - Math.max(beganMs, this.#newsMs) < this.#stillMs * this.#slowness
    }
  }

  /** Something was waited for in vain. */
  lose(): void {
    this.#stillMs = vainMs
  }
}
