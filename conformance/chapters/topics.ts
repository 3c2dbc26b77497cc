/** Chapter 1: streams and topics. */
import type { Attempt } from '../attempt.ts'
import { check, must, NotApplicable, NotTried, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustRefuse } from '../http.ts'
import { seqOf } from '../positions.ts'
import type { Wire } from '../wire.ts'

export const topics: readonly Check[] = [
  check('P-1.1', 'entries of a stream are numbered without a gap', ['http'], async ({ me }) => {
    const before = await me.head()
    for (const text of ['one', 'two', 'three']) await me.append('numbered', { text })
    const stream = await me.entries({ after: before, topic: '#', limit: '1000' })
    const seqs = stream.entries.map((entry) => seqOf(entry['pos']))
    must(seqs.length >= 3, `after three appends the history has ${seqs.length} entries more`)
    same(
      seqs,
      seqs.map((_seq, at) => seqOf(before) + 1 + at),
      'the numbers of the entries',
    )
    return `three entries later the stream goes on as ${seqs.join(', ')}`
  }),
  check('P-1.11 P-11.13', 'a uid that is not in canonical form is refused', ['http'], async ({ me }) => {
    // `a` never needs encoding.
    mustRefuse(await me.ask('/v1/streams/users/=61lice/entries'), 400, 'bad-topic', 'the stream users/=61lice')
    mustRefuse(await me.ask(`/v1/streams/gardens/${me.uid}/entries`), 404, 'not-found', 'a kind that is none')
    return 'users/=61lice is bad-topic, a kind that is none is not-found'
  }),
  check('P-1.11', 'a filter on a uid that is not in canonical form gets 0x80', ['mqtt'], ({ me }) => refusesFilter(me, 'users/=61lice/#')),
  check(
    'P-1.15',
    'an empty level is refused',
    ['mqtt'],
    async ({ me }) => {
      await refusesFilter(me, `${me.place}//x`)
      return await closesOnPublish(me, `${me.place}//x`)
    },
    onAws.names,
  ),
  check(
    'P-1.16',
    'the bare name of a stream is no topic',
    ['mqtt'],
    async ({ me }) => {
      await refusesFilter(me, me.stream)
      return await closesOnPublish(me, me.stream)
    },
    onAws.names,
  ),
  check(
    'P-1.17',
    'a level that begins with $ is refused',
    ['mqtt'],
    async ({ me }) => {
      await refusesFilter(me, `${me.place}/$x/y`)
      return await closesOnPublish(me, `${me.place}/$x/y`)
    },
    onAws.names,
  ),
  check(
    'P-1.18',
    'the characters * and ? are refused',
    ['mqtt'],
    async ({ me }) => {
      await refusesFilter(me, `${me.place}/a*`)
      await closesOnPublish(me, `${me.place}/a*`)
      return await closesOnPublish(me, `${me.place}/a?`)
    },
    onAws.names,
  ),
  check(
    'P-1.20',
    'a topic with NUL closes the connection',
    ['mqtt'],
    ({ me }) => closesOnBytes(me, 0x00, 'a PUBLISH whose topic has NUL in it'),
    onAws.names,
  ),
  check(
    'P-1.20',
    'a topic that is not UTF-8 closes the connection',
    ['mqtt'],
    ({ me }) => closesOnBytes(me, 0xff, 'a PUBLISH whose topic is not UTF-8'),
    onAws.names,
  ),
  check('P-1.21', 'a topic longer than topicBytesMax closes, a longer filter gets 0x80', ['mqtt'], async ({ me, limits }) => {
    const long = `${me.place}/${'x'.repeat(limits.topicBytesMax)}`
    await refusesFilter(me, long)
    return await closesOnPublish(me, long)
  }),
  check('P-1.22', '$SYS and $share are refused as filters: no shared subscriptions', ['mqtt'], async ({ me }) => {
    await refusesFilter(me, '$SYS/#')
    return await refusesFilter(me, `$share/group/${me.place}/#`)
  }),
  check('P-1.23', 'nobody publishes to sync or reply', ['mqtt'], async ({ me }) => {
    const wire = await me.connect()
    await closesOnPublish(me, `sync/${me.place}/x`)
    await closesOnPublish(me, `sync@earliest/${me.place}/x`)
    await wire.disconnect()
    return await closesOnPublish(me, `reply/${wire.clientId}/x`)
  }),
  check('P-1.23', 'nobody subscribes to put or auth', ['mqtt'], async ({ me }) => {
    await refusesFilter(me, `put/${me.place}/#`)
    return await refusesFilter(me, 'auth/#')
  }),
  check('P-1.24', 'where open is off, a topic without a reserved first level is refused', ['mqtt', 'http'], async (attempt) => {
    if (await isOpen(attempt)) throw new NotApplicable('open is on here')
    await refusesFilter(attempt.me, `${attempt.deployment.root}/#`)
    return await closesOnPublish(attempt.me, `${attempt.deployment.root}/x`)
  }),
  check('P-1.25 P-1.27', 'in open only the rules of MQTT hold, and HTTP calls it open/-', ['mqtt', 'http'], async (attempt) => {
    if (!(await isOpen(attempt))) throw new NotApplicable('open is off here')
    const { me, deployment } = attempt
    const wire = await me.listen(`${deployment.root}/#`)
    await wire.publish(`${deployment.root}//x`, 'open')
    await wire.message(`${deployment.root}//x`)
    const { json } = await me.ask('/v1/streams/open/-/entries', { query: { topic: `${deployment.root}/#`, limit: '1' } })
    same((json['entries'] as { topic: string }[])[0]?.topic, `${deployment.root}//x`, 'the topic in the history of open/-')
    return `${deployment.root}//x is delivered, and stands in open/-`
  }),
  check('P-1.30', 'a filter across streams needs the grant tap', ['mqtt', 'http'], async ({ me }) => {
    if (me.scope.includes('tap')) throw new NotTried('the token has the grant tap')
    await refusesFilter(me, 'users/#')
    return await refusesFilter(me, 'users/+/x')
  }),
  check('P-1.33', 'the sync door and HTTP take no wildcard for the stream', ['mqtt', 'http'], async ({ me }) => {
    await refusesFilter(me, 'sync/users/+/x')
    const { status } = await me.ask('/v1/streams/users/+/entries')
    must(status === 400, `the history of users/+ was answered ${status}`)
    return 'sync/users/+/x gets 0x80, the history of users/+ 400'
  }),
  check('P-1.34', 'reading a stream that was never written to is no error', ['http'], async ({ me }) => {
    const { status, json } = await me.ask(`/v1/streams/outbox/${encodeURIComponent(me.uid)}/entries`, { query: { limit: '0' } })
    must(status === 200, `the outbox was answered ${status}`)
    const [head, first] = [seqOf(json['head']), seqOf(json['first'])]
    must(first <= head, `first ${first} is after head ${head}`)
    return `the outbox stands at ${String(json['head'])}`
  }),
]

