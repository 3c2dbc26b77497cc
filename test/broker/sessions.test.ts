/** Sessions: places in the log that outlive their connection. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { abandon, closeAll, TestClock, testBroker, type TestBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'
import { within } from '../support/waiting.ts'

const topic = 'users/alice/notes/1'

describe('Sessions', () => {
  afterEach(closeAll)

  const texts = (messages: readonly { text: string }[]): string[] => messages.map(({ text }) => text)

  it('[P-4.17] gives a returning client everything after its place, in order, before anything newer', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false, present: false })
    expect(await phone.subscribe('users/alice/#')).to.deep.equal([1])
    await phone.disconnect()
    const desk = await it.client('alice', { clientId: 'desk' })
    const wanted = Array.from({ length: 300 }, (_unused, index) => `m${index}`)
    for (const text of wanted.slice(0, 200)) desk.publishNow(topic, text)
    await desk.expect(({ cmd, messageId }) => cmd === 'puback' && messageId === 200, 'the last PUBACK')
    const back = it.client('alice', { clientId: 'phone', clean: false, present: true })
    for (const text of wanted.slice(200)) desk.publishNow(topic, text)
    const messages = await (await back).messages(300)
    expect(texts(messages)).to.deep.equal(wanted)
    expect(messages.every(({ qos, retain }) => qos === 1 && !retain)).to.equal(true)
  })

  it('[P-4.21] says session present exactly if the session is kept, also one without filters', async () => {
    const it = await testBroker()
    await (await it.client('alice', { clientId: 'phone', clean: false, present: false })).disconnect()
    await (await it.client('alice', { clientId: 'phone', clean: false, present: true })).disconnect()
    await (await it.client('alice', { clientId: 'phone', clean: true, present: false })).disconnect()
    await (await it.client('alice', { clientId: 'phone', clean: false, present: false })).disconnect()
  })

  it('[P-4.25] forgets filters and place with clean=1', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    await phone.disconnect()
    const clean = await it.client('alice', { clientId: 'phone', clean: true })
    await clean.disconnect()
    const again = await it.client('alice', { clientId: 'phone', clean: false, present: false })
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'lost on nobody')
    await again.ping()
    expect(again.unread()).to.deep.equal([])
  })

  it('[P-4.25, P-13.24] removes a session that nobody came back to', async () => {
    const clock = new TestClock()
    const store = new MemoryStore()
    const first = await testBroker({ store, clock })
    const phone = await first.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    await phone.disconnect()
    await first.close()
    clock.ms += 29 * 24 * 3_600_000
    const second = await testBroker({ store, clock, folder: first.folder })
    await (await second.client('alice', { clientId: 'phone', clean: false, present: true })).disconnect()
    await second.close()
    clock.ms += 31 * 24 * 3_600_000
    const third = await testBroker({ store, clock, folder: first.folder })
    await third.client('alice', { clientId: 'phone', clean: false, present: false })
  })

  it('[P-4.25] keeps a session that was connected until a crash, however long nothing came for it', async () => {
    const clock = new TestClock()
    const inner = new MemoryStore()
    const store = new GatedStore(inner)
    const limits = { sessionExpiryMs: 60_000, cursorFlushMs: 20, revocationBlindMs: 3_600_000 }
    const it = await testBroker({ store, clock, limits })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    const gate = store.hold(calls('documents.put', 'sessions'))
    clock.ms += 40_000
    await within(gate.reached, 'the session to be stored again')
    gate.release()
    await nextTurn()
    expect((await inner.documents.get('sessions', 'alice/phone'))?.value).to.include({ seenMs: clock.ms })
    store.crash()
    abandon(it)
    clock.ms += 40_000
    const again = await testBroker({ store: inner, clock, limits, folder: it.folder })
    await again.client('alice', { clientId: 'phone', clean: false, present: true })
  })

  it('[P-4.16] keeps sessions of two users with one client id apart', async () => {
    const it = await testBroker()
    const alice = await it.client('alice', { clientId: 'same', clean: false })
    const bob = await it.client('bob', { clientId: 'same', clean: false, present: false })
    await alice.subscribe('users/alice/#')
    await bob.subscribe('users/bob/#')
    await alice.publish(topic, 'for alice')
    await bob.publish('users/bob/a', 'for bob')
    expect((await alice.message()).text).to.equal('for alice')
    expect((await bob.message()).text).to.equal('for bob')
    expect(alice.isClosed).to.equal(false)
  })

  it('[P-4.18] moves its place over what was acknowledged, and repeats the rest with DUP', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    phone.acknowledges = false
    const desk = await it.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 6; at++) await desk.publish(topic, `m${at}`)
    const first = await phone.messages(6)
    // Out of order, with a hole at m2.
    for (const at of [1, 0, 3]) phone.send({ cmd: 'puback', messageId: first[at]?.messageId as number })
    await phone.disconnect()
    await desk.publish(topic, 'm6')
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    const again = await back.messages(5)
    expect(texts(again)).to.deep.equal(['m2', 'm3', 'm4', 'm5', 'm6'])
    expect(again.map(({ dup }) => dup)).to.deep.equal([true, true, true, true, false])
  })

  it('[P-4.18] counts what was delivered at QoS 0 as acknowledged', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    expect(await phone.subscribe('users/alice/#', 0)).to.deep.equal([0])
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'seen')
    await phone.message()
    await phone.disconnect()
    await desk.publish(topic, 'new')
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    const message = await back.message()
    expect(message).to.include({ text: 'new', qos: 0 })
  })

  it('[P-4.15] writes the SUBACK of a clean=0 session only after its filters are stored', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    const gate = store.hold(calls('documents.put', 'sessions'))
    const suback = phone.subscribe('users/alice/#')
    await within(gate.reached, 'the session to be stored')
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.ping()
    expect(phone.inbox.all.map(({ cmd }) => cmd)).to.deep.equal(['connack'])
    gate.release()
    expect(await suback).to.deep.equal([1])
  })

  it('[P-4.12] sends retained messages first, also when entries come while the SUBACK waits for the disk', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'old', { retain: true })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    const gate = store.hold(calls('documents.put', 'sessions'))
    const suback = phone.subscribe('users/alice/#')
    await within(gate.reached, 'the session to be stored')
    await desk.publish(topic, 'new', { retain: true })
    gate.release()
    await suback
    const messages = await phone.messages(2)
    expect(messages.map(({ text, retain }) => `${text} ${retain}`)).to.deep.equal(['old true', 'new false'])
    expect(phone.inbox.all.map(({ cmd }) => cmd)).to.deep.equal(['connack', 'suback', 'publish', 'publish'])
  })

  it('[MQTT-3.2.0-1] sends nothing before the CONNACK, also when entries come while a session is restored', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    await phone.disconnect()
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'one')
    const gate = store.hold(calls('documents.put', 'sessions'))
    const back = await it.raw()
    const connack = back.connect({ clientId: 'phone', clean: false, password: await it.token('alice') })
    await within(gate.reached, 'the restored session to be stored')
    await desk.publish(topic, 'two')
    gate.release()
    expect(await connack).to.include({ returnCode: 0, sessionPresent: true })
    expect(texts(await back.messages(2))).to.deep.equal(['one', 'two'])
    expect(back.inbox.all[0]?.cmd).to.equal('connack')
  })

  describe('when a connection ends while its session is being restored', () => {
    /** A kept session with a backlog, on a server that has not read its stream yet. */
    async function restarted(store: GatedStore): Promise<TestBroker> {
      const first = await testBroker({ store })
      const phone = await first.client('alice', { clientId: 'phone', clean: false })
      await phone.subscribe('users/alice/#')
      await phone.disconnect()
      const desk = await first.client('alice', { clientId: 'desk' })
      await desk.publish(topic, 'kept')
      await first.close()
      return await testBroker({ store, folder: first.folder })
    }

    async function connecting(it: TestBroker): Promise<RawClient> {
      const client = await it.raw()
      client.connect({ clientId: 'phone', clean: false, password: await it.token('alice') }).catch(() => {}) // Cut off before its answer.
      return client
    }

    it('[P-4.17] its filters and place stay as they were', async () => {
      const store = new GatedStore(new MemoryStore())
      const it = await restarted(store)
      const gate = store.hold(calls('load', 'users/alice'))
      const cut = await connecting(it)
      await within(gate.reached, 'the stream to be read')
      cut.destroy()
      await it.lines.take(({ message }) => message.startsWith('closed:'), 'the server to notice the end')
      gate.release()
      const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
      expect((await back.message()).text).to.equal('kept')
    })

    it('[P-4.26] the connection that comes after it is served, and stays', async () => {
      const store = new GatedStore(new MemoryStore())
      const it = await restarted(store)
      const gate = store.hold(calls('load', 'users/alice'))
      const cut = await connecting(it)
      await within(gate.reached, 'the stream to be read')
      const back = it.client('alice', { clientId: 'phone', clean: false, present: true })
      await it.lines.take(({ message }) => message.includes('taken over'), 'the older connection to be closed')
      gate.release()
      await cut.gone('it was taken over')
      const phone = await back
      expect((await phone.message()).text).to.equal('kept')
      await phone.ping()
      expect(it.broker.stats()).to.include({ connections: 1, sessions: 1 })
    })

    it('[P-4.17] a store that fails meanwhile costs no filter', async () => {
      const store = new GatedStore(new MemoryStore())
      const it = await restarted(store)
      const mend = store.fail(calls('load', 'users/alice'))
      const refused = await it.raw()
      const connack = await refused.connect({ clientId: 'phone', clean: false, password: await it.token('alice') })
      expect(connack.returnCode).to.equal(3)
      await refused.gone('its session cannot be read')
      mend()
      const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
      expect((await back.message()).text).to.equal('kept')
    })

    it('[P-4.27] its will is neither published later nor left behind', async () => {
      const store = new GatedStore(new MemoryStore())
      const it = await testBroker({ store })
      const gate = store.hold(calls('documents.put', 'wills'))
      const cut = await it.raw()
      const will = { topic: 'users/alice/will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }
      cut.connect({ clientId: 'phone', password: await it.token('alice'), will }).catch(() => {}) // Cut off before its answer.
      await within(gate.reached, 'the will to be stored')
      cut.destroy()
      await it.lines.take(({ message }) => message.startsWith('closed:'), 'the server to notice the end')
      gate.release()
      const next = await it.client('alice', { clientId: 'phone' })
      await next.disconnect()
      expect(await store.documents.list('wills', { limit: 10 })).to.deep.equal([])
      const stream = await it.log.stream('users/alice')
      expect(stream.headSeq).to.equal(0)
    })
  })

  it('[P-4.20] sends everything behind the stored place with DUP after an unclean stop, nothing lost', async () => {
    const inner = new MemoryStore()
    const store = new GatedStore(inner)
    const clock = new TestClock()
    const it = await testBroker({ store, clock, limits: { cursorFlushMs: 3_600_000 } })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    const desk = await it.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 5; at++) await desk.publish(topic, `m${at}`)
    await phone.messages(5)
    await phone.ping()
    store.crash()
    abandon(it)
    // The clock has not moved, or was even set back: what existed may still have been sent.
    for (const backMs of [0, 60_000]) {
      clock.ms -= backMs
      const again = await testBroker({ store: new GatedStore(inner), clock, folder: it.folder, limits: { cursorFlushMs: 3_600_000 } })
      const back = await again.client('alice', { clientId: 'phone', clean: false, present: true })
      back.acknowledges = false
      const messages = await back.messages(5)
      expect(texts(messages)).to.deep.equal(['m0', 'm1', 'm2', 'm3', 'm4'])
      expect(messages.map(({ dup }) => dup)).to.deep.equal([true, true, true, true, true])
      ;(again.store as GatedStore).crash()
      abandon(again)
    }
  })

  it('[P-4.19, P-13.25] stores places in time, at disconnect, and at a graceful stop', async () => {
    const inner = new MemoryStore()
    const store = new GatedStore(inner)
    const it = await testBroker({ store, limits: { cursorFlushMs: 20 } })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'seen')
    await phone.message()
    await phone.ping()
    const gate = store.hold(calls('documents.put', 'sessions'))
    await desk.publish(topic, 'seen too')
    await phone.message()
    await within(gate.reached, 'the place to be flushed')
    gate.release()
    await it.close()
    const again = await testBroker({ store: inner, folder: it.folder })
    const back = await again.client('alice', { clientId: 'phone', clean: false, present: true })
    await back.publish(topic, 'next')
    expect(await back.message()).to.include({ text: 'next', dup: false })
  })

  it('[P-4.22] discards a session whose place was trimmed, whole, at CONNECT', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe(['users/alice/#', 'reply/phone/#'])
    await phone.disconnect()
    const desk = await it.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 5; at++) await desk.publish(topic, `m${at}`)
    await it.log.trim('users/alice', 4)
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: false })
    expect(it.discarded()).to.equal(1)
    await desk.publish(topic, 'm5')
    await back.ping()
    expect(back.unread()).to.deep.equal([])
    expect(it.lines.all.some(({ level, message }) => level === 'warn' && message.includes('discarded'))).to.equal(true)
  })

  it('[P-2.14] still serves a place that is one before the first entry after trimming', async () => {
    const it = await testBroker()
    const desk = await it.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 3; at++) await desk.publish(topic, `m${at}`)
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    await phone.disconnect()
    await desk.publish(topic, 'm3')
    await it.log.trim('users/alice', 4)
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    expect((await back.message()).text).to.equal('m3')
  })

  it('[P-4.23] closes a connected session that would have to skip trimmed entries', async () => {
    const it = await testBroker({ limits: { inflightMax: 2 } })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    phone.acknowledges = false
    await phone.subscribe('users/alice/#')
    const desk = await it.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 6; at++) await desk.publish(topic, `m${at}`)
    await phone.messages(2)
    await it.log.trim('users/alice', 6)
    await phone.gone('entries it has not seen were trimmed')
    expect(phone.unread()).to.deep.equal([])
    await it.client('alice', { clientId: 'phone', clean: false, present: false })
  })

  it('[P-4.24] lets a filter sleep while the token does not cover it, and go on from its place', async () => {
    const it = await testBroker()
    const spaces = { board: 'read' } as const
    const phone = await it.client('alice', { clientId: 'phone', clean: false, token: { spaces } })
    expect(await phone.subscribe(['users/alice/#', 'spaces/board/#'])).to.deep.equal([1, 1])
    await phone.disconnect()
    const bob = await it.client('bob', { token: { spaces: { board: 'write' } } })
    await bob.publish('spaces/board/a', 'while away')
    const without = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    await bob.publish('spaces/board/a', 'while asleep')
    await without.publish(topic, 'own')
    expect((await without.message()).text).to.equal('own')
    await without.ping()
    expect(without.unread()).to.deep.equal([])
    await without.disconnect()
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true, token: { spaces } })
    expect(texts(await back.messages(2))).to.deep.equal(['while away', 'while asleep'])
  })

  it('[P-4.24] lets one of two filters of a stream sleep, and delivers once what both match', async () => {
    const it = await testBroker()
    const narrow = { grants: ['subscribe:spaces/board/a/#'] }
    const wide = { spaces: { board: 'read' } } as const
    const phone = await it.client('alice', { clientId: 'phone', clean: false, token: wide })
    await phone.subscribe(['spaces/board/a/#', 'spaces/board/+/x'])
    await phone.disconnect()
    const bob = await it.client('bob', { token: { spaces: { board: 'write' } } })
    await bob.publish('spaces/board/a/x', 'both')
    await bob.publish('spaces/board/b/x', 'second')
    await bob.publish('spaces/board/a/y', 'first')
    const half = await it.client('alice', { clientId: 'phone', clean: false, present: true, token: narrow })
    expect(texts(await half.messages(2))).to.deep.equal(['both', 'first'])
    await half.disconnect()
    await bob.publish('spaces/board/a/x', 'both again')
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true, token: wide })
    const messages = await back.messages(2)
    expect(texts(messages).toSorted()).to.deep.equal(['both again', 'second'])
    await back.ping()
    expect(back.unread()).to.deep.equal([])
  })

  it('[P-4.26] closes the older connection with its session saved before it serves the newer one', async () => {
    const it = await testBroker()
    const old = await it.client('alice', { clientId: 'phone', clean: false })
    await old.subscribe('users/alice/#')
    old.acknowledges = false
    const desk = await it.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 3; at++) await desk.publish(topic, `m${at}`)
    const [first] = await old.messages(3)
    old.send({ cmd: 'puback', messageId: first?.messageId as number })
    await old.ping()
    const newer = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    await old.gone('a newer connection has its client id')
    expect(texts(await newer.messages(2))).to.deep.equal(['m1', 'm2'])
    expect(it.broker.stats().connections).to.equal(2)
  })

  it('[P-4.26] leaves one of 50 connections that come at once with one client id', async () => {
    const it = await testBroker()
    const password = await it.token('alice')
    const clients = await Promise.all(Array.from({ length: 50 }, () => it.raw()))
    const answers = clients.map((client) =>
      client.connect({ clientId: 'phone', clean: false, password }).then(
        () => {},
        () => {},
      ),
    )
    await Promise.all(answers)
    await it.lines.until(() => it.broker.stats().connections === 1, 'one connection to be left')
    const alive = clients.filter(({ isClosed }) => !isClosed)
    await Promise.all(alive.map((client) => client.ping().catch(() => {})))
    expect(clients.filter(({ isClosed }) => !isClosed)).to.have.length(1)
    expect(it.broker.stats().sessions).to.equal(1)
  })

  it('[P-4.12] begins a filter that is unsubscribed and subscribed again at the new head', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    await phone.unsubscribe('users/alice/#')
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'between')
    await phone.subscribe('users/alice/#')
    await desk.publish(topic, 'after')
    expect((await phone.message()).text).to.equal('after')
    await phone.disconnect()
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    await desk.publish(topic, 'later')
    expect((await back.message()).text).to.equal('later')
  })

  it('[P-4.12] does not give a filter that joins later what lies before it, although the place of the session does', async () => {
    const it = await testBroker()
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    phone.acknowledges = false
    await phone.subscribe('users/alice/a')
    const desk = await it.client('alice', { clientId: 'desk' })
    await desk.publish('users/alice/a', 'a1')
    await desk.publish('users/alice/b', 'b1')
    await phone.message()
    await phone.subscribe('users/alice/b')
    await desk.publish('users/alice/b', 'b2')
    await phone.message()
    await phone.disconnect()
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    expect(texts(await back.messages(2))).to.deep.equal(['a1', 'b2'])
    await back.ping()
    expect(back.unread()).to.deep.equal([])
  })
})
