/**
 * What one turn of the event loop has to write, gathered: first every session is pumped, then acknowledgements
 * are settled, then each connection gets everything in one system call.
 */
export interface Pumped {
  /** Delivers what it can; true if it could go on at once. */
  pump(): boolean
}

export interface Flushed {
  /** Turns settled appends into acknowledgements. */
  acknowledge(): void
  /** Hands what was gathered to the socket. */
  flush(): void
}

export class Turn {
  #pumped = new Set<Pumped>()
  #again = new Set<Pumped>()
  #acknowledged = new Set<Flushed>()
  #flushed = new Set<Flushed>()
  #scheduled = false
  #scheduledAgain = false
  readonly #ended: () => void

  /** `ended` is called when a turn has written everything. */
  constructor(ended: () => void) {
    this.#ended = ended
  }

  pump(session: Pumped): void {
    this.#pumped.add(session)
    this.#schedule()
  }

  acknowledge(link: Flushed): void {
    this.#acknowledged.add(link)
    this.#schedule()
  }

  flush(link: Flushed): void {
    this.#flushed.add(link)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // Microtasks run when the callback that brought the work has ended: after all of a commit, or of a chunk.
    queueMicrotask(() => this.#run())
  }

  #run(): void {
    const pumped = this.#pumped
    if (pumped.size > 0) this.#pumped = new Set()
    for (const session of pumped) if (session.pump()) this.#again.add(session)
    const acknowledged = this.#acknowledged
    if (acknowledged.size > 0) this.#acknowledged = new Set()
    for (const link of acknowledged) link.acknowledge()
    const flushed = this.#flushed
    if (flushed.size > 0) this.#flushed = new Set()
    this.#scheduled = false
    for (const link of flushed) link.flush()
    this.#ended()
    if (this.#again.size > 0) this.#runAgain()
  }

  /** Who could go on waits until everybody else had a turn. */
  #runAgain(): void {
    if (this.#scheduledAgain) return
    this.#scheduledAgain = true
    setImmediate(() => {
      this.#scheduledAgain = false
      const again = this.#again
      this.#again = new Set()
      for (const session of again) this.pump(session)
    })
  }
}
