/** The checker itself: it holds a record in which everything went well to be good, and finds each thing that goes wrong. */
import { expect } from 'chai'
import { check, isEnough, judge, promises } from '../../chaos/checker/check.ts'
import { matches } from '../../chaos/checker/facts.ts'
import { parsePosition } from '../../chaos/checker/positions.ts'
import type { Event, Sighting } from '../../chaos/record.ts'
import { entries, position, smallRecord } from './small-record.ts'

type Kind<K extends Event['k']> = Extract<Event, { k: K }>

/** Changes the first event of a kind that the condition holds for. */
function change<K extends Event['k']>(kind: K, changes: Partial<Kind<K>>, wanted: (event: Kind<K>) => boolean = () => true) {
  return (record: Event[]): Event[] => {
    const at = record.findIndex((event) => event.k === kind && wanted(event as Kind<K>))
    expect(at, `an event to change: ${kind}`).to.be.at.least(0)
    return record.with(at, { ...(record[at] as Event), ...changes }).sort((a, b) => a.t - b.t)
  }
}

const without =
  (wanted: (event: Event) => boolean) =>
  (record: Event[]): Event[] => {
    const left = record.filter((event) => !wanted(event))
    expect(left.length, 'something to leave out').to.be.lessThan(record.length)
    return left
  }

const plus =
  (...events: Event[]) =>
  (record: Event[]): Event[] =>
    [...record, ...events].sort((a, b) => a.t - b.t)

/** In every sighting. */
const everywhere =
  (seq: number, changed: Partial<Record<number, Sighting[number]>>) =>
  (record: Event[]): Event[] => {
    const spoil = (e: Sighting): Sighting => (e[0] === position(seq) ? (Object.assign([...e], changed) as unknown as Sighting) : e)
    return record.map((event) => {
      if (event.k === 'got') return { ...event, e: spoil(event.e) }
      return event.k === 'page' ? { ...event, entries: event.entries.map(spoil) } : event
    })
  }

const unseen =
  (seq: number) =>
  (record: Event[]): Event[] =>
    record
      .filter((event) => event.k !== 'got' || event.e[0] !== position(seq))
      .map((event) => (event.k === 'page' ? { ...event, entries: event.entries.filter(([pos]) => pos !== position(seq)) } : event))

const isGot = (event: Event, sub: number, seq: number): boolean => event.k === 'got' && event.sub === sub && event.e[0] === position(seq)
const isPlain = (event: Event, sub: number, m: number): boolean => event.k === 'plain' && event.sub === sub && event.text === `m${m} x`
const sixth = Object.assign([...(entries[0] as Sighting)], { 0: position(6), 2: 2_000 }) as unknown as Sighting
const late: Event = { ...(smallRecord().find(({ k }) => k === 'send') as Kind<'send'>), m: 9, t: 20_000, text: 'm9 x', conn: 9 }
const lateOn = (sub: number): Event => ({ k: 'plain', t: 20_001, sub, topic: 'users/alice/a', text: 'm9 x', dup: false, retain: false })