/** A filter of its own SUBSCRIBE, which must be refused while the connection stays; AWS may close that instead. */
export async function refusesFilter(me: Attempt['me'], filter: string): Promise<string> {
  const wire = await me.connect()
  if (me.isAws) return await deniesFilter(wire, filter)
  const codes = await wire.subscribe(filter)
  same(codes, [0x80], `SUBACK of ${filter}`)
  await wire.ping()
  await wire.disconnect()
  return `${filter} gets 0x80, and the connection stays`
}

async function deniesFilter(wire: Wire, filter: string): Promise<string> {
  const codes = await wire.subscribe(filter).catch((error: unknown) => {
    if (wire.isClosed) return undefined
    throw error
  })
  if (codes === undefined) return `${filter} closes the connection`
  same(codes, [0x80], `SUBACK of ${filter}`)
  return `${filter} gets 0x80`
}

/** A PUBLISH that must not be acknowledged, and ends its connection. */
export async function closesOnPublish(me: Attempt['me'], topic: string, payload = 'refused'): Promise<string> {
  const wire = await me.connect()
  wire.publishNow(topic, payload)
  await wire.mustClose(`after a PUBLISH to ${topic.slice(0, 60)}`, 'puback')
  return `a PUBLISH to ${topic.slice(0, 60)} closes the connection, without PUBACK`
}

async function closesOnBytes(me: Attempt['me'], byte: number, what: string): Promise<string> {
  const wire = await me.connect()
  const topic = Buffer.concat([Buffer.from(`${me.place}/x`), Buffer.from([byte])])
  const rest = Buffer.concat([Buffer.from([topic.length >> 8, topic.length & 255]), topic, Buffer.from([0, 1]), Buffer.from('x')])
  wire.sendBytes(Buffer.concat([Buffer.from([0x32, rest.length]), rest]), what)
  await wire.mustClose(`after ${what}`, 'puback')
  return `${what} closes the connection`
}

async function isOpen({ me }: Attempt): Promise<boolean> {
  return (await me.ask('/v1/streams/open/-/entries', { query: { limit: '0' } })).status === 200
}
