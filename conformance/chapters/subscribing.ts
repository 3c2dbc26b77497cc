/** Chapter 4, subscribing on the plain door. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { refusesFilter } from './topics.ts'

export const subscribing: readonly Check[] = [
  check(
    'P-4.7',
    'QoS 1 is granted at most, and delivery is at the lower QoS',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect()
      same(await wire.subscribe(`${me.place}/two`, 2), [1], 'SUBACK of a filter at QoS 2')
      same(await wire.subscribe(`${me.place}/none`, 0), [0], 'SUBACK of a filter at QoS 0')
      await wire.publish(`${me.place}/two`, 'x', { qos: 2 })
      await wire.publish(`${me.place}/none`, 'x')
      await wire.publish(`${me.place}/two`, 'x', { qos: 0 })
      const qos = [await wire.message(), await wire.message(), await wire.message()].map((message) => message.qos)
      same(qos, [1, 0, 0], 'QoS of the deliveries')
      return 'granted 1 and 0; delivered at 1, 0 and 0'
    },
    onAws.qos2,
  ),
  check(
    'P-4.8',
    'each filter of a SUBSCRIBE is judged by itself',
    ['mqtt'],
    async ({ me, strangerUid }) => {
      const wire = await me.connect()
      const codes = await wire.subscribe([`${me.place}/a`, `users/${strangerUid}/#`, `${me.place}/b`])
      same(codes, [1, 0x80, 1], 'SUBACK')
      for (const level of ['a', 'b']) {
        await wire.publish(`${me.place}/${level}`, level)
        same((await wire.message()).topic, `${me.place}/${level}`, 'delivered')
      }
      return 'SUBACK 1 128 1, and both others deliver'
    },
    onAws.denied,
  ),
  check('P-4.9 P-12.7', 'a filter beyond the grants gets 0x80', ['mqtt'], ({ me, strangerUid }) =>
    refusesFilter(me, `users/${strangerUid}/#`),
  ),
  check(
    'P-4.10',
    'an entry that matches several filters comes once, at the highest QoS',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect()
      await wire.subscribe(`${me.place}/#`, 0)
      await wire.subscribe(`${me.place}/+`, 1)
      await wire.subscribe(`${me.place}/x`, 0)
      await wire.publish(`${me.place}/x`, 'once')
      await wire.publish(`${me.place}/end`, 'end')
      same(
        [await wire.message(), await wire.message()].map(({ text, qos }) => [text, qos]),
        [
          ['once', 1],
          ['end', 1],
        ],
        'deliveries',
      )
      return 'three filters, one delivery at QoS 1'
    },
    onAws.order,
  ),
  check(
    'P-4.11',
    'entries come in the order of the log',
    ['mqtt', 'http'],
    async ({ me }) => {
      const reader = await me.listen(`${me.place}/#`)
      const [one, two] = [await me.connect(), await me.connect()]
      for (let at = 0; at < 20; at++)
        for (const [name, wire] of [
          ['a', one],
          ['b', two],
        ] as const)
          wire.publishNow(`${me.place}/${name}`, `${name}${at}`)
      const heard: string[] = []
      for (let at = 0; at < 40; at++) heard.push((await reader.message()).text)
      same(
        heard,
        (await me.entries()).entries.map(({ text }) => text),
        'live, beside the history',
      )
      return '40 entries of two publishers, live in the order of the history'
    },
    onAws.order,
  ),
  check(
    'P-4.12 P-4.13',
    'retained messages come first with the flag, also on wildcards; live ones without',
    ['mqtt'],
    async ({ me }) => {
      const writer = await me.connect()
      for (const level of ['a', 'b', 'b/c']) await writer.publish(`${me.place}/kept/${level}`, level, { retain: true })
      const reader = await me.connect()
      await reader.follow(`${me.place}/kept/#`)
      const kept = [await reader.message(), await reader.message(), await reader.message()]
      same(kept.map(({ text, retain }) => `${text} ${retain}`).sort(), ['a true', 'b true', 'b/c true'], 'retained messages')
      await writer.publish(`${me.place}/kept/a`, 'changed', { retain: true })
      const live = await reader.message()
      same([live.text, live.retain], ['changed', false], 'the live one')
      const narrow = await me.listen(`${me.place}/kept/+`)
      same(
        [await narrow.message(), await narrow.message()].map(({ text, retain }) => `${text} ${retain}`).sort(),
        ['b true', 'changed true'],
        'on +',
      )
      return 'three retained on #, two on +, the live change with retain 0'
    },
    onAws.retained,
  ),
  check(
    'P-4.12',
    'a filter ending in /# matches the level above it',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.listen(`${me.place}/a/#`)
      await wire.publish(`${me.place}/a`, 'parent')
      await wire.publish(`${me.place}/ab`, 'sibling')
      await wire.publish(`${me.place}/a/b`, 'child')
      same([(await wire.message()).text, (await wire.message()).text], ['parent', 'child'], 'deliveries on a/#')
      return 'a and a/b come, ab does not'
    },
    onAws.parent,
  ),
  check(
    'P-4.12',
    'nothing is lost or doubled between retained and live messages',
    ['mqtt'],
    async ({ me }) => {
      const writer = await me.connect()
      await writer.publish(`${me.place}/n`, '0', { retain: true })
      const reader = await me.connect()
      for (let n = 1; n <= 30; n++) writer.publishNow(`${me.place}/n`, String(n), { retain: true })
      await reader.follow(`${me.place}/#`)
      writer.publishNow(`${me.place}/n`, '31', { retain: true })
      const heard: number[] = []
      while (heard.at(-1) !== 31) heard.push(Number((await reader.message()).text))
      must(
        heard.every((n, at) => at === 0 || n === (heard[at - 1] as number) + 1),
        `heard ${heard.join(', ')}`,
      )
      return `subscribed while 31 changes were made: heard ${heard[0]} to ${heard.at(-1)} without a gap`
    },
    onAws.retained,
  ),
  check(
    'P-4.14',
    'subscribing the same filter again sends retained messages again',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect()
      await wire.publish(`${me.place}/kept`, 'kept', { retain: true })
      for (let time = 0; time < 2; time++) {
        await wire.follow(`${me.place}/kept`)
        const { text, retain } = await wire.message()
        same([text, retain], ['kept', true], `the retained message, SUBSCRIBE ${time + 1}`)
      }
      return 'twice SUBSCRIBE, twice the retained message'
    },
    onAws.retained,
  ),
  check('P-4.12', 'UNSUBSCRIBE ends a filter', ['mqtt'], async ({ me }) => {
    const wire = await me.listen(`${me.place}/a`, `${me.place}/b`)
    await wire.unsubscribe(`${me.place}/a`)
    await wire.publish(`${me.place}/a`, 'not heard')
    await wire.publish(`${me.place}/b`, 'heard')
    same((await wire.message()).text, 'heard', 'the next message')
    return 'nothing more comes on it, the other one delivers'
  }),
]