/** The clauses, the promise that is broken, how, and the record that shows it. */
const refuted: readonly (readonly [clauses: string, promise: string, what: string, spoil: (record: Event[]) => Event[]])[] = [
  ['[P-8.1]', 'the run came', 'a reader waits in vain', change('settled', { missing: ['a reader'] })],
  ['[P-8.1]', 'the run came', 'the run ends early', without(({ k }) => k === 'settled')],
  ['[P-8.6]', 'what was acknowledged', 'an acknowledged entry is lost', plus(late, { k: 'acked', t: 20_500, m: 9, conn: 9 })],
  ['[P-8.8]', 'what was acknowledged', 'an entry stands twice', plus({ k: 'got', t: 59.5, sub: 5, e: sixth })],
  ['[P-9.6]', 'what was acknowledged', 'another position was told', change('acked', { pos: position(2) }, ({ m }) => m === 3)],
  ['[P-3.6]', 'what was acknowledged', 'an entry is of somebody else', everywhere(1, { 3: 'bob' })],
  ['[P-6.8]', 'replay and history', 'a replay ends early', without((event) => isGot(event, 5, 5))],
  ['[P-11.22]', 'replay and history', 'a page has a gap', change('page', { entries: entries.filter((_, index) => index !== 2) })],
  ['[P-1.1]', 'seqs are contiguous', 'a seq was never seen', unseen(2)],
  ['[P-3.20]', 'seqs are contiguous', 'two doors differ', change('got', { e: sixth.with(0, position(1)) as unknown as Sighting })],
  ['[P-2.2]', 'seqs are contiguous', 'the epoch changes', everywhere(2, { 0: 'epoch002.2.mk02' })],
  ['[P-3.5]', 'seqs are contiguous', 'time goes back', everywhere(3, { 2: 5 })],
  ['[P-8.9]', 'entries of one connection', 'two entries have changed places', change('send', { t: 20.5 }, ({ m }) => m === 3)],
  ['[P-8.10]', 'what stood before', 'a later publish stands before an acknowledged one', change('send', { t: 19 }, ({ m }) => m === 2)],
  ['[P-9.16]', 'conditions', 'a condition held that did not', change('send', { if: position(1) }, ({ m }) => m === 4)],
  ['[P-9.15]', 'conditions', 'a conflict was none', change('refused', { current: position(3) })],
  ['[P-9.15]', 'conditions', 'the current entry was another one', change('refused', { current: position(2) })],
  ['[P-2.18]', 'heads, states', 'an older head was told', change('page', { head: position(4), next: position(4) })],
  [
    '[P-11.16]',
    'heads, states',
    'a page of a time has an older entry',
    change('page', { since: 1_002 }, ({ since }) => since !== undefined),
  ],
  ['[P-11.17]', 'heads, states', 'a page of a time lacks one', change('page', { until: 1_004 }, ({ since }) => since !== undefined)],
  [
    '[P-11.23]',
    'heads, states',
    'a page backwards begins late',
    change('page', { before: position(4) }, ({ reverse }) => reverse === true),
  ],
  ['[P-11.24]', 'heads, states', 'a page backwards ends early', change('page', { upToDate: true }, ({ reverse }) => reverse === true)],
  ['[P-2.7]', 'heads, states', 'a position has another mark', change('page', { next: 'epoch001.5.mk04' })],
  ['[P-2.11]', 'heads, states', 'a known position was ahead', change('gone', { after: position(5) })],
  ['[P-2.12]', 'heads, states', 'nothing was trimmed', change('gone', { reason: 'trimmed' })],
  ['[P-9.1]', 'heads, states', 'a topic is missing in the state', change('page', { entries: [] }, ({ state }) => state === true)],
  ['[P-11.24]', 'heads, states', 'up to date too early', change('page', { next: position(4), entries: entries.slice(0, 4) })],
  ['[P-6.8]', 'sync readers', 'a gap', without((event) => isGot(event, 1, 3))],
  ['[P-6.10]', 'sync readers', 'complete up to what did not come', without((event) => isGot(event, 1, 5))],
  ['[P-6.11]', 'sync readers', 'something after a reset', change('ctl', { ctl: 'reset', reason: 'trimmed' }, ({ t }) => t === 2)],
  [
    '[P-4.17]',
    'plain sessions',
    'an entry is lost between two connections',
    without((event) => isPlain(event, 2, 3) || isPlain(event, 4, 3)),
  ],
  ['[P-4.17]', 'plain sessions', 'the last entry never comes', without((event) => isPlain(event, 4, 6))],
  ['[P-4.20]', 'plain sessions', 'a repeat without DUP', change('plain', { dup: false }, ({ sub, t }) => sub === 4 && t === 41)],
  ['[P-4.21]', 'plain sessions', 'a session is gone', change('open', { present: false }, ({ sub }) => sub === 4)],
  ['[P-4.12]', 'plain sessions', 'a retained message was never one', change('plain', { retain: true }, (event) => isPlain(event, 2, 1))],
  ['[P-3.2]', 'QoS 0', 'a message with QoS 0 stands in the log', change('send', { door: 'qos0' }, ({ m }) => m === 1)],
  ['[P-3.2]', 'QoS 0', 'one comes twice', plus({ k: 'live', t: 30.9, sub: 1, topic: 'users/alice/live', text: 'm20 x' })],
  ['[P-3.2]', 'QoS 0', 'one is kept and repeated', change('plain', { dup: true }, ({ text }) => text === 'm20 x')],
  ['[P-4.9]', 'QoS 0', 'one comes to who did not ask for it', change('open', { filter: 'other/#' }, ({ sub }) => sub === 1)],
  ['[MQTT-4.6.0-2]', 'QoS 0', 'two come in another order', change('live', { t: 30.25 }, ({ text }) => text === 'm22 x')],
  ['[P-4.9]', 'nothing is written', 'a filter is granted without a grant', change('subscribed', { code: 1 }, ({ sub }) => sub === 6)],
  ['[P-10.9]', 'nothing is written', 'an entry stands without a grant', change('send', { forbidden: true })],
  ['[P-10.25]', 'the revoked', 'the revoked go on reading', plus(late, lateOn(7))],
  ['[P-4.26]', 'the replaced', 'the replaced go on reading', plus(late, lateOn(8))],
  ['[P-16.1]', 'the withdrawn', 'a withdrawal stands nowhere', without((event) => event.k === 'got' && event.e[5].endsWith('/$acl'))],
  ['[P-16.2]', 'the withdrawn', 'the withdrawn go on reading', change('got', { e: acl(1) }, ({ e }) => e[5].endsWith('/$acl'))],
  [
    '[P-15.3]',
    'what stands in an outbox',
    'an inbox has nothing',
    without((event) => event.k === 'got' && event.e[5].startsWith('inbox/')),
  ],
  ['[P-15.1]', 'what stands in an outbox', 'an inbox has something else', change('got', { e: inbox(1, 'm12 x') }, isInbox)],
  ['[P-15.5]', 'what stands in an outbox', 'it comes twice', plus({ k: 'got', t: 59.9, sub: 99, e: inbox(2, 'm11 x') })],
  ['[P-4.27]', 'wills', 'a will is published twice', plus({ k: 'got', t: 59.5, sub: 5, e: everySixth(4) })],
  ['[P-4.27]', 'wills', 'a will is never published', plus({ ...late, door: 'will' }, { k: 'will', t: 20_001, m: 9, what: 'armed' })],
  ['[P-4.3]', 'QoS 2', 'a QoS 2 message stands twice', plus({ k: 'got', t: 59.5, sub: 5, e: everySixth(1) })],
  ['[P-4.3]', 'QoS 2', 'a QoS 2 message stands nowhere', plus({ ...late, door: 'qos2' })],
  ['[P-20.2]', 'what AWS IoT Core', 'what AWS has is lost', plus({ ...late, door: 'aws' }, { k: 'taken', t: 20_001, m: 9, conn: 9 })],
  ['[P-20.5]', 'what AWS IoT Core', 'it is of somebody', change('send', { client: 'device' }, ({ m }) => m === 12)],
  ['[P-20.14]', 'sync readers', 'a reader of the SDK lacks the first entry', without((event) => isGot(event, 98, 1))],
]

