/** One list of grants, judged by the broker, over HTTP and by IAM: the same answer for every topic and filter that there can be. */
import { expect } from 'chai'
import * as fc from 'fast-check'
import type { Principal } from '../../../auth/index.ts'
import { FilterGrants } from '../../../broker/filter-grants.ts'
import { topicBelow, wantedBelow } from '../../../bridge/target.ts'
import { SyncError } from '../../../protocol/errors.ts'
import { encodeName } from '../../../protocol/names.ts'
import { streamOfTopic, type TopicRules } from '../../../protocol/topics.ts'
import { awsStreamTopicLevelsMax, defaultLimits } from '../../../seams/limits.ts'
import { amount } from '../../support/amount.ts'
import type { PolicySubject } from '../../../auth/aws-iot/policy.ts'
import { arn, authorized, judged, subjectOf, type Verdict } from './support.ts'

const rules: TopicRules = { ...defaultLimits, openEnabled: false, streamTopicLevelsMax: awsStreamTopicLevelsMax }
const client = encodeName('acme.alice.phone')

const kind = fc.constantFrom('users', 'spaces', 'outbox', 'inbox')
/** Few names, so that grants and topics meet, and what IAM reads as something else. */
const id = fc.constantFrom('alice', 'alice2', 'al', 'bob', '=2A', 'a=24=7Baws:userid=7D'.replace(':', '=3A'))
const level = fc.constantFrom(
  'a',
  'aa',
  'b',
  'ab',
  'a:b',
  'A',
  '${aws:userid}',
  'x${aws:userid}',
  'x$',
  '{',
  '}',
  '=2A',
  '日',
  'a.b',
  '[a]',
  '\\',
)
const below = fc.array(level, { maxLength: 3 })

const grant = fc
  .tuple(fc.constantFrom('publish', 'subscribe'), kind, fc.option(id, { freq: 12 }), below, fc.boolean())
  .map(([verb, first, name, levels, isExact]) => {
    const prefix = name === null ? first : [first, name, ...levels].join('/')
    return `${verb}:${prefix}${isExact && name !== null && levels.length > 0 ? '' : '/#'}`
  })
const topic = fc
  .tuple(kind, id, fc.array(level, { minLength: 1, maxLength: 4 }))
  .map(([first, name, levels]) => [first, name, ...levels].join('/'))
