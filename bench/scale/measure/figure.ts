/** One measured cost. */
export interface Figure {
  /** As in `costs.ts`. */
  readonly name: string
  readonly value: number
  readonly unit: 'µs' | 'B' | 'ms' | '1/s' | 'each'
  readonly what: string
}
