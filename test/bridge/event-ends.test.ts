/** How event streams end, what a reader that does not read costs, and that every node shows the same. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Bucket } from '../../log/bucket.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { cutEventReaders, EventReader, eventsPath, type SentEvent } from '../support/events.ts'
import { deafHintHub, hintHub } from '../support/hints.ts'
import { within } from '../support/waiting.ts'
import { append, ask, makeWorld, type World, type WorldOptions } from './support.ts'

const notes = 'users/alice/#'

describe('bridge: the end of /v1/events', function () {
  this.timeout(60_000)
  const worlds: World[] = []
  const open = async (options: WorldOptions = {}): Promise<World> => {
    const world = await makeWorld(options)
    worlds.push(world)
    return world
  }
  const read = (world: World, from = notes, token = 'alice'): Promise<EventReader> => EventReader.open(world.url, { token, from: [from] })
  afterEach(async () => {
    cutEventReaders()
    await Promise.all(worlds.splice(0).map((world) => world.close()))
  })

  const closedWith = async (reader: EventReader, code: string): Promise<void> => {
    const closed = await reader.event('closed')
    expect(closed.json).to.deep.equal({ ctl: 'closed', code })
    expect(closed.hasId).to.equal(false)
    expect(await within(reader.over, 'the end of the stream'), 'ended in good order').to.equal(true)
    expect(reader.inbox.all.at(-1)).to.equal(closed)
  }

  it('[P-18.10, P-18.12] when the token expires', async () => {
    const world = await open()
    const reader = await read(world)
    await reader.caughtUp(notes)
    world.clock.ms += 3_600_000
    await closedWith(reader, 'token-expired')
    expect(world.bridge.stats().eventStreams).to.equal(0)
  })

  it('[P-18.12, P-10.25] when the token is revoked, while others go on', async () => {
    const world = await open()
    const [alice, bob] = [await read(world), await read(world, 'users/bob/#', 'bob')]
    world.authority.revoked.add('alice')
    world.authority.changed()
    await closedWith(alice, 'unauthorized')
    await append(world, 'users/bob', [{ topic: 'users/bob/x' }])
    await bob.event('entry')
  })

  it('[P-18.12] when the server stops, also for who does not read', async () => {
    const world = await open({ limits: { lingerMs: 100 } })
    const [reader, paused] = [await read(world), await read(world)]
    await reader.caughtUp(notes)
    paused.pause()
    await fill(world, 200, () => {})
    const stopped = world.bridge.close()
    await closedWith(reader, 'stopping')
    await within(stopped, 'the bridge to close')
    paused.resume()
    await within(paused.over, 'the end of who did not read')
  })

  it('[P-18.12] when the log cannot be read', async () => {
    const store = new BreakableStore()
    const world = await open({ store, limits: { tailCacheBytesMax: 1 } })
    for (let at = 0; at < 3; at++) await append(world, 'users/alice', [{ topic: 'users/alice/x' }])
    store.broken = true
    const reader = await read(world, `${notes}@earliest`)
    await closedWith(reader, 'store-unavailable')
  })

  it('[P-18.1] lets go of everything when the client leaves', async () => {
    const world = await open()
    const reader = await read(world)
    await reader.caughtUp(notes)
    const { followers } = await world.log.stream('users/alice')
    expect([followers.size, world.bridge.stats().eventStreams]).to.deep.equal([1, 1])
    const left = new Promise<void>((resolve) => world.bridge.server.once('connection', (socket) => socket.once('close', () => resolve())))
    const second = await read(world)
    second.cut()
    await within(left, 'the end of the connection')
    expect([followers.size, world.bridge.stats().eventStreams]).to.deep.equal([1, 1])
  })

  it('[P-10.26] shows nothing while revocations cannot be read, and everything afterwards', async () => {
    const world = await open()
    const reader = await read(world)
    await reader.caughtUp(notes)
    world.authority.blind = true
    await append(world, 'users/alice', [{ topic: 'users/alice/x', payload: 'held' }])
    world.live.publish({ stream: 'users/alice', topic: 'users/alice/x', payload: Buffer.from('dropped'), from: 'alice', client: 'c' })
    const blind = await ask(world, eventsPath([notes]), { token: 'alice' })
    expect([blind.status, blind.body['code']]).to.deep.equal([503, 'store-unavailable'])
    expect(reader.inbox.all.filter(({ name }) => name !== 'at')).to.deep.equal([])
    world.authority.blind = false
    world.authority.changed()
    expect((await reader.event('entry')).json).to.include({ text: 'held' })
    expect(reader.inbox.all.filter(({ name }) => name === 'ephemeral')).to.deep.equal([])
  })

  it('[P-18.13, P-13.15] holds a reader that does not read to its unsent bytes, while others read on', async () => {
    const { unsentBytesMax } = defaultLimits
    const world = await open()
    const [stalled, reader] = [await read(world), await read(world)]
    for (const one of [stalled, reader]) await one.caughtUp(notes)
    stalled.pause()
    let unsentMax = 0
    await fill(world, 400, () => (unsentMax = Math.max(unsentMax, world.bridge.stats().eventUnsentBytes)))
    expect(numbersOf(await reader.events('entry', 400))).to.deep.equal(upTo(400))
    expect(unsentMax, 'unsent bytes reached the bound').to.be.at.least(unsentBytesMax)
    // What one run of deliveries takes may pass it, and the other reader has unsent bytes too.
    expect(unsentMax, 'unsent bytes kept to the bound').to.be.at.most(2 * unsentBytesMax + defaultLimits.bucketBytesMax)
    expect(stalled.bytesRead, 'the reader has really not read').to.be.below(400 * 60_000)
    stalled.resume()
    expect(numbersOf(await stalled.events('entry', 400))).to.deep.equal(upTo(400))
  })

  it('[P-18.13, P-13.41] cuts a reader that has not read for unreadTimeoutMs', async () => {
    const world = await open()
    const [stalled, reader] = [await read(world), await read(world)]
    for (const one of [stalled, reader]) await one.caughtUp(notes)
    stalled.pause()
    await fill(world, 200, () => {})
    await reader.events('entry', 200)
    // As long as the token lives, and as long as it may take: not cut.
    const aTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
    const seen = reader.inbox.all.length
    world.clock.ms += defaultLimits.unreadTimeoutMs
    // A comment or an `at`: all have been looked at.
    while (reader.inbox.all.length === seen) await aTurn()
    expect(world.bridge.stats().eventStreams).to.equal(2)
    world.clock.ms += defaultLimits.unreadTimeoutMs
    while (world.bridge.stats().eventStreams === 2) await aTurn()
    stalled.resume()
    expect(await within(stalled.over, 'the end of the stalled reader'), 'ended in good order').to.equal(false)
    expect(stalled.inbox.all.filter(({ name }) => name === 'closed')).to.deep.equal([])
    expect(world.bridge.stats().eventStreams).to.equal(1)
  })

  it('[P-18.14] allows one user no more than connectionsPerUserMax, and 0 for any number', async () => {
    const world = await open({ limits: { connectionsPerUserMax: 2 } })
    const [first] = [await read(world), await read(world)]
    const third = await ask(world, eventsPath([notes]), { token: 'alice' })
    expect([third.status, third.body['code']]).to.deep.equal([429, 'too-many-requests'])
    await read(world, 'users/bob/#', 'bob')
    world.clock.ms += 3_600_000
    await first?.event('closed')
    await read(world)
    const unbounded = await open({ limits: { connectionsPerUserMax: 0 } })
    for (let at = 0; at < 3; at++) await read(unbounded)
    expect(unbounded.bridge.stats().eventStreams).to.equal(3)
  })

  it('[P-18.15, P-13.47] says that it is there every eventsKeepAliveMs, and how far it is complete [P-6.15]', async () => {
    const world = await open()
    const reader = await read(world)
    await reader.caughtUp(notes)
    for (let times = 0; times < 2; times++) {
      world.clock.ms += defaultLimits.eventsKeepAliveMs
      await reader.comment()
    }
    await reader.caughtUp(notes)
    expect(reader.inbox.all.map(({ name }) => name)).to.deep.equal(['at', 'at'])
  })

  it('[P-18.5, P-18.1] shows the same on every node, and goes on at another one', async () => {
    const store = new MemoryStore({ shared: true })
    const hub = deafHintHub()
    const limits = { headPollMs: 10 }
    const [a, b] = [await open({ store, hints: await hub.join(), limits }), await open({ store, hints: await hub.join(), limits })]
    const from = `${notes}@earliest`
    const readers = [await read(a, from), await read(b, from)]
    for (let at = 0; at < 5; at++) await append(at % 2 ? a : b, 'users/alice', [{ topic: 'users/alice/x', payload: `${at}` }])
    const [onA, onB] = await Promise.all(readers.map((reader) => reader.events('entry', 5)))
    const shown = (events: readonly SentEvent[] = []): unknown =>
      events.map(({ lastId, json: { hops: _hops, ...envelope } }) => ({ lastId, envelope }))
    expect(shown(onA)).to.deep.equal(shown(onB))
    for (const [at, event] of (onA ?? []).entries()) {
      const other = await EventReader.open(b.url, { token: 'alice', from: [from], lastEventId: event.lastId })
      await other.caughtUp(notes)
      expect(shown(other.inbox.all.filter(({ name }) => name === 'entry'))).to.deep.equal((shown(onB) as unknown[]).slice(at + 1))
    }
  })

  it('[P-18.8] brings ephemeral messages of other nodes where their hints arrive', async () => {
    const store = new MemoryStore({ shared: true })
    const hub = hintHub()
    const [a, b] = [await open({ store, hints: await hub.join() }), await open({ store, hints: await hub.join() })]
    const reader = await read(b)
    await reader.caughtUp(notes)
    a.live.publish({ stream: 'users/alice', topic: 'users/alice/x', payload: Buffer.from('live'), from: 'alice', client: 'phone' })
    expect((await reader.event('ephemeral')).json).to.include({ text: 'live', topic: 'users/alice/x' })
  })
})

class BreakableStore extends MemoryStore {
  broken = false

  override read(...given: Parameters<MemoryStore['read']>): Promise<Bucket[]> {
    return this.broken ? Promise.reject(new Error('the disk is gone')) : super.read(...given)
  }
}

/** Appends numbered entries of 60 kB, one after the other. */
async function fill(world: World, count: number, each: () => void): Promise<void> {
  for (let at = 0; at < count; at++) {
    await append(world, 'users/alice', [{ topic: 'users/alice/x', payload: `${at} `.padEnd(60_000, 'x') }])
    each()
  }
}

function numbersOf(events: readonly SentEvent[]): number[] {
  return events.map(({ json }) => Number.parseInt(json['text'] as string, 10))
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at)
}
