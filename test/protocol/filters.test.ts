import { expect } from 'chai'
import fc from 'fast-check'
import { controlTopic, TopicFilter } from '../../protocol/filters.ts'

const level = fc.constantFrom('', 'a', 'b', '$x')
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
const filters = fc
  .tuple(fc.array(fc.oneof({ weight: 2, arbitrary: level }, { weight: 1, arbitrary: fc.constant('+') }), { maxLength: 4 }), fc.boolean())
  .filter(([levels, open]) => levels.length > 0 || open)
  .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))

describe('a topic filter', () => {
  it('matches as MQTT says [MQTT-4.7]', () => {
    const seen = { matched: 0, missed: 0 }
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        const expected = naiveMatch(filter, topic)
        expect(new TopicFilter(filter).matches(topic), `${filter} on ${topic}`).to.equal(expected)
        seen[expected ? 'matched' : 'missed']++
      }),
      { numRuns: 20_000 },
    )
    expect(Math.min(seen.matched, seen.missed), JSON.stringify(seen)).to.be.greaterThan(1_000)
  })

  it('covers another only if it matches every topic that one matches', () => {
    const every = allTopics()
    const seen = { covered: 0, not: 0 }
    fc.assert(
      fc.property(filters, filters, (one, other) => {
        const filter = new TopicFilter(one)
        const matched = every.filter((topic) => naiveMatch(other, topic))
        if (filter.covers(other)) {
          for (const topic of matched) expect(naiveMatch(one, topic), `${one} covers ${other}, but not ${topic}`).to.equal(true)
          seen.covered++
        } else {
          seen.not++
        }
      }),
      { numRuns: 4_000 },
    )
    expect(Math.min(seen.covered, seen.not), JSON.stringify(seen)).to.be.greaterThan(200)
  })

  it('covers another wherever it matches all of it, within a stream', () => {
    const every = ['users/alice', ...allTopics().map((topic) => `users/alice/${topic}`)]
    let covered = 0
    fc.assert(
      fc.property(filters, filters, (one, other) => {
        const [outer, inner] = [`users/alice/${one}`, `users/alice/${other}`]
        const all = every.filter((topic) => naiveMatch(inner, topic)).every((topic) => naiveMatch(outer, topic))
        // Among five letters per level a wildcard and its every value differ by the sixth.
        expect(new TopicFilter(outer).covers(inner), `${outer} covers ${inner}`).to.equal(all)
        covered += all ? 1 : 0
      }),
      { numRuns: 4_000 },
    )
    expect(covered).to.be.greaterThan(200)
  })

  it('covers itself', () => {
    fc.assert(
      fc.property(filters, (filter) => {
        expect(new TopicFilter(filter).covers(filter), filter).to.equal(true)
      }),
    )
  })

  for (const [filter, topic, matches] of [
    ['#', 'a', true],
    ['#', '/', true],
    ['#', '$x/a', false],
    ['+/a', '$x/a', false],
    ['$x/#', '$x/a', true],
    ['a/#', 'a', true],
    ['a/#', 'a/', true],
    ['a/#', 'ab', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+', 'a/$x', true],
    ['+', '', true],
    ['+/+', '/', true],
    ['a/+/#', 'a', false],
    ['a/+/#', 'a/b', true],
  ] as const) {
    it(`${filter} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(topic)}`, () => {
      expect(new TopicFilter(filter).matches(topic)).to.equal(matches)
    })
  }

  for (const [filter, topic] of [
    ['users/alice/#', 'users/alice/$ctl'],
    ['sync/users/alice/#', 'sync/users/alice/$ctl'],
    ['sync/users/alice/a/+/b', 'sync/users/alice/a/$ctl'],
    ['sync/users/alice/a/b', 'sync/users/alice/a/b'],
    ['sync/open/-/#', 'sync/open/-/$ctl'],
  ] as const) {
    it(`${filter} has its control messages on ${topic} [P-6.9]`, () => {
      expect(controlTopic(filter)).to.equal(topic)
    })
  }
})

/** The rules read aloud, level by level. */
function naiveMatch(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false
  return matchLevels(filter.split('/'), topic.split('/'))
}

function matchLevels([filter, ...filters]: string[], [level, ...levels]: string[]): boolean {
  if (filter === '#') return true
  if (filter === undefined || level === undefined) return filter === level
  return (filter === '+' || filter === level) && matchLevels(filters, levels)
}

/** Every topic of up to five levels of five letters, one of which no filter here names. */
function allTopics(): string[] {
  const letters = ['', 'a', 'b', '$x', 'other']
  let layer = letters
  const topics = [...layer]
  for (let depth = 2; depth <= 5; depth++) {
    layer = layer.flatMap((topic) => letters.map((letter) => `${topic}/${letter}`))
    topics.push(...layer)
  }
  return topics
}
