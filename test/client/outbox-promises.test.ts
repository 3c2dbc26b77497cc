/** The outbox: reloads, forgotten ids, full devices, several tabs and users, and what is no use publishing. */
import { expect } from 'chai'
import { ClientError } from '../../client/errors.ts'
import { MemoryStore } from '../../client/outbox/memory-store.ts'
import { makeWorld } from '../bridge/support.ts'
import { HttpSession, httpHistory } from './http-session.ts'
import { board, LastingStore, makeOutbox, settle } from './outbox-world.ts'
import { SimulatedServer } from './simulated-server.ts'

describe('the outbox promises', () => {
  describe('over reloads', () => {
    it('[P-9.9] what was sent without an answer is sent by the next life with the same id and since; its result is an event', async () => {
      const one = makeOutbox()
      one.server.fill(board, 3)
      void one.outbox.publish(board, 'log', 1, { id: 'one' })
      const session = one.attach(false)
      await settle()
      session.process(1)
      expect((await one.store.load())[0]).to.include({ since: one.server.pos(3), uid: 'alice' })
      one.outbox.detach()
      const two = makeOutbox({ server: one.server, store: one.store })
      const again = two.attach()
      await settle()
      expect(again.sent).to.deep.equal(session.sent)
      expect(two.settled).to.have.length(1)
      expect(two.settled[0]).to.include({ id: 'one', outcome: 'committed', pos: one.server.pos(4), duplicate: true })
      expect(one.server.stream(board).all.filter(({ id }) => id === 'one')).to.have.length(1)
    })

    it('what was left goes before what is published now', async () => {
      const one = makeOutbox()
      for (const n of [1, 2, 3]) void one.outbox.publish(board, 'log', n, { id: `old-${n}` })
      await settle()
      const two = makeOutbox({ server: one.server, store: one.store })
      two.attach()
      await two.outbox.publish(board, 'log', 4, { id: 'new' })
      expect(one.server.stream(board).all.map(({ id }) => id)).to.deep.equal(['old-1', 'old-2', 'old-3', 'new'])
    })

    it('what was refused stays on the list until it is dismissed, or its id is published again', async () => {
      const one = makeOutbox()
      one.attach()
      for (const id of ['one', 'two', 'three']) {
        one.server.faults.set(`${board}/log`, { code: 'forbidden', times: 1 })
        const error = await one.outbox.publish(board, 'log', id, { id }).catch((thrown: unknown) => thrown as ClientError)
        expect(error).to.include({ code: 'forbidden' })
      }
      const two = makeOutbox({ server: one.server, store: one.store })
      two.attach()
      await settle()
      expect(two.outbox.view.refused.get().map(({ id, error }) => [id, error.code])).to.deep.equal([
        ['one', 'forbidden'],
        ['two', 'forbidden'],
        ['three', 'forbidden'],
      ])
      expect(one.server.stream(board).all).to.have.length(0)
      await two.outbox.view.dismiss('one')
      await two.outbox.publish(board, 'log', 'mended', { id: 'two' })
      await two.forgotten()
      expect((await one.store.load()).map(({ id }) => id)).to.deep.equal(['three'])
      expect(two.outbox.view.refused.get().map(({ id }) => id)).to.deep.equal(['three'])
    })

    it('of more refused ones than the bound the oldest are forgotten, with a warning', async () => {
      const world = makeOutbox({ bounds: { refusalsMax: 2 } })
      world.attach()
      world.server.faults.set(`${board}/log`, { code: 'forbidden', times: 3 })
      await Promise.allSettled(['one', 'two', 'three'].map((id) => world.outbox.publish(board, 'log', id, { id })))
      await settle()
      expect((await world.store.load()).map(({ id }) => id)).to.deep.equal(['two', 'three'])
      expect(world.warnings.map(({ message }) => message)).to.deep.equal(['too many refused publishes: one is forgotten'])
    })

    it('close keeps what waits, and says so', async () => {
      const world = makeOutbox()
      const promise = world.outbox.publish(board, 'log', 1)
      await world.outbox.close()
      const error = await promise.catch((thrown: unknown) => thrown as ClientError)
      expect(error).to.include({ code: 'closed' })
      expect(await world.store.load()).to.have.length(1)
      const late = await world.outbox.publish(board, 'log', 1).catch((thrown: unknown) => thrown as ClientError)
      expect(late).to.include({ code: 'closed' })
    })
  })

  describe('beyond the window of ids', () => {
    async function unanswered(wasAppended: boolean) {
      const world = makeOutbox()
      const promises = ['one', 'two'].map((id) => world.outbox.publish(board, 'log', id, { id }))
      const session = world.attach(false)
      await settle()
      if (wasAppended) session.process(2)
      world.lose(session)
      world.server.fill(board, 250)
      world.server.stream(board).idsForgottenUpTo = world.server.stream(board).all.length
      return { world, promises }
    }
    const ids = (world: ReturnType<typeof makeOutbox>): string[] =>
      world.server.stream(board).all.flatMap(({ id, from }) => (from === 'alice' ? [id] : []))

    it('[P-9.10] what was appended is found in the history, and not appended again', async () => {
      const { world, promises } = await unanswered(true)
      world.attach()
      const results = await Promise.all(promises)
      expect(results.map(({ pos, duplicate }) => [pos, duplicate])).to.deep.equal([
        [world.server.pos(1), true],
        [world.server.pos(2), true],
      ])
      expect(ids(world)).to.deep.equal(['one', 'two'])
    })

    it('[P-9.10] what was not is sent again, in order, with a newer since that is kept first', async () => {
      const { world, promises } = await unanswered(false)
      world.server.historyFailures = 1
      const session = world.attach()
      await settle()
      world.timers.next()
      const results = await Promise.all(promises)
      expect(results.every(({ duplicate }) => !duplicate)).to.equal(true)
      expect(ids(world)).to.deep.equal(['one', 'two'])
      expect(session.sent.at(-1)?.put.since).to.not.equal(world.server.pos(0))
    })

    it('[P-2.12] [P-2.10] where the history no longer reaches back, it is refused as unknown-outcome', async () => {
      for (const spoil of ['trimmed', 'epoch', 'unreadable'] as const) {
        const { world, promises } = await unanswered(true)
        if (spoil === 'trimmed') world.server.stream(board).first = 100
        if (spoil === 'epoch') world.server.epoch = 'bbbbbbbb'
        if (spoil === 'unreadable') world.server.unreadable.add(board)
        world.attach()
        for (const result of await Promise.allSettled(promises)) {
          expect(result.status === 'rejected' && (result.reason as ClientError).code).to.equal('unknown-outcome')
        }
        expect(ids(world)).to.deep.equal(['one', 'two'])
      }
    })

    it('[P-9.9] what was never sent is not refused because the place that the client knew has grown too old', async () => {
      const server = new SimulatedServer()
      server.fill(board, 3)
      const old = server.pos(3)
      const world = makeOutbox({ server, positionOf: () => old })
      world.attach()
      await settle()
      server.fill(board, 20)
      const stream = server.stream(board)
      stream.idsForgottenUpTo = 20
      stream.first = 15
      const promises = ['one', 'two', 'three'].map((id) => world.outbox.publish(board, 'log', id, { id }))
      for (const { duplicate } of await Promise.all(promises)) expect(duplicate).to.equal(false)
      expect(stream.all.slice(-3).map(({ id }) => id)).to.deep.equal(['one', 'two', 'three'])
    })

    it('a stream that may not be read is published to without since', async () => {
      const world = makeOutbox()
      world.server.unreadable.add(board)
      const promise = world.outbox.publish(board, 'log', 1)
      const session = world.attach()
      await promise
      expect(session.sent[0]?.put).to.not.have.property('since')
    })
  })

  describe('on a device that is full or refuses', () => {
    it('what does not fit is storage-full at once, and nothing behind it in the same turn passes it; what fits is kept', async () => {
      const store = new LastingStore()
      store.bytesMax = 20_000
      const world = makeOutbox({ store })
      const promises = Array.from({ length: 300 }, (_, n) => world.outbox.publish(board, 'log', 'x'.repeat(100), { id: `id-${n}` }))
      const codes = promises.map((promise) => promise.then(() => 'committed').catch((error: unknown) => (error as ClientError).code))
      await settle()
      const kept = (await store.load()).length
      expect(kept).to.be.within(20, 100)
      expect(world.outbox.count.get()).to.equal(kept)
      world.attach()
      const told = await Promise.all(codes)
      expect(told).to.deep.equal(Array.from({ length: 300 }, (_, n) => (n < kept ? 'committed' : 'storage-full')))
      expect(world.server.stream(board).all).to.have.length(kept)
    })

    it('[P-9.9] a full device is emptied by sending, after a reload and by another tab as well, and noted as soon as there is room', async () => {
      const store = new LastingStore()
      const one = makeOutbox({ store })
      for (let n = 1; n <= 100; n++) void one.outbox.publish(board, 'log', 'x'.repeat(100), { id: `id-${n}` })
      await settle()
      // Not even one more fits.
      store.bytesMax = JSON.stringify(await store.load()).length
      const two = makeOutbox({ server: one.server, store, owner: 'tab-2' })
      two.attach()
      await two.outbox.adopt('tab-1')
      for (let round = 0; two.outbox.count.get() > 0 && round < 200; round++) await settle()
      await two.forgotten()
      expect(one.server.stream(board).all.map(({ id }) => id)).to.deep.equal(Array.from({ length: 100 }, (_, n) => `id-${n + 1}`))
      expect(await store.load()).to.deep.equal([])
      expect(two.settled).to.have.length(100)
    })

    it('beyond the bounds it is outbox-full', async () => {
      for (const bounds of [{ outboxEntriesMax: 2 }, { outboxBytesMax: 700 }]) {
        const world = makeOutbox({ bounds })
        void world.outbox.publish(board, 'log', 1)
        void world.outbox.publish(board, 'log', 2)
        const error = await world.outbox.publish(board, 'log', 3).catch((thrown: unknown) => thrown as ClientError)
        expect(error).to.include({ code: 'outbox-full' })
        world.attach()
        await settle()
        await world.outbox.publish(board, 'log', 3)
      }
    })

    it('where nothing can be read or kept, publishes say so; it works again when the cause is gone', async () => {
      const store = new LastingStore()
      store.broken = new ClientError('storage-unavailable', 'locked')
      const world = makeOutbox({ store })
      world.attach()
      const error = await world.outbox.publish(board, 'log', 1, { id: 'one' }).catch((thrown: unknown) => thrown as ClientError)
      expect(error).to.include({ code: 'storage-unavailable', message: 'locked' })
      store.broken = undefined
      await world.outbox.publish(board, 'log', 1, { id: 'one' })
      expect(world.server.stream(board).all).to.have.length(1)
    })
  })

  describe('to several tabs and users', () => {
    it('each tab sends its own; those of a tab that is gone are adopted, once', async () => {
      const gone = makeOutbox({ owner: 'tab-0' })
      for (const n of [1, 2]) void gone.outbox.publish(board, 'log', n, { id: `gone-${n}` })
      await settle()
      const world = makeOutbox({ server: gone.server, store: gone.store })
      world.attach()
      await world.outbox.publish(board, 'log', 3, { id: 'own' })
      expect(gone.server.stream(board).all.map(({ id }) => id)).to.deep.equal(['own'])
      expect(await world.outbox.owners()).to.deep.equal(['tab-0'])
      await Promise.all([world.outbox.adopt('tab-0'), world.outbox.adopt('tab-0')])
      await world.forgotten()
      expect(gone.server.stream(board).all.map(({ id }) => id)).to.deep.equal(['own', 'gone-1', 'gone-2'])
      expect(await world.store.load()).to.deep.equal([])
      expect(world.settled).to.have.length(3)
    })

    it('what another user has written is shown as held, not sent, and sent when that user is back', async () => {
      let uid = 'alice'
      const world = makeOutbox({ uid: () => uid })
      void world.outbox.publish(board, 'log', 1, { id: 'hers' })
      await settle()
      uid = 'bob'
      const his = world.attach()
      await world.outbox.publish(board, 'log', 2, { id: 'his' })
      expect(his.sent.map(({ put }) => put.id)).to.deep.equal(['his'])
      expect(world.outbox.view.pending.get()).to.have.length(1)
      expect(world.outbox.view.pending.get()[0]).to.include({ id: 'hers', held: true })
      world.lose(his)
      uid = 'alice'
      world.attach()
      await settle()
      expect(world.server.stream(board).all.map(({ id, from }) => [id, from])).to.deep.equal([
        ['his', 'bob'],
        ['hers', 'alice'],
      ])
    })
  })

  describe('what is no use publishing is refused at once:', () => {
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const cases: readonly [string, unknown, object, string, string?][] = [
      ['undefined without retain', undefined, {}, 'bad-value'],
      ['a function', () => 1, {}, 'bad-value'],
      ['a function within', { a: [() => 1] }, {}, 'bad-value'],
      ['a BigInt', { a: 1n }, {}, 'bad-value'],
      ['a cycle', cycle, {}, 'bad-value'],
      ['NaN within', [1, Number.NaN], {}, 'bad-value'],
      ['Infinity', Number.POSITIVE_INFINITY, {}, 'bad-value'],
      ['as text what is none', { a: 1 }, { as: 'text' }, 'bad-value'],
      ['text that UTF-8 cannot say', 'a\ud800', { as: 'text' }, 'bad-value'],
      ['an empty text that would delete', '', { as: 'text', retain: true }, 'bad-value'],
      ['no bytes that would delete', new Uint8Array(0), { retain: true }, 'bad-value'],
      ['a condition without retain', 1, { if: 'none' }, 'bad-value'],
      ['an id that the server could not answer', 1, { id: 'a/b' }, 'bad-value'],
      ['an empty topic', 1, {}, 'bad-topic', ''],
      ['an empty level', 1, {}, 'bad-topic', 'a//b'],
      ['a wildcard', 1, {}, 'bad-topic', 'a/+'],
      ['NUL', 1, {}, 'bad-topic', 'a\0'],
      ['too many levels', 1, {}, 'bad-topic', 'a/b/c/d/e/f'],
      ['too long a topic', 1, {}, 'bad-topic', 'ä'.repeat(110)],
      ['more than the server takes', 'x'.repeat(2_000), {}, 'payload-too-large'],
    ]
    for (const [what, value, options, code, topic = 'log'] of cases) {
      it(what, async () => {
        const world = makeOutbox({ packetBytesMax: 1_500 })
        const error = await world.outbox.publish(board, topic, value, options).catch((thrown: unknown) => thrown as ClientError)
        expect(error).to.be.instanceOf(ClientError).and.to.include({ code })
        expect(world.outbox.count.get()).to.equal(0)
      })
    }

    it('an id that waits with other content; with the same it is the same publish', async () => {
      const world = makeOutbox()
      const one = world.outbox.publish(board, 'log', { a: 1 }, { id: 'one' })
      const same = world.outbox.publish(board, 'log', { a: 1 }, { id: 'one' })
      const other = await world.outbox.publish(board, 'log', { a: 2 }, { id: 'one' }).catch((thrown: unknown) => thrown as ClientError)
      expect(other).to.include({ code: 'id-reused' })
      const session = world.attach()
      expect(await same).to.deep.equal(await one)
      expect(session.sent).to.have.length(1)
    })
  })

  it('what the app does to a value after the call changes nothing', async () => {
    const world = makeOutbox()
    const value = { list: [1] }
    const bytes = Uint8Array.of(1)
    const promises = [world.outbox.publish(board, 'log', value), world.outbox.publish(board, 'log', bytes)]
    value.list.push(2)
    bytes[0] = 2
    const session = world.attach()
    await Promise.all(promises)
    expect(session.sent.map(({ put }) => put.data ?? put.base64)).to.deep.equal([{ list: [1] }, 'AQ=='])
  })

  it('a listener that throws harms nobody', async () => {
    const world = makeOutbox()
    const { outbox } = world
    const seen: string[] = []
    outbox.view.onSettled(() => {
      throw new Error('from the app')
    })
    outbox.onWaiting(() => {
      throw new Error('from the app')
    })
    outbox.view.onSettled(({ id }) => seen.push(id))
    world.attach()
    await outbox.publish(board, 'log', 1, { id: 'one' })
    expect(seen).to.deep.equal(['one'])
    expect(world.warnings.map(({ code }) => code)).to.include('listener')
  })

  it('[P-5.3 – P-5.5] [P-9.6] [P-9.15] over a real server: values, a lost answer, a conflict', async () => {
    const server = await makeWorld()
    try {
      const session = new HttpSession(server.url, 'carol')
      const world = makeOutbox({ store: new MemoryStore(), uid: () => 'carol', history: httpHistory(server.url, 'carol') })
      session.loseAnswers = 1
      const values = [
        world.outbox.publish(board, 'a', { x: 1 }, { id: 'json' }),
        world.outbox.publish(board, 'a', 'grüße', { id: 'text', as: 'text' }),
        world.outbox.publish(board, 'a', Uint8Array.of(0xff, 0), { id: 'bytes' }),
        world.outbox.publish(board, 'a', 1, { id: 'set', retain: true, if: 'none' }),
        world.outbox.publish(board, 'a', undefined, { id: 'unset', retain: true, if: 'id:set' }),
        world.outbox.publish(board, 'a', 2, { id: 'late', retain: true, if: 'id:set' }),
      ]
      const results = Promise.allSettled(values)
      world.outbox.attach(session, 1)
      while (world.timers.waiting === 0) await settle()
      world.timers.next()
      expect(
        (await results).map((result) => (result.status === 'fulfilled' ? result.value.duplicate : (result.reason as ClientError).code)),
      ).to.deep.equal([true, false, false, false, false, 'conflict'])
      const { entries } = await httpHistory(server.url, 'carol').entries(board, {})
      expect(entries.map(({ id, data, text, base64, deleted }) => [id, data ?? text ?? base64 ?? deleted])).to.deep.equal([
        ['json', { x: 1 }],
        ['text', 'grüße'],
        ['bytes', '/wA='],
        ['set', 1],
        ['unset', true],
      ])
    } finally {
      await server.close()
    }
  })
})