function acl(seq: number): Sighting {
  return [position(seq), 'derived-acl', 2_001, 'alice', '~http', 'spaces/team/$acl', '{"withdrawn":"leaver"}', '']
}

function inbox(seq: number, text: string): Sighting {
  return [position(seq), 'm11', 2_000, 'alice', 'put-r', 'inbox/bob/alice/x', text, '']
}

function isInbox({ e }: Kind<'got'>): boolean {
  return e[5].startsWith('inbox/')
}

function everySixth(index: number): Sighting {
  return Object.assign([...(entries[index] as Sighting)], { 0: position(6), 2: 2_000 }) as unknown as Sighting
}

describe('the checker of the breaker', () => {
  it('[P-8.6] finds nothing wrong where nothing is, and looks at something for every promise', () => {
    const verdicts = check(smallRecord())
    expect(verdicts.flatMap(({ violations }) => violations)).to.deep.equal([])
    expect(verdicts.filter(({ examined }) => examined === 0)).to.deep.equal([])
  })

  for (const [clauses, promise, what, spoil] of refuted) {
    it(`${clauses} sees that ${what}`, () => {
      const verdict = check(spoil(smallRecord())).find(({ name }) => name.startsWith(promise))
      expect(verdict, promise).to.not.equal(undefined)
      expect(verdict?.violations, verdict?.name).to.not.deep.equal([])
    })
  }

  it('[P-8.6] has seen every promise broken', () => {
    const left = promises.filter(({ name }) => !refuted.some(([, promise]) => name.startsWith(promise)))
    expect(left.map(({ name }) => name)).to.deep.equal([])
  })

  it('[P-8.6] proves nothing from too little', () => {
    const short = smallRecord().map((event) => (event.k === 'run' ? { ...event, minutes: 60 } : event))
    const verdicts = judge([check(short)]).filter(({ violations }) => violations.some((violation) => violation.includes('proves nothing')))
    expect(verdicts).to.have.length(promises.filter(({ perMinute }) => perMinute > 0).length)
  })

  it('[P-20.13] asks for as much of everything where AWS carries MQTT, and for no order but that of the SDK', () => {
    const disordered = change('send', { t: 20.5 }, ({ m }) => m === 3)(smallRecord())
    const behindAws = (client?: string): Event[] =>
      disordered.map((event) => {
        if (event.k === 'run') return { ...event, store: 'aws-iot' as const, minutes: 60 }
        return event.k === 'send' && client !== undefined && event.conn === 3 ? { ...event, client } : event
      })
    const about = (record: Event[], name: string): number | undefined =>
      check(record).find((verdict) => verdict.name.startsWith(name))?.violations.length
    expect(about(behindAws(), 'entries of one connection')).to.equal(0)
    expect(about(behindAws('put-…'), 'entries of one connection')).to.equal(1)
    expect(about(behindAws('put-…'), 'what was acknowledged')).to.equal(0)
    const [taken] = check(behindAws()).filter(({ name }) => name.startsWith('what AWS IoT Core'))
    expect(taken?.wanted).to.be.above(taken?.examined ?? 0)
  })

  it('[P-8.6] takes several rounds together: each thing wrong in one of them, and what was seen in all', () => {
    const long = smallRecord().map((event) => (event.k === 'run' ? { ...event, minutes: 0.1 } : event))
    const good = check(long)
    const bad = check(change('settled', { missing: ['a reader'] })(long))
    const [first] = judge([good, bad, good])
    expect(first?.violations).to.deep.equal(['waited in vain for a reader'])
    const rare = judge([good]).map(({ violations }) => violations.length)
    expect(rare.slice(1), 'alone it is too little').to.include(1)
    const [, ...enough] = judge(Array.from({ length: 60 }, () => check(smallRecord())))
    expect(enough.filter(({ violations }) => violations.length > 0)).to.deep.equal([])
  })

  it('[P-8.6] says nothing of a log that nobody could read again, but that it ended early', () => {
    const cut = plus({ k: 'settled', t: 30, missing: ['node 0'], early: true })(
      without(({ k, t }) => k === 'settled' || t > 30)(smallRecord()),
    )
    const [ended, ...others] = check(cut)
    expect(ended?.violations).to.deep.equal(['waited in vain for node 0'])
    expect(others.flatMap(({ violations, wanted }) => [...violations, ...(wanted > 0 ? [wanted] : [])])).to.deep.equal([])
  })

  it('[P-6.8] does not hold a replay to be whole that was begun again', () => {
    const cut: Event = {
      k: 'open',
      t: 55.5,
      sub: 77,
      door: 'sync',
      node: 0,
      reader: 'final',
      user: 'alice',
      stream: 'users/alice',
      filter: '#',
      from: 'earliest',
      final: true,
    }
    const replayed = check(plus(cut)(smallRecord())).find(({ name }) => name.startsWith('replay and history'))
    expect(replayed?.violations).to.deep.equal([])
    const last = check(plus({ ...cut, t: 59.95 })(smallRecord())).find(({ name }) => name.startsWith('replay and history'))
    expect(last?.violations).to.not.deep.equal([])
  })

  it('[P-6.8] holds a reading to what stood when it began: a will that nobody waited for may come behind it', () => {
    const will = Object.assign([...sixth], { 1: 'will-1', 6: 'm99 x' }) as unknown as Sighting
    const behind = check(plus({ k: 'got', t: 59.99, sub: 1, e: will })(smallRecord())).find(({ name }) =>
      name.startsWith('replay and history'),
    )
    expect(behind?.violations).to.deep.equal([])
    const before = check(plus({ k: 'got', t: 49, sub: 1, e: will })(smallRecord())).find(({ name }) =>
      name.startsWith('replay and history'),
    )
    expect(before?.violations).to.not.deep.equal([])
  })

  it('[P-4.12] [P-4.17] holds retained messages that a returning session had not got to the moment of its return', () => {
    const verdictOf = (text: string): unknown => {
      const retained: Event = { k: 'plain', t: 40.9, sub: 4, topic: 'users/alice/c', text, dup: false, retain: true }
      return check(plus(retained)(smallRecord())).find(({ name }) => name.startsWith('plain sessions'))?.violations.length
    }
    expect(verdictOf('m4 x')).to.equal(0)
    expect(verdictOf('m3 x')).to.equal(1)
  })

  it('[P-4.12] knows a deletion that alone came from a later one of the same topic', () => {
    const deletes = (seq: number, t: number): Event[] => {
      const [user, client] = ['alice', 'once']
      const [stream, topic, id] = ['users/alice', 'users/alice/c', `m${seq + 50}`]
      const e: Sighting = [position(seq), id, 2_000 + seq, user, client, topic, '', 'd']
      const sent = { m: seq + 50, t, conn: seq + 50, door: 'put', user, client, stream, topic, text: '', retain: true, id } as const
      return [
        { k: 'send', ...sent },
        { k: 'got', t: t + 0.01, sub: 1, e },
      ]
    }
    const reading: Event[] = [
      { k: 'open', t: 59.61, sub: 50, door: 'plain', node: 0, reader: 'brief', user: 'alice', clean: true, present: false },
      { k: 'subscribed', t: 59.63, call: 59.62, sub: 50, filter: 'users/alice/#', code: 1 },
      { k: 'plain', t: 59.72, sub: 50, topic: 'users/alice/c', text: '', dup: false, retain: false },
    ]
    const about = check(plus(...reading, ...deletes(6, 59.7), ...deletes(7, 59.8))(smallRecord()))
    const sessions = about.find(({ name }) => name.startsWith('plain sessions'))
    expect(sessions?.violations.filter((violation) => violation.startsWith('brief'))).to.deep.equal([])
  })

  it('[P-8.6] says whether several rounds have seen enough', () => {
    const long = check(smallRecord().map((event) => (event.k === 'run' ? { ...event, minutes: 0.1 } : event)))
    expect(isEnough([])).to.equal(false)
    expect(isEnough([long])).to.equal(false)
    expect(isEnough([long, ...Array.from({ length: 60 }, () => check(smallRecord()))])).to.equal(true)
  })

  it('[P-10.25] gives more time where a fault kept the servers from it', () => {
    const slow: Event = { k: 'fault', t: 40, what: 'SIGSTOP', slowMs: 30_000 }
    const reading = plus(late, lateOn(7))
    const verdictOf = (record: Event[]): unknown => check(record).find(({ name }) => name.startsWith('the revoked'))?.violations.length
    expect(verdictOf(reading(smallRecord()))).to.equal(1)
    expect(verdictOf(plus(slow)(reading(smallRecord())))).to.equal(0)
  })

  it('[P-2.2] [P-2.3] [P-2.4] reads positions by the letter of the protocol', () => {
    expect(parsePosition('epoch001.12.mk-_')).to.deep.equal({ epoch: 'epoch001', seq: 12, mark: 'mk-_' })
    for (const wrong of ['epoch01.1.mk01', 'epoch001.01.mk01', 'epoch001.-1.mk01', 'epoch001.1.mk0', 'epoch001.1', '']) {
      expect(parsePosition(wrong), wrong).to.equal(undefined)
    }
  })

  it('[P-4.10] matches filters as MQTT does', () => {
    const cases: readonly (readonly [string, string, boolean])[] = [
      ['users/alice/#', 'users/alice/a/b', true],
      ['users/alice/#', 'users/bob/a', false],
      ['users/alice/+', 'users/alice/a', true],
      ['users/alice/+', 'users/alice/a/b', false],
      ['users/alice/a', 'users/alice/a', true],
      ['users/alice/a/b', 'users/alice/a', false],
    ]
    for (const [filter, topic, expected] of cases) expect(matches(filter, topic), `${filter} ${topic}`).to.equal(expected)
  })
})
