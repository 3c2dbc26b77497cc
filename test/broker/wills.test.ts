/** Wills: published once, when a connection ends without DISCONNECT. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { abandon, closeAll, testBroker, TestClock } from '../support/broker.ts'
import { GatedStore } from '../support/gated-store.ts'

const topic = 'users/alice/will'
const will = { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false }

describe('Wills', () => {
  afterEach(closeAll)

  it('[P-4.27] is published once for an abrupt end, a reset, a broken protocol and a take-over', async () => {
    const it = await testBroker()
    const witness = await it.client('alice', { clientId: 'witness' })
    await witness.subscribe(topic)
    const open = () => it.client('alice', { clientId: 'phone', will })
    ;(await open()).destroy()
    expect((await witness.message()).text).to.equal('gone')
    ;(await open()).bytes(Buffer.from([0xf0, 0]))
    expect((await witness.message()).text).to.equal('gone')
    await open()
    const newer = await it.client('alice', { clientId: 'phone' })
    expect((await witness.message()).text).to.equal('gone')
    await newer.disconnect()
    await witness.ping()
    expect(witness.unread()).to.deep.equal([])
    expect((await it.log.stream('users/alice')).headSeq).to.equal(3)
  })

  it('[P-4.27] is not published after DISCONNECT', async () => {
    const it = await testBroker()
    const client = await it.client('alice', { clientId: 'phone', will })
    await client.disconnect()
    await it.close()
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
    expect(await it.store.documents.list('wills', { limit: 10 })).to.deep.equal([])
  })

  it('[P-4.27] is published for silence beyond the keep-alive, for an expired token, and at a graceful stop', async () => {
    const clock = new TestClock()
    const store = new MemoryStore()
    const it = await testBroker({ clock, store, limits: { revocationBlindMs: 1e9 } })
    const witness = await it.client('alice', { clientId: 'witness', token: { ttlMs: 3_600_000 } })
    await witness.subscribe(topic)
    await it.client('alice', { clientId: 'a', will, keepalive: 5 })
    await it.client('alice', { clientId: 'b', will, token: { ttlMs: 60_000 } })
    clock.ms += 8_000
    expect((await witness.message()).text).to.equal('gone')
    clock.ms += 60_000
    expect((await witness.message()).text).to.equal('gone')
    await it.client('alice', { clientId: 'c', will })
    await it.close()
    const again = await testBroker({ store, folder: it.folder })
    expect((await again.log.stream('users/alice')).headSeq).to.equal(3)
  })

  it('[P-4.27] is published once for whoever was welcomed, also where the server stops in the same moment', async () => {
    const store = new MemoryStore()
    const it = await testBroker({ store })
    const welcomed: string[] = []
    const opening = Array.from({ length: 60 }, async (_, number) => {
      const payload = Buffer.from(`of ${number}`)
      try {
        await it.client('alice', { clientId: `${number}`, will: { ...will, payload } })
        welcomed.push(payload.toString())
      } catch (error) {
        // Who came too late for the server is not its concern.
        if (!(error instanceof Error)) throw error
      }
    })
    await Promise.race(opening)
    await it.close()
    await Promise.all(opening)
    const again = await testBroker({ store, folder: it.folder })
    const reader = await again.client('alice', { clientId: 'reader' })
    await reader.subscribe('sync@earliest/users/alice/#')
    const { headSeq } = await again.log.stream('users/alice')
    const published: unknown[] = []
    while (published.length < headSeq) {
      const { ctl, text } = JSON.parse((await reader.message()).text) as { readonly ctl?: string; readonly text?: string }
      if (ctl === undefined) published.push(text)
    }
    expect(published).to.include.members(welcomed)
    expect(new Set(published).size).to.equal(published.length)
  })

  it('[P-4.27] is published once after an unclean stop', async () => {
    const inner = new MemoryStore()
    const store = new GatedStore(inner)
    const it = await testBroker({ store })
    for (const clientId of ['a', 'b', 'c']) await it.client('alice', { clientId, will: { ...will, payload: Buffer.from(clientId) } })
    store.crash()
    abandon(it)
    for (let starts = 0; starts < 2; starts++) {
      const restarted = await testBroker({ store: inner, folder: it.folder })
      const reader = await restarted.client('alice', { clientId: 'reader' })
      await reader.subscribe('sync@earliest/users/alice/#')
      await reader.message()
      expect((await restarted.log.stream('users/alice')).headSeq).to.equal(3)
      await restarted.close()
    }
  })

  it('[P-4.27] follows its QoS and retain flag', async () => {
    const it = await testBroker()
    const witness = await it.client('alice', { clientId: 'witness' })
    await witness.subscribe('users/alice/#')
    for (const [qos, retain] of [
      [0, false],
      [0, true],
      [2, true],
    ] as const) {
      ;(await it.client('alice', { clientId: 'phone', will: { ...will, qos, retain } })).destroy()
      expect(await witness.message()).to.include({ text: 'gone', qos: Math.min(qos, 1) })
    }
    expect((await it.log.stream('users/alice')).headSeq).to.equal(2)
    const late = await it.client('alice', { clientId: 'late' })
    await late.subscribe(topic)
    expect(await late.message()).to.include({ text: 'gone', retain: true })
  })

  it('[P-4.28] is dropped when its author may no longer publish it', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', will })
    const admin = await it.authority.authenticate(await it.token('admin', { grants: ['ops:revoke'] }), undefined)
    await it.authority.revoke(admin, { uid: 'alice' })
    await phone.gone('its user was revoked')
    await it.lines.take(({ message }) => message.includes('will was not published'), 'a log line')
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
  })

  it('[P-4.28] is judged by the grants of the moment', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', {
      clientId: 'phone',
      token: { spaces: { board: 'write' } },
      will: { ...will, topic: 'spaces/board/will' },
    })
    await phone.subscribe('reply/phone/#')
    await phone.publish('auth/renew', await it.token('alice'))
    phone.destroy()
    await it.lines.take(({ message }) => message.includes('will was not published'), 'a log line')
    expect((await it.log.stream('spaces/board')).headSeq).to.equal(0)
  })

  it('[P-4.27] of a session that is taken over comes before the newer connection is served', async () => {
    const it = await testBroker()
    const phone = { clientId: 'phone', clean: false }
    const old = await it.client('alice', { ...phone, will })
    await old.subscribe('users/alice/#')
    const newer = await it.client('alice', { ...phone, present: true })
    expect((await newer.message()).text).to.equal('gone')
  })
})
