/** Numbers from [0, 1) that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The seed of this run: from TIDEMARK_TEST_SEED, or a new one. It is printed, so that a failure can be repeated. */
export function testSeed(name: string): number {
  const given = process.env['TIDEMARK_TEST_SEED']
  const seed = given ? Number(given) : Math.floor(Math.random() * 2 ** 31)
  process.stdout.write(`      ${name}: seed ${seed}\n`)
  return seed
}