const filter = fc
  .tuple(
    kind,
    fc.oneof({ weight: 9, arbitrary: id }, { weight: 1, arbitrary: fc.constantFrom('+', '#') }),
    fc.array(fc.oneof({ weight: 4, arbitrary: level }, { weight: 1, arbitrary: fc.constant('+') }), { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([first, name, levels, isPrefix]) =>
    name === '#' ? `${first}/#` : [first, name, ...levels, ...(isPrefix || levels.length === 0 ? ['#'] : [])].join('/'),
  )

describe('[P-10.32, P-10.15] grants', function () {
  this.timeout(300_000)

  it('mean the same to the broker, over HTTP, to a session policy and to the authorizer, on every topic and filter', () => {
    const counts = { cases: 0, allowed: 0, sessions: 0 }
    const runs = amount(2_000, 100)
    fc.assert(
      fc.property(
        fc.array(grant, { minLength: 1, maxLength: 4 }),
        fc.array(topic, { minLength: 4, maxLength: 8 }),
        fc.array(filter, { minLength: 4, maxLength: 8 }),
        (texts, topics, filters) => {
          const subject = subjectOf(texts)
          const principal = { grants: subject.grants, uid: 'alice', issuedAtMs: 0 } as Principal
          const verdicts: readonly Verdict[] = [authorized(subject), ...sessionOf(subject)]
          counts.sessions += verdicts.length - 1
          // Some topics and filters that are surely near a grant.
          const near = texts.map((text) => text.slice(text.indexOf(':') + 1))
          for (const name of [...topics, ...near.map((one) => one.replace('#', 'a')), ...near.map((one) => one.replace('/#', ''))]) {
            if (!isTopic(name)) continue
            same([mayPublish(principal, name)], verdicts, ['', 'put/'], 'iot:Publish', 'topic', name, counts)
            same([mayRead(principal, name)], verdicts, ['', 'sync/'], 'iot:Receive', 'topic', name, counts)
          }
          for (const name of [...filters, ...near]) {
            const read = [maySubscribe(principal, name), maySubscribe(principal, `sync/${name}`), mayRead(principal, name)]
            if (read.includes(undefined)) continue
            same(read, verdicts, ['', 'sync/'], 'iot:Subscribe', 'topicfilter', name, counts)
          }
        },
      ),
      { numRuns: runs },
    )
    expect(counts.cases).to.be.at.least(runs * 10)
    expect(counts.sessions, 'grants that fit a session policy').to.be.at.least(runs / 4)
    expect(counts.allowed / counts.cases, `${counts.allowed} of ${counts.cases} allowed`).to.be.at.least(0.1)
  })

  it('let IAM allow nothing that they do not, on any text at all', () => {
    let allowed = 0
    const anything = fc.array(
      fc.oneof(level, kind, id, fc.constantFrom('', '*', '?', '+', '#', '$', 'acme', 'sync', 'put', '$share', '..')),
      { maxLength: 7 },
    )
    fc.assert(
      fc.property(fc.array(grant, { minLength: 1, maxLength: 4 }), fc.array(anything, { minLength: 20, maxLength: 20 }), (texts, names) => {
        const subject = subjectOf(texts)
        const may = authorized(subject)
        const near = texts.flatMap((text) =>
          ['a', '*', '?/#', '$x'].map((end) =>
            text
              .slice(text.indexOf(':') + 1)
              .replace('#', end)
              .split('/'),
          ),
        )
        for (const levels of [...names, ...near]) {
          const text = levels.join('/')
          const isPublished = may('iot:Publish', arn('topic', `acme/${text}`))
          const isRead = may('iot:Subscribe', arn('topicfilter', `acme/${text}`))
          if (isPublished || isRead) allowed++
          const plain = text.replace(/^(?:put|sync)\//, '')
          if (isPublished) expect(subject.grants.allows('publish', plain), `publish ${text}`).to.equal(true)
          if (isRead) expect(subject.grants.covers('subscribe', plain), `subscribe ${text}`).to.equal(true)
        }
      }),
      { numRuns: amount(1_000, 60) },
    )
    expect(allowed).to.be.at.least(200)
  })
})

function same(
  ours: readonly (boolean | undefined)[],
  verdicts: readonly Verdict[],
  doors: readonly string[],
  action: string,
  type: 'topic' | 'topicfilter',
  name: string,
  counts: { cases: number; allowed: number },
): void {
  const [first] = ours
  expect(
    ours.every((one) => one === first),
    `${name}: ${ours.join()}`,
  ).to.equal(true)
  for (const may of verdicts) {
    for (const door of doors) {
      counts.cases++
      if (first) counts.allowed++
      const said = may(action, arn(type, `acme/${door}${name}`), { 'aws:userid': 'alice' })
      expect(said, `${action} on ${door}${name}: ours ${first}, IAM ${said}`).to.equal(first)
    }
  }
}

/** The steps of a PUBLISH, which are those of HTTP. */
function mayPublish(principal: Principal, name: string): boolean {
  const [stream, rest] = cut(name)
  return isAllowed(() => topicBelow(stream, rest, principal, rules))
}

/** Undefined: no filter at all. */
function maySubscribe(principal: Principal, name: string): boolean | undefined {
  try {
    new FilterGrants(rules, client, principal).judge(name)
    return true
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    // A filter across streams is for taps, which IAM is never told of.
    return error.code === 'forbidden' || /no stream begins|not a canonical name/.test(error.message) ? false : undefined
  }
}

function mayRead(principal: Principal, name: string): boolean {
  const [stream, rest] = cut(name)
  return isAllowed(() => wantedBelow(stream, rest, principal, rules))
}

/** Whether there can be such a topic: names that there cannot be are refused before grants are asked, and never logged. */
function isTopic(name: string): boolean {
  return isAllowed(() => streamOfTopic(name.replace(/^inbox\//, 'users/'), rules))
}

/** None where the grants are too many for one. */
function sessionOf(subject: PolicySubject): Verdict[] {
  try {
    return [judged(subject).may]
  } catch (error) {
    if (error instanceof SyncError && error.details['oauth'] === 'invalid_scope') return []
    throw error
  }
}

function cut(name: string): [string, string] {
  const levels = name.split('/')
  return [levels.slice(0, 2).join('/'), levels.slice(2).join('/')]
}

function isAllowed(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (error instanceof SyncError) return false
    throw error
  }
}
