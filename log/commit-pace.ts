/**
 * When the next commit begins: at once, unless those whom the last one has acknowledged are about to answer. Who publishes
 * with a window answers an acknowledgement with the next message, and all of them together cost one sync, not one
 * for each half of them.
 */
export class CommitPace {
  readonly #commit: () => void
  readonly #pauseMsMax: number
  #scheduled = false
  #pause: NodeJS.Timeout | undefined = undefined
  /** Drafts that the next commit waits for: as many as the last one has settled. */
  #awaited = 0
  #endedMs = 0

  /** `commit` is called in a turn of its own, `pauseMsMax` after the end of the last commit at the latest. */
  constructor(commit: () => void, pauseMsMax: number) {
    this.#commit = commit
    this.#pauseMsMax = pauseMsMax
  }

  /** Calls `commit` once, however often it is asked for until then. */
  schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    const pauseMs = this.#awaited > 0 ? this.#endedMs + this.#pauseMsMax - performance.now() : 0
    if (pauseMs > 0) this.#pause = setTimeout(() => this.#go(), pauseMs)
    else this.#go()
  }

  /** Another draft waits. */
  arrived(): void {
    if (this.#awaited > 0 && --this.#awaited === 0 && this.#pause) this.#go()
  }

  /** A commit has ended that settled so many drafts. */
  ended(entries: number): void {
    this.#endedMs = performance.now()
    this.#awaited = entries > largeCommitEntries ? 0 : entries
  }

  #go(): void {
    clearTimeout(this.#pause)
    this.#pause = undefined
    setImmediate(() => {
      this.#scheduled = false
      this.#commit()
    })
  }
}

/** After a commit of more entries waiting for others to join the next one would save little for each of them. */
const largeCommitEntries = 1_024
