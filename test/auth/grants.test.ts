import { expect } from 'chai'
import * as fc from 'fast-check'
import { Grants, type Verb } from '../../auth/index.ts'
import { SyncError } from '../../protocol/errors.ts'

describe('grants', () => {
  it('split at the first colon, unless the text is a bare verb [P-10.14]', () => {
    const grants = Grants.parse(['ops:revoke', 'tap', 'publish:users/alice/a:b', 'tap'])
    expect(grants.texts).to.deep.equal(['ops:revoke', 'tap', 'publish:users/alice/a:b'])
    expect(grants.has('ops:revoke')).to.equal(true)
    expect(grants.has('tap')).to.equal(true)
    expect(grants.has('ops:erase')).to.equal(false)
    expect(grants.allows('publish', 'users/alice/a:b')).to.equal(true)
  })

  const malformed = [
    '',
    'tap ',
    'ops:other',
    'write:users/alice/#',
    'constructor:users/alice/#',
    'publish',
    'publish:',
    'publish:#',
    'publish:/#',
    'publish:/a',
    'publish:users/+/notes',
    'publish:users/#/notes',
    'publish:users/a#',
    'publish:users/alice/#/#',
    'publish:users/alice notes',
    'publish:users/alice\tnotes',
    'publish:users/alice\0',
    'publish:users/*',
    'publish:users/a?',
    'publish:users/\ud800',
  ]
  for (const text of malformed) {
    it(`refuse ${JSON.stringify(text)}, naming it [P-10.14]`, () => {
      try {
        Grants.parse(['tap', text])
      } catch (error) {
        expect(error).to.be.instanceOf(SyncError)
        expect((error as SyncError).code).to.equal('bad-request')
        expect((error as SyncError).message).to.include(JSON.stringify(text))
        return
      }
      expect.fail('it was taken')
    })
  }

  it('of one verb say nothing about another', () => {
    const grants = Grants.parse(['publish:users/alice/#'])
    expect(grants.allows('publish', 'users/alice/a')).to.equal(true)
    expect(grants.allows('subscribe', 'users/alice/a')).to.equal(false)
    expect(grants.allows('own', 'users/alice/a')).to.equal(false)
  })

  it('on a prefix hold for whole levels only', () => {
    const grants = Grants.parse(['subscribe:users/al/#'])
    expect(grants.allows('subscribe', 'users/al/x')).to.equal(true)
    expect(grants.allows('subscribe', 'users/alice/x')).to.equal(false)
    expect(grants.covers('subscribe', 'users/alice/#')).to.equal(false)
    expect(grants.covers('subscribe', 'users/al+/#')).to.equal(false)
  })

  it('cover a filter only where every topic it matches is allowed [P-4.9]', () => {
    const grants = Grants.parse(['subscribe:users/alice/#', 'subscribe:spaces/b/exact'])
    for (const filter of ['users/alice/#', 'users/alice/+', 'users/alice/a/+/b', 'users/alice/+/#', 'users/alice/a', 'spaces/b/exact']) {
      expect(grants.covers('subscribe', filter), filter).to.equal(true)
    }
    for (const filter of ['#', '+/alice/#', 'users/#', 'users/+/a', 'users/bob/#', 'spaces/b/#', 'spaces/b/+', 'spaces/b/exact/#']) {
      expect(grants.covers('subscribe', filter), filter).to.equal(false)
    }
  })

  it('of the open stream stand behind its name, and reach no other stream', () => {
    const grants = Grants.parse(['publish:open/-/#', 'subscribe:open/-/#'])
    for (const topic of ['a', '/a', '$x/y', 'a//b']) expect(grants.allows('publish', `open/-/${topic}`), topic).to.equal(true)
    for (const filter of ['#', '+', '+/a', '/+']) expect(grants.covers('subscribe', `open/-/${filter}`), filter).to.equal(true)
    expect(grants.allows('publish', 'users/alice/a')).to.equal(false)
    expect(grants.covers('subscribe', '#')).to.equal(false)
  })

  it('narrow to what lies within them and refuse the rest by name [P-10.21]', () => {
    const grants = Grants.parse(['publish:users/alice/#', 'subscribe:users/alice/a', 'tap'])
    const narrowed = grants.narrow(['publish:users/alice/notes/#', 'publish:users/alice/x', 'subscribe:users/alice/a', 'tap'])
    expect(narrowed.allows('publish', 'users/alice/notes/1')).to.equal(true)
    expect(narrowed.allows('publish', 'users/alice/other')).to.equal(false)
    for (const text of [
      'publish:users/#',
      'publish:users/bob/#',
      'subscribe:users/alice/#',
      'subscribe:users/alice/a/#',
      'ops:revoke',
      'own:users/alice/a',
    ]) {
      expect(() => grants.narrow([text]), text).to.throw(SyncError, text)
    }
  })

  it('for a client add the reply topics of that client alone [P-10.16]', () => {
    const grants = Grants.parse(['tap']).forClient('phone')
    expect(grants.covers('subscribe', 'reply/phone/#')).to.equal(true)
    expect(grants.covers('subscribe', 'reply/laptop/#')).to.equal(false)
    expect(grants.covers('subscribe', 'reply/#')).to.equal(false)
    expect(grants.forClient('phone').texts).to.deep.equal(grants.texts)
  })

  describe('agree with a naive matcher', () => {
    // Names of which some are string prefixes of others, but no level prefixes.
    const level = fc.constantFrom('users', 'spaces', 'al', 'alice', 'a', 'ali', 'b')
    const path = fc.array(level, { minLength: 1, maxLength: 4 })
    const grant = fc.record({
      verb: fc.constantFrom<Verb>('publish', 'subscribe', 'own'),
      path,
      below: fc.boolean(),
    })
    const grants = fc.array(grant, { minLength: 1, maxLength: 8 })
    const verb = fc.constantFrom<Verb>('publish', 'subscribe')
    type GrantCase = { verb: Verb; path: string[]; below: boolean }

    const textOf = ({ verb: name, path: levels, below }: GrantCase) => `${name}:${[...levels, ...(below ? ['#'] : [])].join('/')}`

    /** Level by level, as MQTT describes a filter; written without a look at the other one. */
    function naiveMatch(pattern: readonly string[], topic: readonly string[]): boolean {
      if (pattern.length === 0) return topic.length === 0
      const [head, ...rest] = pattern
      if (head === '#') return true
      if (topic.length === 0) return false
      return (head === '+' || head === topic[0]) && naiveMatch(rest, topic.slice(1))
    }

    const naiveAllows = (all: GrantCase[], name: Verb, topic: string[]) =>
      all.some((one) => one.verb === name && naiveMatch(one.below ? [...one.path, '#'] : one.path, topic))

    function counted(property: (count: (allowed: boolean) => void) => void): void {
      let allowed = 0
      let examined = 0
      property((isAllowed) => {
        examined++
        if (isAllowed) allowed++
      })
      expect(examined).to.be.at.least(1_000)
      expect(allowed / examined).to.be.within(0.1, 0.9)
    }

    it('on topics', () => {
      counted((count) => {
        // Half of the topics lie near a grant, so that enough are allowed.
        const near = grants.chain((all) =>
          fc.tuple(
            fc.constant(all),
            verb,
            fc.oneof(
              path,
              fc.tuple(fc.constantFrom(...all), path, fc.boolean()).map(([one, more, on]) => [...one.path, ...(on ? more : [])]),
            ),
          ),
        )
        fc.assert(
          fc.property(near, ([all, name, topic]) => {
            const expected = naiveAllows(all, name, topic)
            count(expected)
            expect(Grants.parse(all.map(textOf)).allows(name, topic.join('/'))).to.equal(expected)
          }),
          { numRuns: 3_000 },
        )
      })
    })

    it('on filters: covered means within one grant, and never a topic more than is allowed', () => {
      // One more level than any grant or filter has, and a name none of them uses, so that no match is missed.
      const names = ['users', 'al', 'alice', 'zz']
      const topics: string[][] = [[]]
      for (let at = 0; at < topics.length; at++) {
        const topic = topics[at] as string[]
        if (topic.length < 5) for (const name of names) topics.push([...topic, name])
      }
      const small = fc.constantFrom('users', 'al', 'alice')
      const smallGrant = fc.record({
        verb: fc.constant<Verb>('subscribe'),
        path: fc.array(small, { minLength: 1, maxLength: 3 }),
        below: fc.boolean(),
      })
      const ending = fc.tuple(fc.array(fc.oneof({ weight: 2, arbitrary: small }, fc.constant('+')), { maxLength: 2 }), fc.boolean())
      const cases = fc.array(smallGrant, { minLength: 1, maxLength: 4 }).chain((all) =>
        fc.tuple(
          fc.constant(all),
          fc.oneof(
            fc.tuple(fc.array(fc.oneof({ weight: 3, arbitrary: small }, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.boolean()),
            fc
              .tuple(fc.constantFrom(...all), ending)
              .map(([one, [more, hash]]) => [[...one.path, ...more].slice(0, 4), hash] as [string[], boolean]),
          ),
        ),
      )
      counted((count) => {
        fc.assert(
          fc.property(cases, ([all, [levels, hash]]) => {
            const wanted = hash ? [...levels, '#'] : levels
            const matched = topics.filter((topic) => topic.length > 0 && naiveMatch(wanted, topic))
            expect(matched).to.not.deep.equal([])
            const expected = all.some((one) => matched.every((topic) => naiveAllows([one], 'subscribe', topic)))
            const covered = Grants.parse(all.map(textOf)).covers('subscribe', wanted.join('/'))
            count(covered)
            expect(covered, `${all.map(textOf).join(' ')} on ${wanted.join('/')}`).to.equal(expected)
          }),
          { numRuns: 1_500 },
        )
      })
    })
  })
})
