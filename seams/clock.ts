/** The one source of time, so that tests and a shifted node can set it. */
export interface Clock {
  /** Milliseconds since 1970, as the wall clock has it: may jump. */
  now(): number
}

export const systemClock: Clock = { now: () => Date.now() }
