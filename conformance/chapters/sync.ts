/** Chapter 6: the sync door. */
import type { Attempt } from '../attempt.ts'
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustBeContiguous, other, partsOf, positionOf, seqOf } from '../positions.ts'
import type { Wire } from '../wire.ts'
import { refusesFilter } from './topics.ts'

const isEntry = (json: Readonly<Record<string, unknown>>): boolean => 'pos' in json && 'id' in json && 'topic' in json

export const sync: readonly Check[] = [
  check(
    'P-6.1 P-6.4',
    'sync delivers envelopes from now on, on topics of the filter',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect()
      await wire.publish(`${me.place}/x`, 'before', { retain: true })
      await wire.follow(`sync/${me.place}/#`)
      await wire.publish(`${me.place}/x`, 'after', { retain: true })
      const { json, topic, retain } = await wire.json(isEntry, 'the envelope')
      same(
        [json['text'], topic, retain, json['retain']],
        ['after', `sync/${me.place}/x`, false, true],
        'text, topic, retain flag and retain',
      )
      return `one envelope on ${topic}`
    },
    onAws.retain,
  ),
  check(
    'P-6.2 P-6.8',
    'sync@ catches up without a gap and without a double, while others write',
    ['mqtt'],
    async ({ me }) => {
      const writer = await me.putter()
      const { pos: from } = await writer.putWell(`${me.place}/n`, { id: me.id('n-0'), data: 0 })
      for (let n = 1; n <= 20; n++) writer.publishNow(`${me.place}/n`, String(n))
      const reader = await me.connect()
      const followed = reader.follow(`sync@${from}/${me.stream}/#`)
      for (let n = 21; n <= 40; n++) writer.publishNow(`${me.place}/n`, String(n))
      await followed
      const { positions, data } = await entriesUntil(reader, `${me.place}/n`, 40)
      mustBeContiguous([from, ...positions], 'entries of the whole stream')
      same(
        data,
        Array.from({ length: 40 }, (_, n) => n + 1),
        'what came of the check',
      )
      return `from ${from}: ${positions.length} entries with consecutive seq`
    },
    onAws.catchUp,
  ),
  check(
    'P-6.2 P-2.15',
    'sync@earliest begins at the first entry',
    ['mqtt', 'http'],
    async ({ me }) => {
      await me.append('x', { text: 'x' })
      const { first } = await me.entries({ limit: '0' })
      const wire = await me.listen(`sync@earliest/${me.stream}/#`)
      same((await wire.json(isEntry, 'the first entry')).json['pos'], first, 'the first entry')
      await wire.disconnect()
      return `the first envelope is ${first}`
    },
    onAws.catchUp,
  ),
  check(
    'P-6.6',
    'an entry that matches two sync filters is sent once for each',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.listen(`sync/${me.place}/#`, `sync/${me.place}/+`)
      await wire.publish(`${me.place}/x`, 'twice')
      await wire.publish(`${me.place}/x`, 'end')
      const heard: string[] = []
      for (let at = 0; at < 4; at++) heard.push(String((await wire.json(isEntry, 'an envelope')).json['text']))
      same(heard.sort(), ['end', 'end', 'twice', 'twice'], 'what came')
      return 'two filters, each entry twice'
    },
    onAws.delivery,
  ),
  check(
    'P-6.9 P-6.10 P-6.15',
    'at comes right after the SUBACK, and says how far it is complete',
    ['mqtt', 'http'],
    async ({ me }) => {
      const { pos } = await me.append('x', { text: 'x' })
      const filter = `sync/${me.place}/#`
      const wire = await me.listen(filter)
      const { topic, json } = await wire.json((found) => found['ctl'] === 'at', 'at')
      same([topic, json['filter']], [`sync/${me.place}/$ctl`, filter], 'topic and filter')
      same(json['pos'], json['head'], 'pos and head of a filter from now on')
      must(seqOf(json['head']) >= seqOf(pos), `head ${String(json['head'])} is before ${pos}`)
      must(seqOf(json['first']) <= seqOf(pos) && typeof json['ts'] === 'number', `first and ts: ${JSON.stringify(json)}`)
      const caughtUp = `sync@earliest/${me.place}/x`
      await wire.follow(caughtUp)
      await wire.json((found) => found['pos'] === pos && isEntry(found), 'the entry')
      const at = await wire.json(
        (found) => found['ctl'] === 'at' && found['filter'] === caughtUp && found['pos'] === found['head'],
        'at when caught up',
      )
      same(at.topic, caughtUp, 'the topic of at of a filter without wildcards')
      return `at ${String(json['pos'])} of head ${String(json['head'])}, and again when caught up`
    },
    onAws.at,
  ),
  check(
    'P-6.11 P-2.10',
    'a position of another history is answered reset, and nothing more comes',
    ['mqtt', 'http'],
    async (attempt) => {
      const parts = partsOf((await attempt.me.append('x', { text: 'x' })).pos)
      await resets(attempt, positionOf({ ...parts, epoch: other(parts.epoch) }), 'epoch')
      return await resets(attempt, positionOf({ ...parts, mark: other(parts.mark) }), 'epoch')
    },
    onAws.catchUp,
  ),
  check(
    'P-6.11 P-2.11',
    'a position beyond the head is answered reset',
    ['mqtt', 'http'],
    async (attempt) => {
      const parts = partsOf((await attempt.me.append('x', { text: 'x' })).pos)
      return await resets(attempt, positionOf({ ...parts, seq: parts.seq + 1_000_000 }), 'ahead')
    },
    onAws.catchUp,
  ),
  check(
    'P-6.12 P-10.24',
    'a filter ends when a renewal takes its grant away',
    ['mqtt', 'http'],
    async ({ me }) => {
      const scope = `publish:${me.place}/#`
      const narrow = await me.brokerToken({ scope })
      const filter = `sync/${me.place}/#`
      const wire = await me.listen(filter)
      await wire.publish(`${me.place}/x`, 'before')
      await wire.json(isEntry, 'the entry before the renewal')
      wire.publishNow('auth/renew', narrow)
      const { reason } = await wire.control('ended', filter)
      same(reason, 'grant', 'reason')
      await wire.publish(`${me.place}/x`, 'after')
      await wire.ping()
      same(
        wire.unread().filter(({ topic }) => topic === `sync/${me.place}/x`),
        [],
        'entries after ended',
      )
      return `renewed with ${scope}: ended, and nothing more comes`
    },
    onAws.renewal,
  ),
  check(
    'P-6.13 P-6.14 P-6.16',
    'sync@snapshot brings the state, then every entry after it',
    ['mqtt'],
    async ({ me }) => {
      const writer = await me.connect()
      for (const level of ['a', 'b', 'c']) await writer.publish(`${me.place}/${level}`, level, { retain: true })
      await writer.publish(`${me.place}/b`, '', { retain: true })
      await writer.publish(`${me.place}/a`, 'a again', { retain: true })
      const filter = `sync@snapshot/${me.place}/#`
      const wire = await me.listen(filter)
      const start = await wire.control('snapshot-start', filter)
      const state = [await wire.json(isEntry, 'state'), await wire.json(isEntry, 'state')]
      same(
        state.map(({ json }) => json['text']),
        ['c', 'a again'],
        'the state in ascending position',
      )
      const end = await wire.control('snapshot-end', filter)
      same(start['pos'], end['pos'], 'pos of start and end')
      await writer.publish(`${me.place}/d`, 'tail')
      same((await wire.json(isEntry, 'the tail')).json['text'], 'tail', 'after the snapshot')
      return `state as of ${String(start['pos'])}: c, a again; then the tail`
    },
    onAws.catchUp,
  ),
  check(
    'P-6.17',
    'a position seen within a snapshot may be resumed from',
    ['mqtt'],
    async ({ me }) => {
      const writer = await me.connect()
      for (const level of ['a', 'b', 'c']) await writer.publish(`${me.place}/${level}`, level, { retain: true })
      const first = (await (await me.listen(`sync@snapshot/${me.place}/#`)).json(isEntry, 'state')).json
      const resumed = await me.listen(`sync@${String(first['pos'])}/${me.place}/#`)
      same(
        [(await resumed.json(isEntry, 'b')).json['text'], (await resumed.json(isEntry, 'c')).json['text']],
        ['b', 'c'],
        'what comes after it',
      )
      return `stopped at ${String(first['pos'])}, and b and c come`
    },
    onAws.catchUp,
  ),
  check(
    'P-6.18',
    'subscribing the same sync filter again restarts it',
    ['mqtt', 'http'],
    async ({ me }) => {
      const from = await me.head()
      await me.append('x', { text: 'again' })
      const wire = await me.connect()
      for (let time = 0; time < 2; time++) {
        await wire.follow(`sync@${from}/${me.place}/#`)
        same((await wire.json(isEntry, 'the entry')).json['text'], 'again', `SUBSCRIBE ${time + 1}`)
      }
      return 'twice SUBSCRIBE, twice the entry'
    },
    onAws.catchUp,
  ),
  check(
    'P-6.19 P-12.8',
    'a position with bad syntax gets 0x80',
    ['mqtt'],
    async ({ me }) => {
      await refusesFilter(me, `sync@nonsense/${me.place}/#`)
      return await refusesFilter(me, `sync@abcdefgh.01.abcd/${me.place}/#`)
    },
    onAws.catchUp,
  ),
  check('P-6.3 P-12.12', 'a sync filter beyond the grants gets 0x80', ['mqtt'], async ({ me, strangerUid }) => {
    await refusesFilter(me, `sync@earliest/users/${strangerUid}/#`)
    return await refusesFilter(me, `sync/users/${strangerUid}/x`)
  }),
  check(
    'P-6.21',
    'sync filters are refused in a kept session',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect({ clean: false, clientId: me.newClientId() })
      same(await wire.subscribe([`sync/${me.place}/#`, `${me.place}/#`]), [0x80, 1], 'SUBACK')
      return 'SUBACK 128 for sync, 1 for the plain filter beside it'
    },
    onAws.sessions,
  ),
  check(
    'P-6.7 P-6.8',
    'several catch-ups at once are complete, each for itself',
    ['mqtt'],
    async ({ me }) => {
      const writer = await me.putter()
      const { pos: from } = await writer.putWell(`${me.place}/n`, { id: me.id('from'), data: 0 })
      for (let n = 1; n <= 10; n++) await writer.publish(`${me.place}/n`, String(n))
      const readers = await Promise.all([1, 2, 3].map(() => me.listen(`sync@${from}/${me.place}/#`)))
      for (const reader of readers)
        same((await entriesUntil(reader, `${me.place}/n`, 10)).data, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 'a reader')
      return 'three readers, each 1 to 10'
    },
    onAws.catchUp,
  ),
]

/** Entries up to the one of this topic with this number as data. */
async function entriesUntil(wire: Wire, topic: string, last: number): Promise<{ positions: unknown[]; data: unknown[] }> {
  const positions: unknown[] = []
  const data: unknown[] = []
  while (data.at(-1) !== last) {
    const { json } = await wire.json(isEntry, `the entry ${last}`)
    positions.push(json['pos'])
    if (json['topic'] === topic) data.push(json['data'])
  }
  return { positions, data }
}

async function resets({ me }: Attempt, position: string, reason: string): Promise<string> {
  const filter = `sync@${position}/${me.place}/#`
  const wire = await me.listen(filter)
  const reset = await wire.control('reset', filter)
  same(reset['reason'], reason, 'reason')
  must(seqOf(reset['first']) <= seqOf(reset['head']), `first and head: ${JSON.stringify(reset)}`)
  await wire.publish(`${me.place}/x`, 'after the reset')
  await wire.ping()
  same(wire.unread(), [], 'what came after the reset')
  return `${position}: reset ${reason}, head ${String(reset['head'])}, and silence`
}
