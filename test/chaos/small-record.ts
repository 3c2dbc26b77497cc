/** A record of one short run in which everything went well, to be spoilt by tests. */
import type { Event, SendEvent, Sighting } from '../../chaos/record.ts'

const stream = 'users/alice'

export const position = (seq: number): string => (seq === 0 ? 'epoch001.0.0000' : `epoch001.${seq}.mk0${seq}`)

type Sent = Pick<SendEvent, 'm' | 't' | 'door' | 'client' | 'topic' | 'conn'> & Partial<SendEvent>

const send = (sent: Sent): SendEvent => ({ k: 'send', user: 'alice', stream, text: `m${sent.m} x`, retain: false, ...sent })

const sends = [
  send({ m: 1, t: 10, door: 'qos1', client: 'once', topic: `${stream}/a`, conn: 1 }),
  send({ m: 2, t: 13, door: 'qos2', client: 'exactly-a', topic: `${stream}/b`, conn: 2 }),
  send({ m: 3, t: 16, door: 'put', client: 'put-a', topic: `${stream}/c`, conn: 3, retain: true, id: 'm3', if: 'none' }),
  send({ m: 4, t: 20, door: 'put', client: 'put-a', topic: `${stream}/c`, conn: 3, retain: true, id: 'm4', if: position(3) }),
  send({ m: 6, t: 26, door: 'will', client: 'will-a', topic: `${stream}/w`, conn: 4 }),
]

/** As every reader sees it, by seq less 1. */
export const entries: readonly Sighting[] = sends.map(({ m, client, topic, text, retain, id }, index) => [
  position(index + 1),
  id ?? `derived-${m}`,
  1_000 + index,
  'alice',
  client,
  topic,
  text,
  retain ? 'r' : '',
])

const gots = (sub: number, t: number, from = 1): Event[] =>
  entries.slice(from - 1).map((e, index) => ({ k: 'got', t: t + index / 10, sub, e }))

const plains = (sub: number, t: number, seqs: readonly number[], dup: boolean): Event[] =>
  seqs.map((seq, index) => {
    const [, , , , , topic, text] = entries[seq - 1] as Sighting
    return { k: 'plain', t: t + index / 10, sub, topic, text, dup, retain: false }
  })

const plainOpen = (t: number, sub: number, reader: string, more: { clean?: boolean; present?: boolean } = {}): Event[] => [
  { k: 'open', t, sub, door: 'plain', node: 0, reader, user: reader, clean: true, present: false, ...more },
]

const at = (t: number, sub: number, seq: number, head: number): Event => ({
  k: 'ctl',
  t,
  sub,
  ctl: 'at',
  pos: position(seq),
  head: position(head),
  first: position(Math.min(1, head)),
})

const page = { k: 'page', node: 0, stream, next: position(5), head: position(5), upToDate: true, final: true } as const

const slice = { k: 'page', node: 0, stream, head: position(5), first: position(1) } as const
const backwards = [entries[3] as Sighting, entries[2] as Sighting]

/** Of a space that a member was withdrawn from, of a message between users, and of one that AWS has brought twice. */
const elsewhere: readonly Sighting[] = [
  [position(1), 'derived-10', 2_000, 'alice', 'once', 'spaces/team/a', 'm10 x', ''],
  [position(2), 'derived-acl', 2_001, 'alice', '~http', 'spaces/team/$acl', '{"withdrawn":"leaver"}', ''],
  [position(1), 'm11', 2_000, 'alice', 'put-r', 'inbox/bob/alice/x', 'm11 x', ''],
  [position(1), 'm11', 2_001, 'alice', 'put-r', 'outbox/alice/bob/x', 'm11 x', ''],
  [position(1), 'derived-12', 2_000, 'bob', '~mqtt', 'users/bob/a', 'm12 x', ''],
  [position(2), 'derived-13', 2_001, 'bob', '~mqtt', 'users/bob/a', 'm12 x', ''],
]

