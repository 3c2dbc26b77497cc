/** Numbers from [0, 1) that are the same for the same seed and name (mulberry32). */
export type Random = () => number

export function seededRandom(seed: number, name = ''): Random {
  let state = seed >>> 0
  for (const letter of name) state = (Math.imul(state ^ (letter.codePointAt(0) ?? 0), 0x01000193) + 0x9e3779b9) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item
}

export function between(random: Random, low: number, high: number): number {
  return low + random() * (high - low)
}
