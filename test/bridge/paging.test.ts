/** Walks over pages of every size, compared with what was appended. */
import { expect } from 'chai'
import * as fc from 'fast-check'
import { TopicFilter } from '../../protocol/topic-filter.ts'
import { append, history, makeWorld, seqOf, type Message, type World } from './support.ts'

interface Truth {
  readonly seq: number
  readonly topic: string
  readonly ts: number
}

const stream = 'users/alice'

/** Commits of different sizes at different times, some in memory and some only in the store, then trimmed. */
async function fill(commits: readonly number[], tailCacheBytesMax: number, trimmedTo: number): Promise<{ world: World; truth: Truth[] }> {
  const world = await makeWorld({ limits: { tailCacheBytesMax, readBytesMax: 2_000, pageBytesMax: 4_000, bucketEntriesMax: 7 } })
  const truth: Truth[] = []
  for (const size of commits) {
    world.clock.ms += 1_000
    const messages: Message[] = Array.from({ length: size }, (_, at) => ({
      topic: `${stream}/t/${(truth.length + at) % 4}`,
      payload: 'p'.repeat(at * 9),
    }))
    await append(world, stream, messages)
    for (const { topic } of messages) truth.push({ seq: truth.length + 1, topic, ts: world.clock.ms })
  }
  const first = Math.min(trimmedTo, truth.length)
  if (first > 1) await world.log.trim(stream, first)
  return { world, truth: truth.filter(({ seq }) => seq >= first) }
}

const layouts = fc.record({
  commits: fc.array(fc.integer({ min: 1, max: 23 }), { minLength: 3, maxLength: 8 }),
  tail: fc.constantFrom(1, 3_000, 1_000_000),
  trimmedTo: fc.integer({ min: 0, max: 60 }),
})
const walks = fc.record({
  limit: fc.integer({ min: 1, max: 40 }),
  filter: fc.constantFrom('#', 't/0', 't/+', '+/2', 't/9'),
  reverse: fc.boolean(),
  sinceCommit: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
  untilCommit: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
})

describe('bridge: paging', () => {
  it('pages of any size, either way, within any times, add up to exactly the entries asked for [P-11.21 – P-11.24]', async function () {
    this.timeout(120_000)
    let examined = 0
    let pages = 0
    let trimmed = 0
    await fc.assert(
      fc.asyncProperty(layouts, fc.array(walks, { minLength: 3, maxLength: 6 }), async ({ commits, tail, trimmedTo }, asked) => {
        const { world, truth } = await fill(commits, tail, trimmedTo)
        try {
          if ((truth[0]?.seq ?? 1) > 1) trimmed++
          for (const { limit, filter, reverse, sinceCommit, untilCommit } of asked) {
            const times = { since: sinceCommit, until: untilCommit }
            const bounds = Object.entries(times).flatMap(([name, at]) =>
              at === undefined ? [] : [[name, 1_700_000_000_000 + at * 1_000] as const],
            )
            const { since = 0, until = Infinity } = Object.fromEntries(bounds) as { since?: number; until?: number }
            const matcher = new TopicFilter(`${stream}/${filter}`)
            const expected = truth.filter(({ topic, ts }) => matcher.matches(topic) && ts >= since && ts < until).map(({ seq }) => seq)
            if (reverse) expected.reverse()
            const query = new URLSearchParams({ limit: String(limit), topic: filter, reverse: String(reverse) })
            for (const [name, value] of bounds) query.set(name, String(value))
            const seen: number[] = []
            for (;;) {
              const page = await history(world, query.toString())
              pages++
              seen.push(...page.entries.map(({ pos }) => seqOf(pos)))
              expect(page.upToDate).to.equal(seen.length === expected.length)
              if (page.upToDate) break
              expect(page.entries).to.not.have.length(0)
              query.set(reverse ? 'before' : 'after', page.next)
            }
            expect(seen).to.deep.equal(expected)
            examined += seen.length
          }
        } finally {
          await world.close()
        }
      }),
      { numRuns: 80 },
    )
    expect(examined).to.be.greaterThan(1_000)
    expect(pages).to.be.greaterThan(200)
    expect(trimmed).to.be.greaterThan(5)
  })

  it('a walk that goes on while others publish misses nothing and shows nothing twice [P-11.22]', async () => {
    const world = await makeWorld()
    try {
      await append(
        world,
        stream,
        Array.from({ length: 50 }, () => ({ topic: `${stream}/a` })),
      )
      const seen: number[] = []
      let after = 'earliest'
      for (let at = 0; ; at++) {
        const page = await history(world, `limit=7&after=${after}`)
        seen.push(...page.entries.map(({ pos }) => seqOf(pos)))
        after = page.next
        if (at < 10) await append(world, stream, [{ topic: `${stream}/a` }, { topic: `${stream}/b` }])
        else if (page.upToDate) break
      }
      expect(seen).to.deep.equal(Array.from({ length: 70 }, (_, at) => at + 1))
    } finally {
      await world.close()
    }
  })

  it('a search that takes long ends its page, and next goes on from there', async () => {
    const world = await makeWorld({ limits: { holdTimeoutMs: 0, tailCacheBytesMax: 1, readBytesMax: 1 } })
    try {
      for (let at = 0; at < 5; at++) await append(world, stream, [{ topic: `${stream}/a` }])
      await append(world, stream, [{ topic: `${stream}/b` }])
      const seen: number[] = []
      let pages = 0
      for (let after = 'earliest'; ; pages++) {
        const page = await history(world, `topic=b&after=${after}`)
        seen.push(...page.entries.map(({ pos }) => seqOf(pos)))
        after = page.next
        if (page.upToDate) break
      }
      expect(seen).to.deep.equal([6])
      expect(pages).to.be.greaterThan(1)
    } finally {
      await world.close()
    }
  })
})
