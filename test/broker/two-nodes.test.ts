/** Two brokers over one store, joined by hints that may be lost. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import { deafHintHub, flakyHintHub, hintHub, type HintHub } from '../support/hints.ts'
import { within } from '../support/waiting.ts'

const topic = 'users/alice/a'
const limits = { headPollMs: 40, revocationPollMs: 40, cursorFlushMs: 40 }

for (const [name, make] of [
  ['faithful', hintHub],
  ['flaky', () => flakyHintHub(1)],
] as const) {
  describe(`Two nodes with ${name} hints`, () => {
    let hub: HintHub
    let a: TestBroker
    let b: TestBroker

    beforeEach(async () => {
      hub = make()
      ;[a, b] = await twoNodes(hub)
    })
    afterEach(closeAll)

    it('[P-14.2, P-4.11] deliver on one what was published on the other, in order, without a gap', async () => {
      const reader = await b.client('alice', { clientId: 'reader' })
      const sync = await b.client('alice', { clientId: 'sync' })
      await reader.subscribe('users/alice/#')
      await sync.subscribe('sync@earliest/users/alice/#')
      const writer = await a.client('alice', { clientId: 'writer' })
      for (let at = 0; at < 200; at++) writer.publishNow(topic, `m${at}`)
      const wanted = Array.from({ length: 200 }, (_unused, at) => `m${at}`)
      expect((await reader.messages(200)).map(({ text }) => text)).to.deep.equal(wanted)
      await sync.inbox.until(() => entriesOf(sync.unread()).length === 200, '200 envelopes')
      expect(entriesOf(sync.unread()).map(({ seq }) => seq)).to.deep.equal(Array.from({ length: 200 }, (_unused, at) => at + 1))
    })

    it('[P-1.1] append to one stream from both: seqs are contiguous, both see the same order', async () => {
      const readers = [await a.client('alice', { clientId: 'ra' }), await b.client('alice', { clientId: 'rb' })]
      for (const reader of readers) await reader.subscribe('users/alice/#')
      const writers = [await a.client('alice', { clientId: 'wa' }), await b.client('alice', { clientId: 'wb' })]
      for (let at = 0; at < 100; at++) {
        writers.forEach((writer, node) => writer.publishNow(topic, `${node}.${at}`))
        if (at % 10 === 0) await writers[0]?.ping()
      }
      const [atA, atB] = await Promise.all(readers.map(async (reader) => (await reader.messages(200)).map(({ text }) => text)))
      expect(atB).to.deep.equal(atA)
      for (const node of ['0', '1']) {
        expect(atA?.filter((text) => text.startsWith(`${node}.`))).to.deep.equal(Array.from({ length: 100 }, (_unused, at) => `${node}.${at}`))
      }
      expect((await a.log.stream('users/alice')).headSeq).to.equal(200)
    })

    it('[P-8.10] append what was sent after an acknowledgement behind it, also on the other node', async () => {
      const writers = [await a.client('alice', { clientId: 'wa' }), await b.client('alice', { clientId: 'wb' })]
      for (let at = 0; at < 20; at++) await writers[at % 2]?.publish(topic, `m${at}`)
      const reader = await b.client('alice', { clientId: 'reader' })
      await reader.subscribe('sync@earliest/users/alice/#')
      await reader.inbox.until(() => entriesOf(reader.unread()).length === 20, '20 envelopes')
      expect(entriesOf(reader.unread()).map(({ text }) => text)).to.deep.equal(Array.from({ length: 20 }, (_unused, at) => `m${at}`))
    })

    it('[P-4.17, P-4.26] carry a session from one to the other, and leave one connection', async () => {
      const phone = await a.client('alice', { clientId: 'phone', clean: false })
      phone.acknowledges = false
      await phone.subscribe('users/alice/#')
      const writer = await a.client('alice', { clientId: 'writer' })
      for (let at = 0; at < 3; at++) await writer.publish(topic, `m${at}`)
      const [first] = await phone.messages(3)
      phone.send({ cmd: 'puback', messageId: first?.messageId as number })
      await phone.ping()
      const moved = await b.client('alice', { clientId: 'phone', clean: false, present: true })
      phone.send({ cmd: 'puback', messageId: (first?.messageId as number) + 1 })
      await phone.gone('the session is served by the other node')
      await writer.publish(topic, 'm3')
      const texts = new Set<string>()
      while (!texts.has('m3')) texts.add((await moved.message()).text)
      expect([...texts].toSorted().slice(-3)).to.deep.equal(['m1', 'm2', 'm3'])
      expect(a.broker.stats().connections + b.broker.stats().connections).to.equal(2)
    })

    it('[P-10.25] revoke on one, and close the connections of both', async () => {
      const phone = await b.client('alice', { clientId: 'phone' })
      await phone.subscribe('reply/phone/#')
      const desk = await a.client('alice', { clientId: 'desk' })
      const admin = await a.authority.authenticate(await a.token('admin', { grants: ['ops:revoke'] }), undefined)
      await a.authority.revoke(admin, { uid: 'alice' })
      await desk.gone('its user was revoked here')
      await phone.gone('its user was revoked on the other node')
      expect(JSON.parse((await phone.message()).text)).to.deep.equal({ ctl: 'revoked' })
    })
  })
}

describe('Two nodes', () => {
  afterEach(closeAll)

  it('[P-3.2] carry ephemeral messages to the readers of the other', async () => {
    const [a, b] = await twoNodes(hintHub())
    const reader = await b.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const writer = await a.client('alice', { clientId: 'writer' })
    writer.publishNow(topic, 'live', { qos: 0 })
    expect(await reader.message()).to.include({ text: 'live', qos: 0 })
    await reader.ping()
    expect(reader.unread()).to.deep.equal([])
  })

  it('[P-4.11] find by polling what no hint told of', async () => {
    const [a, b] = await twoNodes(deafHintHub())
    const reader = await b.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const writer = await a.client('alice', { clientId: 'writer' })
    await writer.publish(topic, 'found')
    expect((await reader.message()).text).to.equal('found')
  })

  it('[P-2.18, P-6.1] begin a sync filter at the confirmed head, and say so', async () => {
    const [a, b] = await twoNodes(deafHintHub(), { headPollMs: 3_600_000 })
    const earlier = await b.client('alice', { clientId: 'earlier' })
    await earlier.subscribe('users/alice/#')
    const writer = await a.client('alice', { clientId: 'writer' })
    for (let at = 0; at < 3; at++) await writer.publish(topic, `old${at}`)
    const sync = await b.client('alice', { clientId: 'sync' })
    await sync.subscribe('sync/users/alice/#')
    const at = JSON.parse((await sync.message()).text) as { ctl: string; pos: string; head: string }
    expect(at.ctl).to.equal('at')
    expect(at.pos.split('.')[1]).to.equal('3')
    expect(at.head).to.equal(at.pos)
    const earliest = await b.client('alice', { clientId: 'earliest' })
    await writer.publish(topic, 'old3')
    await earliest.subscribe('sync@earliest/users/alice/#')
    const first = JSON.parse((await earliest.message()).text) as { ctl: string; head: string }
    expect(first.ctl).to.equal('at')
    expect(first.head.split('.')[1]).to.equal('4')
  })

  it('[P-4.26] leave one connection of a client id, also of clean sessions', async () => {
    for (const [first, second] of [
      [true, true],
      [false, true],
      [true, false],
    ] as const) {
      const [a, b] = await twoNodes(hintHub())
      const old = await a.client('alice', { clientId: 'phone', clean: first })
      await b.client('alice', { clientId: 'phone', clean: second })
      await within(old.closed, `the older connection (clean=${Number(first)}) to be closed by a newer one (clean=${Number(second)})`, 2_000)
      await closeAll()
    }
  })

  it('[P-4.27] leave alone the wills of each other’s live connections', async () => {
    const hub = hintHub()
    const store = new MemoryStore({ shared: true })
    const a = await testBroker({ store, limits, hints: hub.join() })
    await a.client('alice', { clientId: 'phone', will: { topic: 'users/alice/will', payload: Buffer.from('gone'), qos: 1, retain: false } })
    const b = await testBroker({ store, limits, hints: hub.join(), folder: a.folder })
    const stream = await b.log.stream('users/alice')
    await b.log.confirmHead(stream)
    expect(stream.headSeq, 'nobody has gone').to.equal(0)
  })
})

async function twoNodes(hub: HintHub, more: { headPollMs?: number } = {}): Promise<[TestBroker, TestBroker]> {
  const store = new MemoryStore({ shared: true })
  const a = await testBroker({ store, limits: { ...limits, ...more }, hints: hub.join() })
  const b = await testBroker({ store, limits: { ...limits, ...more }, hints: hub.join(), folder: a.folder })
  return [a, b]
}

function entriesOf(messages: readonly { text: string }[]): { seq: number; text: string }[] {
  return messages
    .map(({ text }) => JSON.parse(text) as { pos: string; text?: string; ctl?: string })
    .filter(({ ctl }) => ctl === undefined)
    .map(({ pos, text = '' }) => ({ seq: Number(pos.split('.')[1]), text }))
}