/** In order of time. */
export function smallRecord(): Event[] {
  const record: Event[] = [
    { k: 'run', t: 0, seed: 1, minutes: 0.001, nodes: 1, store: 'level', planted: null },
    { k: 'open', t: 1, sub: 1, door: 'sync', node: 0, reader: 'follow', user: 'alice', stream, filter: '#', from: 'earliest' },
    at(2, 1, 0, 0),
    ...plainOpen(3, 2, 'kept', { clean: false }),
    { k: 'subscribed', t: 4, call: 3.5, sub: 2, filter: `${stream}/#`, code: 1 },
    ...plainOpen(5, 3, 'exactly-a', { clean: false }),
    ...plainOpen(6, 6, 'intruder'),
    { k: 'subscribed', t: 7, call: 6.5, sub: 6, filter: 'users/bob/#', code: 0x80 },
    ...plainOpen(7.5, 7, 'guest'),
    { k: 'subscribed', t: 8, call: 7.7, sub: 7, filter: `${stream}/#`, code: 1 },
    ...plainOpen(8.5, 8, 'twin'),
    { k: 'subscribed', t: 9, call: 8.6, sub: 8, filter: `${stream}/#`, code: 1 },
    ...sends,
    { k: 'acked', t: 12, m: 1, conn: 1 },
    ...plains(7, 12.5, [1], false),
    ...plains(8, 12.6, [1], false),
    { k: 'acked', t: 15, m: 2, conn: 2 },
    { k: 'acked', t: 18, m: 3, conn: 3, pos: position(3), duplicate: false },
    { k: 'acked', t: 22, m: 4, conn: 3, pos: position(4), duplicate: false },
    send({ m: 5, t: 23, door: 'put', client: 'put-b', topic: `${stream}/c`, conn: 5, retain: true, id: 'm5', if: position(3) }),
    { k: 'refused', t: 25, m: 5, conn: 5, code: 'conflict', current: position(4) },
    { k: 'will', t: 27, m: 6, what: 'armed' },
    { k: 'will', t: 28, m: 6, what: 'ended' },
    send({ m: 7, t: 29, door: 'qos1', client: 'intruder', user: 'carol', topic: `${stream}/x`, conn: 6, forbidden: true }),
    send({ m: 20, t: 30.1, door: 'qos0', client: 'live', topic: `${stream}/live`, conn: 20 }),
    send({ m: 22, t: 30.2, door: 'qos0', client: 'live', topic: `${stream}/live`, conn: 20 }),
    { k: 'live', t: 30.3, sub: 1, topic: `${stream}/live`, text: 'm20 x' },
    { k: 'plain', t: 30.4, sub: 2, topic: `${stream}/live`, text: 'm20 x', dup: false, retain: false },
    { k: 'live', t: 30.5, sub: 1, topic: `${stream}/live`, text: 'm22 x' },
    { k: 'revoked', t: 31, call: 30, uid: 'guest' },
    { k: 'replaced', t: 32, sub: 8 },
    ...gots(1, 33),
    at(34, 1, 5, 5),
    ...plains(2, 35, [1, 2, 3], false),
    ...plainOpen(40, 4, 'kept', { clean: false, present: true }),
    ...plains(4, 41, [3], true),
    ...plains(4, 42, [4, 5], false),
    { ...page, t: 51, call: 50, after: 'earliest', first: position(1), entries },
    { ...page, t: 53, call: 52, state: true, first: '', entries: [entries[3] as Sighting] },
    { ...slice, t: 53.2, call: 53.1, reverse: true, before: position(5), next: position(3), upToDate: false, entries: backwards },
    { ...slice, t: 53.4, call: 53.3, since: 1_001, until: 1_003, next: position(3), upToDate: true, entries: entries.slice(1, 3) },
    { k: 'gone', t: 55, call: 54, node: 0, stream, after: 'epoch001.9.mk09', reason: 'ahead', head: position(5), first: position(1) },
    { k: 'open', t: 56, sub: 5, door: 'sync', node: 0, reader: 'final', user: 'alice', stream, filter: '#', from: 'earliest', final: true },
    at(57, 5, 0, 5),
    ...gots(5, 58),
    at(59, 5, 5, 5),
    ...plainOpen(59.2, 9, 'leaver'),
    { k: 'subscribed', t: 59.3, call: 59.2, sub: 9, filter: 'spaces/team/#', code: 1 },
    send({ m: 10, t: 59.31, door: 'qos1', client: 'once', stream: 'spaces/team', topic: 'spaces/team/a', conn: 10 }),
    { k: 'acked', t: 59.32, m: 10, conn: 10 },
    { k: 'plain', t: 59.33, sub: 9, topic: 'spaces/team/a', text: 'm10 x', dup: false, retain: false },
    { k: 'withdrawn', t: 59.36, call: 59.35, uid: 'leaver', stream: 'spaces/team', pos: position(2) },
    send({ m: 11, t: 59.4, door: 'put', client: 'put-r', stream: 'outbox/alice', topic: 'outbox/alice/bob/x', conn: 11, id: 'm11' }),
    { k: 'acked', t: 59.5, m: 11, conn: 11, pos: position(1) },
    send({ m: 12, t: 59.51, door: 'aws', user: 'bob', client: '~mqtt', stream: 'users/bob', topic: 'users/bob/a', conn: 12 }),
    { k: 'taken', t: 59.52, m: 12, conn: 12 },
    { k: 'open', t: 59.53, sub: 98, door: 'sdk', node: 0, reader: 'sdk', user: 'bob', stream: 'users/bob', filter: '#', from: 'earliest' },
    ...elsewhere.slice(-2).map((e, index): Event => ({ k: 'got', t: 59.54 + index / 100, sub: 98, e })),
    ...elsewhere.map((e, index): Event => ({ k: 'got', t: 59.6 + index / 100, sub: 99, e })),
    { k: 'settled', t: 60, missing: [] },
  ]
  return record.sort((a, b) => a.t - b.t)
}
