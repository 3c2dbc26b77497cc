/** Nodes that die, freeze and wake up, and client ids that move between nodes with no hint to tell of it. */
import { expect } from 'chai'
import { Nodes } from '../../broker/nodes.ts'
import { Tenures } from '../../broker/tenures.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { systemClock } from '../../seams/clock.ts'
import { noHints } from '../../seams/hints.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { silentLogger } from '../../seams/logger.ts'
import { abandon, testBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { hintHub } from '../support/hints.ts'
import {
  closeAllNodes,
  deafPair,
  hold,
  longMs,
  memory,
  pairOf,
  publishAll,
  receive,
  stored,
  texts,
  type Node,
  type Pair,
} from '../support/nodes.ts'
import { mongoBackings } from '../support/mongo/backings.ts'
import type { RawClient } from '../support/raw-mqtt.ts'
import { Inbox, within } from '../support/waiting.ts'

const will = { topic: 'users/alice/will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }
const never = 3_600_000

for (const { name: place, deadMs, store } of [
  { name: 'memory', deadMs: 300 },
  // Where it has to answer within that time, too.
  { name: 'MongoDB', deadMs: 3_000, store: mongoBackings },
])
  describe(`Nodes over ${place}`, function () {
    this.timeout(2 * longMs)
    const backing = store?.()
    afterEach(closeAllNodes)
    const opened = (limits: Partial<Limits> = {}): Promise<Pair> => deafPair(limits, backing?.())

    for (const { name, cleanA, cleanB } of [
      { name: 'of two clean=1 connections', cleanA: true, cleanB: true },
      { name: 'of a clean=0 and a clean=1 connection', cleanA: false, cleanB: true },
      { name: 'of a clean=1 and a clean=0 connection', cleanA: true, cleanB: false },
    ]) {
      it(`[P-4.26] [P-13.43] ${name} with one client id on two nodes the newer survives, without a hint and without traffic`, async () => {
        const { a, b } = await opened({ nodeBeatMs: 10, cursorFlushMs: never })
        const older = await a.client('alice', { clientId: 'phone', clean: cleanA })
        const bystander = await a.client('alice', { clientId: 'bystander' })
        const newer = await b.client('alice', { clientId: 'phone', clean: cleanB })
        await within(older.closed, 'the older connection to be closed', longMs)
        for (const client of [newer, bystander]) await client.ping()
        // And back again, as often as it likes.
        const third = await a.client('alice', { clientId: 'phone', clean: cleanA })
        await within(newer.closed, 'the second connection to be closed', longMs)
        const fourth = await b.client('alice', { clientId: 'phone', clean: cleanB })
        await within(third.closed, 'the third connection to be closed', longMs)
        for (const client of [fourth, bystander]) await client.ping()
      })
    }

    it('[P-4.27] [P-13.44] the will of a node that died is published once by another one, and those of the living are not', async () => {
      const pair = await opened({ nodeBeatMs: 10, nodeDeadMs: deadMs })
      const { a, b } = pair
      await a.client('alice', { clientId: 'phone', will })
      const seenTo = new Promise<void>((resolve) => {
        b.gates.pause = async ({ name, args }, way) => {
          if (way === 'out' && name === 'documents.remove' && args[0] === 'wills') resolve()
        }
      })
      a.gates.crash()
      abandon(a)
      await b.client('alice', { clientId: 'living', will: { ...will, payload: Buffer.from('of the living') } })
      const witness = await b.client('alice', { clientId: 'witness' })
      await witness.subscribe('sync@earliest/users/alice/#')
      await entry(witness, 'gone')
      await publishAll(witness, ['later'])
      await entry(witness, 'later')
      expect(texts(await stored(pair))).to.deep.equal(['gone', 'later'])
      await within(seenTo, 'the will to be taken off the list', longMs)
      expect(await pair.inner.documents.list('wills', { limit: 10 })).to.have.length(1)
    })

    it('[P-14.8] a node that was frozen and taken for dead ends its connections, publishes no will again, and serves on', async () => {
      const pair = await opened({ nodeBeatMs: 10, nodeDeadMs: deadMs })
      const { a, b } = pair
      const witness = await b.client('alice', { clientId: 'witness' })
      await witness.subscribe('users/alice/will')
      const phone = await a.client('alice', { clientId: 'phone', will })
      const gate = hold(a, 'documents.put', 'nodes')
      expect(texts(await receive(witness, 1))).to.deep.equal(['gone'])
      gate.release()
      await within(phone.closed, 'the connection of the frozen node to be closed', longMs)
      const again = await a.client('alice', { clientId: 'phone', will: { ...will, payload: Buffer.from('gone again') } })
      again.destroy()
      const reader = await a.client('alice', { clientId: 'reader' })
      await reader.subscribe('sync@earliest/users/alice/#')
      await entry(reader, 'gone again')
      expect(texts(await stored(pair))).to.deep.equal(['gone', 'gone again'])
    })

    it('[P-4.26] a connection whose end the store does not hear of holds up neither its successor nor the end of the node', async () => {
      const { a } = await opened()
      const phone = await a.client('alice', { clientId: 'phone' })
      const mend = a.gates.fail(calls('documents.put', 'tenures'))
      phone.destroy()
      await a.lines.take(({ message }) => message.startsWith('the end of a connection could not be stored'), 'the failure')
      await (await a.client('alice', { clientId: 'phone' })).ping()
      await within(a.close(), 'the node to stop', longMs)
      mend()
    })

    it('[P-4.27] a will that the store does not take at first is published when it does', async () => {
      const pair = await opened()
      const { a } = pair
      const phone = await a.client('alice', { clientId: 'phone', will })
      const mend = a.gates.fail(calls('documents.get', 'wills'))
      phone.destroy()
      await a.lines.take(({ message }) => message.startsWith('a will could not be published'), 'the failure')
      mend()
      const reader = await a.client('alice', { clientId: 'reader' })
      await reader.subscribe('sync@earliest/users/alice/will')
      await entry(reader, 'gone')
      expect(texts(await stored(pair))).to.deep.equal(['gone'])
    })

    it('[P-4.27] a will of the embedded store, from which the entries were copied, is published by the first node', async () => {
      const alone = await testBroker()
      const phone = await alone.client('alice', { clientId: 'phone', will })
      const [left] = await alone.store.documents.list('wills', { limit: 10 })
      await phone.disconnect()
      const handle = (backing?.() ?? memory()).handle()
      await handle.open()
      await handle.documents.put('wills', left?.key ?? '', left?.value)
      const node = await testBroker({ store: new GatedStore(handle), folder: alone.folder })
      expect((await node.log.stream('users/alice')).headSeq).to.equal(1)
      expect(await handle.documents.list('wills', { limit: 10 })).to.deep.equal([])
    })

    it('[P-14.8] a node that stops leaves nothing that others would take for dead', async () => {
      const pair = await opened({ nodeBeatMs: 10, nodeDeadMs: deadMs })
      const { a, b } = pair
      const phone = await a.client('alice', { clientId: 'phone', will })
      await phone.disconnect()
      await within(a.close(), 'the node to stop', longMs)
      const [left, ...more] = await pair.inner.documents.list('nodes', { limit: 10 })
      expect(more).to.deep.equal([])
      await stillThere(b, left?.key ?? '')
      expect(await pair.inner.documents.list('wills', { limit: 10 })).to.deep.equal([])
    })
  })

describe('Nodes', () => {
  it('[P-4.26] [P-14.8] a node that sees to what a dead one left lives meanwhile: it beats, and makes way', async () => {
    const inner = new MemoryStore({ shared: true })
    const limits = { ...defaultLimits, nodeBeatMs: 5, nodeDeadMs: 100 }
    const beats = new Inbox<string>()
    const inherited = new Inbox<string>()
    const heirs: (() => void)[] = []
    const node = (name: string, store: MemoryStore | GatedStore): Nodes =>
      new Nodes({
        documents: store.documents,
        limits,
        clock: systemClock,
        logger: silentLogger,
        inherit: (dead) => {
          inherited.add(dead)
          return new Promise((resolve) => heirs.push(resolve))
        },
        fenced: () => beats.add(`${name} fenced`),
        beaten: async () => beats.add(name),
      })
    const gates = new GatedStore(inner)
    const [frozen, heir] = [node('frozen', gates), node('heir', inner)]
    await frozen.start()
    await heir.start()
    const { name: dead } = frozen
    const gate = gates.hold(calls('documents.put', 'nodes'))
    await inherited.take((name) => name === dead, 'the dead to be seen to', longMs)
    // Longer than it takes to be taken for dead.
    for (let count = 0; count < 60; count++) await beats.take((who) => who === 'heir', 'a beat', longMs)
    expect(heirs).to.have.length(1)
    heirs[0]?.()
    gate.release()
    await beats.take((who) => who === 'frozen fenced', 'the frozen one to find itself fenced', longMs)
    await Promise.all([frozen.stop(), heir.stop()])
  })
})

describe('Tenures', () => {
  afterEach(closeAllNodes)

  it('[P-4.26] a hint closes no connection that the store does not know a successor of', async () => {
    const hub = hintHub()
    const { a, b } = await pairOf(hub, { nodeBeatMs: 3_600_000 })
    const phone = await a.client('alice', { clientId: 'phone' })
    const forger = await hub.join()
    const asked = hold(a, 'documents.get', 'tenures')
    for (let copy = 0; copy < 3; copy++) forger.send({ type: 'takeover', session: 'alice/phone', generation: 99 })
    await within(asked.reached, 'the store to be asked', longMs)
    asked.release()
    await phone.ping()
    const next = await b.client('alice', { clientId: 'phone' })
    await within(phone.closed, 'the connection that has a successor to be closed', longMs)
    await hub.settled()
    await next.ping()
  })

  it('[P-4.26] who comes between is evicted as well, though nobody saw it come', async () => {
    const inner = new MemoryStore({ shared: true })
    const evicted: string[] = []
    const gates = new GatedStore(inner)
    const tenuresOf = (node: string, store: MemoryStore | GatedStore): Tenures =>
      new Tenures({
        documents: store.documents,
        hints: noHints,
        node: () => node,
        nodes: () => Promise.resolve(['a', 'b', 'c']),
        holds: () => true,
        evict: (session, upTo) => evicted.push(`${node}: ${session} up to ${upTo}`) > 0,
      })
    const [a, b, c] = [tenuresOf('a', inner), tenuresOf('b', inner), tenuresOf('c', gates)]
    const first = await a.enter('alice/phone')
    const gate = gates.hold(calls('documents.claim'))
    const third = c.enter('alice/phone')
    await within(gate.reached, 'the third to claim', longMs)
    const second = await b.enter('alice/phone')
    gate.release()
    expect([first, second, await third]).to.deep.equal([1, 2, 3])
    for (const tenures of [a, b, c]) await tenures.makeWay()
    // The first is told by both.
    expect(evicted).to.deep.equal(['a: alice/phone up to 1', 'a: alice/phone up to 2', 'b: alice/phone up to 2'])
    for (const tenures of [a, b, c]) await tenures.makeWay()
    expect(evicted).to.have.length(3)
  })

  it('[P-4.26] who holds the name is told before the next one takes it, so that no failure between leaves both', async () => {
    const inner = new MemoryStore({ shared: true })
    const gates = new GatedStore(inner)
    const parts = { hints: noHints, nodes: () => Promise.resolve([]), holds: () => true }
    const evicted: string[] = []
    const evict = (session: string): boolean => evicted.push(session) > 0
    const a = new Tenures({ ...parts, documents: inner.documents, node: () => 'a', evict })
    const b = new Tenures({ ...parts, documents: gates.documents, node: () => 'b', evict: () => true })
    await a.enter('alice/phone')
    const mend = gates.fail(calls('documents.put', 'evictions'))
    expect(await b.enter('alice/phone').catch(() => 'refused')).to.equal('refused')
    mend()
    expect(await inner.documents.get('tenures', 'alice/phone')).to.include({ owner: 'a', generation: 1 })
    expect(await b.enter('alice/phone')).to.equal(2)
    await a.makeWay()
    expect(evicted).to.deep.equal(['alice/phone'])
  })

  it('[P-4.26] what a dead node held is free, and its notices are gone', async () => {
    const { documents } = new MemoryStore({ shared: true })
    const parts = { documents, hints: noHints, nodes: () => Promise.resolve([]), holds: () => true, evict: () => true }
    const [a, b] = [new Tenures({ ...parts, node: () => 'a' }), new Tenures({ ...parts, node: () => 'b' })]
    await a.enter('alice/phone')
    await a.enter('alice/tablet')
    expect(await b.enter('alice/tablet')).to.equal(2)
    await b.endOf('a', 1_000)
    expect(await documents.list('evictions', { limit: 10 })).to.deep.equal([])
    await b.removeEnded(2_000)
    expect((await documents.list('tenures', { limit: 10 })).map(({ key, owner }) => `${key} ${owner}`)).to.deep.equal(['alice/tablet b'])
  })

  it('[P-4.26] who has left is given no notice, and its tenure is not taken again', async () => {
    const { documents } = new MemoryStore({ shared: true })
    const parts = { documents, hints: noHints, nodes: () => Promise.resolve([]), holds: () => true, evict: () => true }
    const [a, b] = [new Tenures({ ...parts, node: () => 'a' }), new Tenures({ ...parts, node: () => 'b' })]
    await a.leave('alice/phone', await a.enter('alice/phone'), 1_000)
    expect(await b.enter('alice/phone')).to.equal(2)
    expect(await documents.list('evictions', { limit: 10 })).to.deep.equal([])
    await b.removeEnded(2_000)
    expect(await documents.get('tenures', 'alice/phone'), 'it is held').to.include({ generation: 2 })
    await b.leave('alice/phone', 2, 1_500)
    await b.removeEnded(2_000)
    expect(await documents.get('tenures', 'alice/phone')).to.equal(undefined)
  })
})

/** Its record goes on beating. */
async function stillThere({ gates }: Node, name: string): Promise<void> {
  const gate = gates.hold(({ name: call, args }) => call === 'documents.put' && args[0] === 'nodes' && args[1] === name)
  await within(gate.reached, 'the next beat', longMs)
  gate.release()
}

async function entry(client: RawClient, text: string): Promise<void> {
  for (;;) {
    const [message] = await receive(client, 1)
    if ((JSON.parse(message?.text ?? '{}') as { text?: string }).text === text) return
  }
}
