/** The commits on their way: one as a rule, and more where one takes long, so that it holds up its own streams only. */
export interface Commit<Part> {
  readonly parts: readonly Part[]
  readonly startedMs: number
}

export interface InFlightOptions {
  readonly max: number
  /** Another one may start when the newest has been under way for so long. */
  readonly overlapMs: number
  /** Called when time has made `mayStart` true that was false. */
  readonly due: () => void
}

export class CommitsInFlight<Part> {
  readonly #options: InFlightOptions
  readonly #commits = new Set<Commit<Part>>()
  #newestMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: InFlightOptions) {
    this.#options = options
  }

  get none(): boolean {
    return this.#commits.size === 0
  }

  mayStart(): boolean {
    const { max, overlapMs, due } = this.#options
    if (this.none) return true
    if (this.#commits.size >= max) return false
    const leftMs = this.#newestMs + overlapMs - performance.now()
    if (leftMs <= 0) return true
    if (this.#timer) return false
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      due()
    }, leftMs)
    return false
  }

  begin(parts: readonly Part[]): Commit<Part> {
    const commit = { parts, startedMs: (this.#newestMs = performance.now()) }
    this.#commits.add(commit)
    return commit
  }

  /** Returns how long it took, ms. */
  end(commit: Commit<Part>): number {
    this.#commits.delete(commit)
    return performance.now() - commit.startedMs
  }

  /** Parts of the commits that have taken longer, and whether no other commit can start. */
  stalled(timeoutMs: number): { readonly parts: readonly Part[]; readonly isAll: boolean } {
    const old = [...this.#commits].filter(({ startedMs }) => performance.now() - startedMs >= timeoutMs)
    return { parts: old.flatMap(({ parts }) => parts), isAll: old.length === this.#options.max }
  }
}
