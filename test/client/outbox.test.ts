/** The outbox: order, ids, sessions that come and go. */
import { expect } from 'chai'
import type { Entry } from '../../client/entry.ts'
import type { ClientError } from '../../client/errors.ts'
import { board, LastingStore, makeOutbox, settle, type OutboxWorld } from './outbox-world.ts'

describe('the outbox', () => {
  it('[P-9.6] publishes, says where it stands, and keeps nothing', async () => {
    const world = makeOutbox()
    world.attach()
    const published = await world.outbox.publish(board, 'cards/1', { a: 1 }, { id: 'one', retain: true })
    expect(published).to.deep.equal({ id: 'one', pos: world.server.pos(1), duplicate: false })
    expect(world.server.stream(board).all[0]).to.include({ id: 'one', from: 'alice', topic: 'spaces/board/cards/1', retain: true })
    expect(world.settled).to.deep.equal([
      {
        id: 'one',
        stream: board,
        topic: 'cards/1',
        createdMs: 1_700_000_000_000,
        held: false,
        outcome: 'committed',
        pos: published.pos,
        duplicate: false,
      },
    ])
    await settle()
    expect(await world.store.load()).to.deep.equal([])
    expect(world.outbox.view.pending.get()).to.deep.equal([])
  })

  it('[P-8.9] keeps what is published while there is no connection, and sends it in the order of the calls', async () => {
    const world = makeOutbox()
    const promises = Array.from({ length: 200 }, (_, n) => world.outbox.publish(board, 'log', n))
    await settle()
    expect(await world.store.load()).to.have.length(200)
    expect(world.outbox.waitingOn(board)).to.have.length(200)
    const session = world.attach()
    await Promise.all(promises)
    expect(contents(world)).to.deep.equal(Array.from({ length: 200 }, (_, n) => n))
    expect(session.sent).to.have.length(200)
  })

  it('one turn, one write', async () => {
    const store = new LastingStore()
    const world = makeOutbox({ store })
    for (let n = 0; n < 100; n++) void world.outbox.publish(board, 'log', n)
    await settle()
    expect(store.writes).to.equal(1)
    expect(await store.load()).to.have.length(100)
  })

  it('[P-9.6] what had no answer is sent again on the next session with the same id and since, and stands there once', async () => {
    const world = makeOutbox()
    const promises = [1, 2, 3].map((n) => world.outbox.publish(board, 'log', n))
    const first = world.attach(false)
    await settle()
    expect(first.sent).to.have.length(3)
    first.process(2)
    world.lose(first)
    const second = world.attach()
    const results = await Promise.all(promises)
    expect(second.sent).to.deep.equal(first.sent)
    expect(second.sent[0]?.put.since).to.equal(world.server.pos(0))
    expect(results.map(({ duplicate }) => duplicate)).to.deep.equal([true, true, false])
    expect(contents(world)).to.deep.equal([1, 2, 3])
  })

  it('an answer that comes after its session was given up counts where it says where the entry stands, and only there', async () => {
    const world = makeOutbox()
    const promise = world.outbox.publish(board, 'log', 1)
    const refusal = world.outbox.publish(board, 'state', 1, { retain: true, if: 'none', id: 'two' })
    const first = world.attach(false)
    await settle()
    first.process(1)
    world.server.judge('bob', `${board}/state`, { id: 'his', data: 0, retain: true })
    first.process(1)
    world.outbox.detach()
    world.server.judge('bob', `${board}/state`, { id: 'gone', retain: true })
    const second = world.attach(false)
    await settle()
    first.answer(2)
    expect(await promise).to.include({ duplicate: false })
    await settle()
    expect(world.settled).to.have.length(1)
    second.process(2)
    second.answer(2)
    expect(await refusal).to.include({ id: 'two', duplicate: false })
    expect(world.settled).to.have.length(2)
  })

  it('[P-9.14] edits of one topic while offline build upon each other', async () => {
    const world = makeOutbox()
    const one = world.outbox.publish(board, 'cards/1', 1, { id: 'one', retain: true, if: 'none' })
    const two = world.outbox.publish(board, 'cards/1', 2, { id: 'two', retain: true, if: pendingEntry('one') })
    const gone = world.outbox.publish(board, 'cards/1', undefined, { id: 'gone', retain: true, if: pendingEntry('two') })
    const anew = world.outbox.publish(board, 'cards/1', 3, { id: 'anew', retain: true, if: pendingEntry('gone', { deleted: true }) })
    world.attach()
    await Promise.all([one, two, gone, anew])
    expect(world.server.stream(board).all.map(({ id }) => id)).to.deep.equal(['one', 'two', 'gone', 'anew'])
  })

  it('[P-9.15] where the first of them meets a conflict, so do those behind it; all are told', async () => {
    const world = makeOutbox()
    world.server.judge('bob', `${board}/cards/1`, { id: 'his', data: 0, retain: true })
    const promises = [
      world.outbox.publish(board, 'cards/1', 1, { id: 'one', retain: true, if: 'none' }),
      world.outbox.publish(board, 'cards/1', 2, { id: 'two', retain: true, if: pendingEntry('one') }),
      world.outbox.publish(board, 'cards/2', 3, { id: 'three', retain: true, if: 'none' }),
    ]
    world.attach()
    const results = await Promise.allSettled(promises)
    expect(results.map((result) => (result.status === 'rejected' ? (result.reason as ClientError).code : 'committed'))).to.deep.equal([
      'conflict',
      'conflict',
      'committed',
    ])
    expect(world.settled.map(({ id, outcome }) => [id, outcome])).to.have.deep.members([
      ['one', 'refused'],
      ['two', 'refused'],
      ['three', 'committed'],
    ])
    const [refused] = world.outbox.view.refused.get()
    expect(refused).to.include({ id: 'one', topic: 'cards/1' })
    expect(refused?.error.details['current']).to.include({ id: 'his', from: 'bob' })
  })

  it('a conflict with what will be sent again is none', async () => {
    const world = makeOutbox()
    world.server.faults.set(`${board}/cards/1`, { code: 'too-many-requests', times: 1 })
    const promises = [
      world.outbox.publish(board, 'cards/1', 1, { id: 'one', retain: true, if: 'none' }),
      world.outbox.publish(board, 'cards/1', 2, { id: 'two', retain: true, if: pendingEntry('one') }),
    ]
    const session = world.attach(false)
    await settle()
    session.process(2)
    session.answer(2)
    await settle()
    expect(session.underWay).to.equal(0)
    world.timers.next()
    for (let n = 0; n < 2; n++) {
      session.process(1)
      session.answer(1)
      await settle()
    }
    await Promise.all(promises)
    expect(contents(world)).to.deep.equal([1, 2])
  })

  it('[P-12.3] what may succeed later is sent again after pauses that grow, and nothing of its stream before it', async () => {
    const world = makeOutbox({ bounds: { retryFirstMs: 100, retryLongestMs: 350, settledKeptMs: 10_000 } })
    world.server.faults.set(`${board}/log`, { code: 'store-unavailable', times: 4 })
    const session = world.attach()
    const promise = world.outbox.publish(board, 'log', 1)
    await settle()
    const other = world.outbox.publish('users/alice', 'log', 1)
    const behind = world.outbox.publish(board, 'other', 2)
    await other
    const pauses: number[] = []
    for (let attempt = 0; attempt < 4; attempt++) {
      const before = world.timers.now()
      world.timers.next()
      pauses.push(world.timers.now() - before)
      await settle()
    }
    await Promise.all([promise, behind])
    expect(pauses).to.deep.equal([100, 200, 350, 350])
    expect(contents(world)).to.deep.equal([1, 2])
    expect(session.sent.filter(({ topic }) => topic.endsWith('other'))).to.have.length(1)
  })

  it('[P-15.7] of an outbox stream one put is under way at a time', async () => {
    const world = makeOutbox()
    const session = world.attach(false)
    const promises = [1, 2].map((n) => world.outbox.publish('outbox/alice', 'bob/x', n))
    for (let n = 0; n < 2; n++) {
      await settle()
      expect(session.underWay).to.equal(1)
      session.process(1)
      session.answer(1)
    }
    await Promise.all(promises)
  })

  it('no more puts of a stream are under way than transport and bounds allow', async () => {
    for (const [transport, bound] of [
      [3, 64],
      [64, 3],
    ] as const) {
      const world = makeOutbox({ bounds: { putsInFlightMax: bound } })
      const session = world.attach(false, transport)
      for (let n = 0; n < 10; n++) void world.outbox.publish(board, 'log', n)
      await settle()
      expect(session.underWay).to.equal(3)
      session.process(1)
      session.answer(1)
      await settle()
      expect(session.underWay).to.equal(3)
      expect(session.sent).to.have.length(4)
    }
  })
})

function contents({ server }: OutboxWorld): unknown[] {
  return server
    .stream(board)
    .all.filter(({ from }) => from === 'alice')
    .map(({ content }) => (JSON.parse(content) as unknown[])[1])
}

function pendingEntry(id: string, more: Partial<Entry> = {}): Entry {
  return {
    pos: '',
    seq: 0,
    id,
    ts: 0,
    from: 'alice',
    client: '',
    topic: 'cards/1',
    stream: board,
    retain: true,
    deleted: false,
    ephemeral: false,
    data: undefined,
    format: 'json',
    snapshot: false,
    pending: true,
    ...more,
  }
}
