/** What nodes of ours say of themselves at `/metrics`, between two moments. */

/** Values by name and labels, as they stand in Prometheus' text format; of several nodes added up. */
export type Scrape = ReadonlyMap<string, number>

export async function scrape(httpUrls: readonly string[]): Promise<Scrape> {
  const sums = new Map<string, number>()
  const texts = await Promise.all(httpUrls.map(async (url) => await (await fetch(`${url}/metrics`)).text()))
  for (const line of texts.join('\n').split('\n')) {
    const [, name, value] = /^(\w+(?:\{.*\})?) (\S+)$/.exec(line) ?? []
    if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value))
  }
  return sums
}

export class Between {
  readonly #before: Scrape
  readonly #after: Scrape

  constructor(before: Scrape, after: Scrape) {
    this.#before = before
    this.#after = after
  }

  /** How much a counter has grown. */
  growth(name: string): number {
    return (this.#after.get(name) ?? 0) - (this.#before.get(name) ?? 0)
  }

  /** As Prometheus has it: within the step of the histogram where it lies, in proportion. */
  quantile(histogram: string, share: number): number {
    const rank = this.growth(`${histogram}_count`) * share
    let [low, below] = [0, 0]
    for (const name of this.#after.keys()) {
      if (!name.startsWith(`${histogram}_bucket{`)) continue
      const high = Number(/le="([^"]+)"/.exec(name)?.[1])
      const upTo = this.growth(name)
      if (upTo >= rank && upTo > 0) return Number.isFinite(high) ? low + ((high - low) * (rank - below)) / Math.max(1, upTo - below) : low
      if (Number.isFinite(high)) [low, below] = [high, upTo]
    }
    return low
  }
}
