/** Who watches: pages that have said so lately. A phone that sleeps says nothing, and is not counted. */
export const sayEveryMs = 10_000
const forgottenAfterMs = 25_000
/** Pages that are counted at most. */
const pagesMax = 100_000

export class Watchers {
  readonly #seenAt = new Map<string, number>()
  readonly #changed: (count: number) => void
  readonly #sweeping: NodeJS.Timeout

  constructor(changed: (count: number) => void) {
    this.#changed = changed
    this.#sweeping = setInterval(() => this.#sweep(), sayEveryMs)
  }

  get count(): number {
    return this.#seenAt.size
  }

  seen(page: string): void {
    const before = this.count
    if (before < pagesMax || this.#seenAt.has(page)) this.#seenAt.set(page, Date.now())
    if (this.count !== before) this.#changed(this.count)
  }

  left(page: string): void {
    if (this.#seenAt.delete(page)) this.#changed(this.count)
  }

  stop(): void {
    clearInterval(this.#sweeping)
  }

  #sweep(): void {
    const before = this.count
    for (const [page, at] of this.#seenAt) if (Date.now() - at > forgottenAfterMs) this.#seenAt.delete(page)
    if (this.count !== before) this.#changed(this.count)
  }
}
