/** Chapter 13: limits that can be reached from outside. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustAnswer } from '../http.ts'
import { closesOnPublish, refusesFilter } from './topics.ts'

export const limits: readonly Check[] = [
  check(
    'P-13.2 P-1.19',
    'a topic of streamTopicLevelsMax levels is taken, a deeper one is refused',
    ['mqtt'],
    async ({ me, limits: { streamTopicLevelsMax } }) => {
      const missing = streamTopicLevelsMax - me.place.split('/').length
      const deepest = [me.place, ...Array<string>(missing).fill('x')].join('/')
      const wire = await me.listen(deepest)
      await wire.publish(deepest, 'deep')
      await wire.message(deepest)
      await refusesFilter(me, `${deepest}/x`)
      await closesOnPublish(me, `${deepest}/x`)
      return `${streamTopicLevelsMax} levels are delivered, one more is refused`
    },
    onAws.levels,
  ),
  check(
    'P-13.3 P-1.19',
    'a topic of streamTopicBytesMax bytes is taken, a longer one is refused',
    ['mqtt'],
    async ({ me, limits: { streamTopicBytesMax } }) => {
      const longest = `${me.place}/`.padEnd(streamTopicBytesMax, 'x')
      const wire = await me.listen(longest)
      await wire.publish(longest, 'long')
      await wire.message(longest)
      await refusesFilter(me, `${longest}x`)
      await closesOnPublish(me, `${longest}x`)
      return `${streamTopicBytesMax} bytes are delivered, one more is refused`
    },
    onAws.names,
  ),
  check(
    'P-13.6',
    'a packet above packetBytesMax closes the connection',
    ['mqtt'],
    async ({ me, limits: { packetBytesMax, filtersPerSubscribeMax } }) => {
      const wire = await me.connect()
      wire.publishNow(`${me.place}/x`, Buffer.alloc(packetBytesMax + 1))
      await wire.mustClose(`after a payload of ${packetBytesMax + 1} bytes`)
      must(!wire.packets.waiting.some(({ cmd }) => cmd === 'puback'), 'it was acknowledged')
      const told = `${packetBytesMax + 1} bytes close the connection`
      // Each is too long, for which alone it would get 0x80 [P-1.21]; AWS may close for that as well.
      const filters = Array.from({ length: Math.ceil((packetBytesMax + 1) / filterBytes) }, () => `${me.place}/`.padEnd(filterBytes, 'x'))
      if (me.isAws || filters.length > filtersPerSubscribeMax) return told
      const other = await me.connect()
      other.send({ cmd: 'subscribe', messageId: 900, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
      await other.mustClose(`after a SUBSCRIBE of more than ${packetBytesMax} bytes`, 'suback')
      return `${told}, and so does a SUBSCRIBE of ${filters.length * filterBytes}`
    },
  ),
  check('P-13.7', 'the largest payload comes back on the sync door', ['mqtt', 'http'], async ({ me, limits: { payloadBytesMax } }) => {
    const payload = Buffer.alloc(payloadBytesMax, 0xff)
    const wire = await me.listen(`sync/${me.place}/#`)
    await wire.publish(`${me.place}/x`, payload)
    const { json } = await wire.json((found) => 'id' in found, 'the envelope')
    must(json['base64'] === payload.toString('base64'), 'the envelope holds other bytes')
    same((await me.entries()).entries[0]?.['pos'], json['pos'], 'the position in the history')
    return `${payloadBytesMax} bytes that are no text, in one envelope`
  }),
  check(
    'P-13.8',
    'a SUBSCRIBE of filtersPerSubscribeMax filters is served, a longer one closes',
    ['mqtt'],
    async ({ me, limits: { filtersPerSubscribeMax } }) => {
      const filters = Array.from({ length: filtersPerSubscribeMax + 1 }, (_, at) => `${me.place}/f${at}`)
      const wire = await me.listen(...filters.slice(1))
      wire.send({ cmd: 'subscribe', messageId: 900, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
      await wire.mustClose(`after ${filters.length} filters in one SUBSCRIBE`, 'suback')
      return `${filtersPerSubscribeMax} filters are granted, ${filters.length} close the connection`
    },
  ),
  check(
    'P-13.9 P-12.21',
    'more than subscriptionsPerConnectionMax filters get 0x80',
    ['mqtt'],
    async ({ me, limits: { subscriptionsPerConnectionMax } }) => {
      const wire = await me.connect()
      const codes: number[] = []
      for (let at = 0; at <= subscriptionsPerConnectionMax; at++) codes.push(...(await wire.subscribe(`${me.place}/f${at}`)))
      same(codes.indexOf(0x80), subscriptionsPerConnectionMax, 'the first filter that was refused')
      await wire.unsubscribe(`${me.place}/f0`)
      same(await wire.subscribe(`${me.place}/again`), [1], 'SUBACK after an UNSUBSCRIBE')
      return `${subscriptionsPerConnectionMax} filters are granted, the next gets 0x80, until one is given up`
    },
    onAws.filters,
  ),
  check('P-13.31 P-13.30', 'a page has at most as many entries as asked for', ['http'], async ({ me }) => {
    for (let data = 0; data < 3; data++) await me.append('x', { data })
    const { entries } = await me.entries({ limit: '2' })
    same(entries.length, 2, 'entries of limit=2')
    mustAnswer(await me.ask(`/v1/streams/users/${encodeURIComponent(me.uid)}/entries`, { query: { limit: '1000' } }), 200, 'limit=1000')
    return 'limit=2: two entries; limit=1000: 200'
  }),
]

/** Nearly as long as a text in MQTT can be. */
const filterBytes = 60_000
