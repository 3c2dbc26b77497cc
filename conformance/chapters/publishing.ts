/** Chapter 4, publishing on the plain door. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { closesOnPublish } from './topics.ts'

export const publishing: readonly Check[] = [
  check(
    'P-4.2 P-8.1 P-8.2',
    'a PUBACK means that the entry is stored: the history shows it at once',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.connect()
      for (const text of ['one', 'two', 'three']) {
        await wire.publish(`${me.place}/x`, text)
        same((await me.entries()).entries.at(-1)?.['text'], text, 'the newest entry right after the PUBACK')
      }
      return 'three times PUBACK, then the entry in the history'
    },
    onAws.acknowledgement,
  ),
  check(
    'P-4.3 P-8.3',
    'QoS 2 sent again with the same packet id is stored once',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.connect()
      for (const dup of [false, true]) {
        wire.publishNow(`${me.place}/x`, 'exactly once', { qos: 2, messageId: 7, dup })
        await wire.acknowledged('pubrec', 7)
        same((await me.entries()).entries.length, 1, 'entries after the PUBREC')
      }
      await wire.release(7)
      await wire.publish(`${me.place}/x`, 'another', { qos: 2, messageId: 7 })
      same(
        (await me.entries()).entries.map(({ text }) => text),
        ['exactly once', 'another'],
        'the history',
      )
      return 'twice PUBLISH, twice PUBREC, one entry; the packet id is free after PUBCOMP'
    },
    onAws.qos2,
  ),
  check(
    'P-4.3',
    'in a kept session QoS 2 is stored once also over two connections',
    ['mqtt', 'http'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const first = await me.connect({ clean: false, clientId })
      first.publishNow(`${me.place}/x`, 'exactly once', { qos: 2, messageId: 9 })
      await first.acknowledged('pubrec', 9)
      first.cut()
      const second = await me.connect({ clean: false, clientId })
      second.publishNow(`${me.place}/x`, 'exactly once', { qos: 2, messageId: 9, dup: true })
      await second.acknowledged('pubrec', 9)
      await second.release(9)
      same((await me.entries()).entries.length, 1, 'entries')
      return 'PUBLISH, cut, PUBLISH with DUP: one entry'
    },
    onAws.qos2,
  ),
  check(
    'P-4.4',
    'a QoS 0 publish with retain is stored',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.connect()
      await wire.publish(`${me.place}/x`, 'retained', { qos: 0, retain: true })
      // What one connection publishes to one stream is appended in the order sent [P-8.9].
      await wire.publish(`${me.place}/y`, 'after it')
      same(
        (await me.entries()).entries.map(({ text }) => text),
        ['retained', 'after it'],
        'the history',
      )
      return 'the history and the state have it'
    },
    onAws.retain,
  ),
  check('P-4.5 P-12.12', 'a publish without a grant is not acknowledged, and closes the connection', ['mqtt'], ({ me, strangerUid }) =>
    closesOnPublish(me, `users/${strangerUid}/x`),
  ),
  check(
    'P-4.5',
    'what came before a refused publish is stored, what comes after it is not',
    ['mqtt', 'http'],
    async ({ me, strangerUid }) => {
      const wire = await me.connect()
      wire.sendTogether(
        wire.publishPacket(`${me.place}/x`, 'before'),
        wire.publishPacket(`users/${strangerUid}/x`, 'refused'),
        wire.publishPacket(`${me.place}/x`, 'after'),
      )
      await wire.mustClose('after the refused publish')
      // That it is closed does not say that what came before is on disk already.
      const { entries } = await me.stored(1)
      same(
        entries.map(({ text }) => text),
        ['before'],
        'the history',
      )
      const acknowledged = wire.packets.waiting.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId)
      must(!acknowledged.includes(2) && !acknowledged.includes(3), `acknowledged: ${acknowledged.join(', ')}`)
      return `one entry; PUBACKs for ${acknowledged.join(', ') || 'none'}`
    },
    onAws.order,
  ),
  check(
    'P-4.6 P-7.20',
    'PUBACKs come in the order of their PUBLISH packets',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect()
      const ids = [11, 4, 300, 2, 65_535, 5]
      wire.sendTogether(...ids.map((messageId) => wire.publishPacket(`${me.place}/x`, `#${messageId}`, { messageId })))
      await wire.acknowledged('puback', 5)
      const before = wire.packets.waiting.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId)
      same([...before, 5], ids, 'the order of the PUBACKs')
      return `packet ids ${ids.join(', ')} in one write, acknowledged in that order`
    },
    onAws.acknowledgement,
  ),
  check('P-4.1 P-3.8', 'payloads pass untouched', ['mqtt'], async ({ me }) => {
    const wire = await me.listen(`${me.place}/#`)
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at))
    await wire.publish(`${me.place}/x`, bytes)
    const message = await wire.message(`${me.place}/x`)
    must(message.bytes.equals(bytes), `256 bytes came back as ${message.bytes.length} others`)
    return 'all 256 values of a byte came back'
  }),
  check(
    'P-4.29',
    '$acl and $erased of a stream are the server’s',
    ['mqtt'],
    async ({ me }) => {
      await closesOnPublish(me, `${me.stream}/$erased`)
      return await closesOnPublish(me, `${me.stream}/$acl`)
    },
    onAws.names,
  ),
]
