/** QoS 2 publishes stand in the log once. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { abandon, closeAll, testBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'

const topic = 'users/alice/a'

describe('QoS 2', () => {
  afterEach(closeAll)

  const pubrec = (messageId: number) => (packet: { cmd: string; messageId?: number | undefined }) =>
    packet.cmd === 'pubrec' && packet.messageId === messageId

  it('[P-4.3] logs a publish once that is sent again before its PUBREL', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    for (let at = 0; at < 4; at++) client.publishNow(topic, 'once', { qos: 2, messageId: 7, dup: at > 0 })
    await client.expect(pubrec(7), 'PUBREC')
    client.publishNow(topic, 'once', { qos: 2, messageId: 7, dup: true })
    await client.expect(pubrec(7), 'PUBREC again')
    client.send({ cmd: 'pubrel', messageId: 7 })
    await client.expect(({ cmd }) => cmd === 'pubcomp', 'PUBCOMP')
    expect((await it.log.stream('users/alice')).headSeq).to.equal(1)
    await client.publish(topic, 'another', { qos: 2, messageId: 7 })
    expect((await it.log.stream('users/alice')).headSeq).to.equal(2)
  })

  it('[P-8.3] writes PUBREC when the publish is on disk, and not before', async () => {
    const inner = new MemoryStore()
    const store = new GatedStore(inner)
    const it = await testBroker({ store })
    const client = await it.client('alice')
    const gate = store.hold(calls('commit'))
    client.publishNow(topic, 'kept', { qos: 2, messageId: 7 })
    await within(gate.reached, 'the commit')
    await client.ping()
    expect(client.inbox.waiting.map(({ cmd }) => cmd)).to.deep.equal([])
    gate.release()
    await client.expect(pubrec(7), 'PUBREC')
    store.crash()
    abandon(it)
    const again = await testBroker({ store: inner, folder: it.folder })
    expect((await again.log.stream('users/alice')).headSeq).to.equal(1)
    const failing = new GatedStore(new MemoryStore())
    const other = await testBroker({ store: failing })
    const unlucky = await other.client('alice')
    failing.fail(calls('commit'))
    unlucky.publishNow(topic, 'lost', { qos: 2, messageId: 7 })
    await unlucky.gone('the store did not take it')
    expect(unlucky.inbox.waiting).to.deep.equal([])
  })

  it('[P-4.3] answers a PUBREL of an unknown id, and two in one chunk', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    client.bytes(Buffer.from([0x62, 2, 0, 9, 0x62, 2, 0, 9]))
    await client.expect(({ cmd }) => cmd === 'pubcomp', 'PUBCOMP')
    await client.expect(({ cmd }) => cmd === 'pubcomp', 'the second PUBCOMP')
    await client.ping()
  })

  for (const how of ['a cut', 'a graceful restart', 'a crash'] as const) {
    it(`[P-4.3] logs once across ${how}, whether PUBREC was sent or not`, async () => {
      const inner = new MemoryStore()
      const store = new GatedStore(inner)
      let it = await testBroker({ store })
      const session = { clientId: 'phone', clean: false }
      let client = await it.client('alice', session)
      client.publishNow(topic, 'answered', { qos: 2, messageId: 1 })
      await client.expect(pubrec(1), 'PUBREC')
      const gate = store.hold(calls('commit'))
      client.publishNow(topic, 'not answered', { qos: 2, messageId: 2 })
      await within(gate.reached, 'the commit')
      client.destroy()
      if (how === 'a crash') {
        store.crash()
        abandon(it)
      }
      gate.release()
      if (how === 'a graceful restart') await it.close()
      if (how !== 'a cut') it = await testBroker({ store: inner, folder: it.folder })
      client = await it.client('alice', { ...session, present: true })
      for (const messageId of [1, 2]) {
        client.publishNow(topic, messageId === 1 ? 'answered' : 'not answered', { qos: 2, messageId, dup: true })
        await client.expect(pubrec(messageId), `PUBREC ${messageId}`)
        client.send({ cmd: 'pubrel', messageId })
        await client.expect((packet) => packet.cmd === 'pubcomp' && packet.messageId === messageId, `PUBCOMP ${messageId}`)
      }
      expect((await it.log.stream('users/alice')).headSeq).to.equal(2)
      expect(await it.store.documents.list('qos2', { limit: 10 })).to.deep.equal([])
    })
  }

  it('[P-4.3] a clean=1 connection forgets what was open', async () => {
    const it = await testBroker()
    const session = { clientId: 'phone', clean: false }
    const client = await it.client('alice', session)
    client.publishNow(topic, 'x', { qos: 2, messageId: 1 })
    await client.expect(pubrec(1), 'PUBREC')
    await client.disconnect()
    await (await it.client('alice', { clientId: 'phone' })).disconnect()
    expect(await it.store.documents.list('qos2', { limit: 10 })).to.deep.equal([])
    const again = await it.client('alice', { ...session, present: false })
    await again.publish(topic, 'x', { qos: 2, messageId: 1 })
    expect((await it.log.stream('users/alice')).headSeq).to.equal(2)
  })

  it('[P-13.17] closes a connection with too many publishes without PUBREL', async () => {
    const it = await testBroker({ limits: { qos2OpenMax: 10 } })
    const client = await it.client('alice')
    for (let at = 1; at <= 11; at++) client.publishNow(topic, 'x', { qos: 2, messageId: at })
    await client.gone('too many QoS 2 publishes are open')
    expect(it.refusals).to.include('tcp too-many-requests')
  })
})
