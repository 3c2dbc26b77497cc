/** Numbers that are the same for the same seed. */

/** From [0, 1) (mulberry32). */
export type Random = () => number

export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    return unitOf(state)
  }
}

/** From [0, 1), always the same for the same numbers: where something is placed needs no memory. */
export function hashed(first: number, second: number): number {
  return unitOf((Math.imul(first ^ 0x5bd1e995, 0x01000193) + Math.imul(second + 0x9e3779b9, 0x85ebca6b)) >>> 0)
}

function unitOf(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 15), state | 1)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}
