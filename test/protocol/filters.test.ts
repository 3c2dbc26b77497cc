import { expect } from 'chai'
import * as fc from 'fast-check'
import { controlTopic, parseFilter, parseStreamFilter } from '../../protocol/filters.ts'
import { TopicFilter } from '../../protocol/topic-filter.ts'
import { defaultLimits } from '../../seams/limits.ts'

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
      { numRuns: 800 },
    )
    expect(Math.min(seen.covered, seen.not), JSON.stringify(seen)).to.be.greaterThan(50)
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
      { numRuns: 800 },
    )
    expect(covered).to.be.greaterThan(40)
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

describe('a filter of a stream', () => {
  const rules = { ...defaultLimits, openEnabled: true }
  const bytes = (count: number): string => 'users/alice/'.padEnd(count, 'x')

  it('[P-1.19] is as large as a topic of the stream may be, on every door', () => {
    for (const fits of ['users/alice/3/4/5/6/7', 'users/alice/3/4/5/6/#', bytes(220)]) {
      for (const door of ['', 'sync/']) expect(parseFilter(`${door}${fits}`, rules), fits).to.include({ filter: fits })
      expect(parseStreamFilter(fits, rules).filter).to.equal(fits)
    }
    for (const large of ['users/alice/3/4/5/6/7/8', 'users/alice/3/4/5/6/7/#', bytes(221)]) {
      for (const door of ['', 'sync/'])
        expect(() => parseFilter(`${door}${large}`, rules), large)
          .to.throw()
          .with.property('code', 'bad-filter')
      expect(() => parseStreamFilter(large, rules), large)
        .to.throw()
        .with.property('code', 'bad-filter')
    }
    expect(parseFilter('1/2/3/4/5/6/7/8', rules), 'in open').to.include({ door: 'plain' })
  })
})

/** The rules read aloud, level by level. */
function naiveMatch(pattern: string, name: string): boolean {
  if (name.startsWith('$') && /^[+#]/.test(pattern)) return false
  return matchLevels(pattern.split('/'), name.split('/'))
}

function matchLevels(wanted: readonly string[], given: readonly string[]): boolean {
  if (wanted[0] === '#') return true
  if (wanted.length === 0 || given.length === 0) return wanted.length === given.length
  return (wanted[0] === '+' || wanted[0] === given[0]) && matchLevels(wanted.slice(1), given.slice(1))
}

/** Every topic of up to five levels of five letters, one of which no filter here names. */
function allTopics(): string[] {
  const letters = ['', 'a', 'b', '$x', 'other']
  let layer = letters
  const all = [...layer]
  for (let depth = 2; depth <= 5; depth++) {
    layer = layer.flatMap((start) => letters.map((letter) => `${start}/${letter}`))
    all.push(...layer)
  }
  return all
}
