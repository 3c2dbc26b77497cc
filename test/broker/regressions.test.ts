/**
 * Faults of aedes 1.2.0 as it comes, and that this broker, which stands on it, has none of them: each scenario
 * runs against both. What happens by chance elsewhere is made certain here by gates that the scenario opens.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Client } from 'aedes'
import { expect } from 'chai'
import { generate } from 'mqtt-packet'
import { encodePublish, writeLength } from '../../broker/packets.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Limits } from '../../seams/limits.ts'
import { closeAll, testBroker } from '../support/broker.ts'
import { calls, GatedStore, type Gate } from '../support/gated-store.ts'
import { destroyRawClients, RawClient, type ConnectOptions } from '../support/raw-mqtt.ts'
import { openStockAedes } from '../support/stock-aedes.ts'
import { tempFolder } from '../support/temp.ts'
import { Inbox, within } from '../support/waiting.ts'

/** One of the two brokers, with what a scenario does to it. */
interface Side {
  readonly port: number
  /** A connected client of this user; one that is silent sends no PUBACK. */
  readonly client: (name: string, options?: ConnectOptions & { readonly silent?: boolean }) => Promise<RawClient>
  connections(): number
  /** Bytes that the broker holds because their reader does not read. */
  readonly unsentBytes: () => number
  /** Bytes that arrived and are part of no whole packet yet. */
  partialBytes(): number
  /** Holds a publish where the broker waits for its store: the first one, or all. */
  holdStoring(which: 'first' | 'all'): Gate
  /** Holds a publish at the first thing that the broker waits for. */
  holdPublish(): Gate
  /** Storing fails until the returned function is called. */
  failStoring(): () => void
  /** Holds the first delivery after what it waits for has begun. Nothing is waited for in this broker. */
  holdDelivery(): Gate
  /** Holds so many authentications. */
  holdAuthentications(count: number): Gate
  /** The next packet id for this client is this one, as it would be sooner or later. */
  nextPacketId(clientId: string, id: number): void
  /** Filters that were handed to the store, each as often as it was. */
  filtersStored(): number
}

interface Persistence {
  outgoingEnqueueCombi: (...args: unknown[]) => Promise<unknown>
  outgoingUpdate: (...args: unknown[]) => Promise<unknown>
  addSubscriptions: (client: Client, filters: unknown[]) => Promise<unknown>
}

const open = { reached: Promise.resolve(), release: () => {} }
const closing: (() => Promise<void>)[] = []

/** A gate that the broker under test waits at. */
class Barrier implements Gate {
  readonly reached: Promise<void>
  readonly #opened: Promise<void>
  #left: number
  #arrived: () => void = () => {}
  release: () => void = () => {}

  /** It is reached when so many wait. */
  constructor(count = 1) {
    this.#left = count
    this.reached = new Promise((resolve) => (this.#arrived = resolve))
    this.#opened = new Promise((resolve) => (this.release = resolve))
  }

  async pass(): Promise<void> {
    if (--this.#left === 0) this.#arrived()
    await this.#opened
  }
}

/** aedes with its own persistence and emitter. A user may subscribe to what begins with its name. */
async function stock(): Promise<Side> {
  const users = new WeakMap<Client, string>()
  let authenticating: Barrier | undefined
  let publishing: Barrier | undefined
  const { aedes, port, sockets, close } = await openStockAedes({
    authenticate(client, username, _password, done) {
      users.set(client, String(username))
      void (authenticating?.pass() ?? Promise.resolve()).then(() => done(null, true))
    },
    authorizePublish(_client, _packet, done) {
      void (publishing?.pass() ?? Promise.resolve()).then(() => done(null))
    },
    authorizeSubscribe(client, subscription, done) {
      done(null, subscription.topic.startsWith(`users/${users.get(client)}/`) ? subscription : null)
    },
  })
  closing.push(close)
  const { persistence, clients } = aedes as unknown as { persistence: Persistence; clients: Record<string, Client> }
  let filters = 0
  const { addSubscriptions } = persistence
  persistence.addSubscriptions = (client, added) => {
    filters += added.length
    return addSubscriptions.call(persistence, client, added)
  }
  /** Puts a gate before a method of the persistence. */
  function hold(method: 'outgoingEnqueueCombi' | 'outgoingUpdate', which: 'first' | 'all'): Gate {
    const barrier = new Barrier()
    const original = persistence[method]
    let held = 0
    persistence[method] = async (...args) => {
      if (which === 'all' || held++ === 0) await barrier.pass()
      return await original.apply(persistence, args)
    }
    return barrier
  }
  return {
    port,
    client: (name, options) => connected(port, name, options),
    connections: () => aedes.connectedClients,
    unsentBytes: () => [...sockets].reduce((sum, { writableLength }) => sum + writableLength, 0),
    partialBytes: () => [...sockets].reduce((sum, socket) => sum + bytesGathered(socket), 0),
    holdStoring: (which) => hold('outgoingEnqueueCombi', which),
    holdPublish: () => (publishing = new Barrier()),
    failStoring() {
      const original = persistence.outgoingEnqueueCombi
      persistence.outgoingEnqueueCombi = () => Promise.reject(new Error('the disk is full'))
      return () => (persistence.outgoingEnqueueCombi = original)
    },
    holdDelivery: () => hold('outgoingUpdate', 'first'),
    holdAuthentications: (count) => (authenticating = new Barrier(count)),
    nextPacketId: (clientId, id) => void Reflect.set(clients[clientId] as Client, '_nextId', id),
    filtersStored: () => filters,
  }
}

async function connected(
  port: number,
  name: string,
  { silent = false, ...options }: Parameters<Side['client']>[1] = {},
): Promise<RawClient> {
  const client = await RawClient.open(port)
  client.acknowledges = !silent
  expect((await client.connect({ clientId: name, username: name, ...options })).returnCode).to.equal(0)
  return client
}

function bytesGathered(socket: Socket): number {
  const parser = Reflect.get(Reflect.get(socket, 'client') as Client, '_parser') as object
  return (Reflect.get(parser, '_list') as { length: number }).length
}

async function ours(limits: Partial<Limits> = {}): Promise<Side> {
  const store = new GatedStore(new MemoryStore())
  const it = await testBroker({ store, limits })
  let filters = 0
  const put = store.documents.put.bind(store.documents)
  store.documents.put = (...args) => {
    filters += ((args[2] as { filters?: unknown[] }).filters ?? []).length
    return put(...args)
  }
  const holdStoring = (which: 'first' | 'all'): Gate => {
    let held = 0
    return store.hold((call) => call.name === 'commit' && (which === 'all' || held++ === 0))
  }
  return {
    port: it.port,
    client: async (name, options) => connected(it.port, name, { password: await it.token(name), ...options }),
    connections: () => it.broker.stats().connections,
    unsentBytes: () => it.broker.stats().unsentBytes,
    partialBytes: () => 0,
    holdStoring,
    holdPublish: () => holdStoring('all'),
    failStoring: () => store.fail(calls('commit'), new Error('the disk is full')),
    holdDelivery: () => open,
    holdAuthentications(count) {
      const barrier = new Barrier(count)
      const authenticate = it.authority.authenticate.bind(it.authority)
      it.authority.authenticate = async (...args) => {
        const principal = await authenticate(...args)
        await barrier.pass()
        return principal
      }
      return barrier
    },
    nextPacketId: () => {},
    filtersStored: () => filters,
  }
}

/** Waits turn by turn. */
async function until(holds: () => boolean, what: string): Promise<void> {
  const endsAt = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > endsAt) expect.fail(`waited in vain until ${what}`)
    await nextTurn()
  }
}

/** Lets everything happen that needs no more than some turns of both ends. */
async function roundTrips(...clients: readonly RawClient[]): Promise<void> {
  for (let trip = 0; trip < 20; trip++) for (const client of clients) await client.ping()
}

/** The texts that the client has been sent, up to this one. */
async function textsUntil(client: RawClient, last: string): Promise<string[]> {
  const texts: string[] = []
  while (texts.at(-1) !== last) texts.push((await client.message()).text)
  return texts
}

/** A session that has this filter and is left. */
async function keptSession(side: Side, filters: readonly string[] = ['users/alice/#']): Promise<number[]> {
  const reader = await resumed(side)
  const codes = await reader.subscribe(filters)
  await reader.disconnect()
  return codes
}

const resumed = (side: Side, silent = false): Promise<RawClient> => side.client('alice', { clientId: 'reader', clean: false, silent })
const isPuback = ({ cmd }: { cmd?: string | undefined }): boolean => cmd === 'puback'
const topic = 'users/alice/notes'

/** aedes in a process of its own, which reports its emitter's queue and the bytes that nobody reads. */
const childProgram = `
import { createServer } from 'node:net'
import { Aedes } from ${JSON.stringify(import.meta.resolve('aedes'))}
const aedes = await Aedes.createBroker()
const sockets = new Set()
const server = createServer((socket) => { sockets.add(socket); aedes.handle(socket) }).listen(0, '127.0.0.1', () => {
  const { port } = server.address()
  setInterval(() => {
    let unsent = 0
    for (const socket of sockets) unsent += socket.writableLength
    process.send({ port, unsent, queued: aedes.mq.length })
  }, 20)
})
process.once('disconnect', () => process.exit(0))
`

interface Report {
  readonly port: number
  readonly unsent: number
  readonly queued: number
}

async function stockChild(): Promise<{ child: ChildProcess; reports: Inbox<Report>; errors: () => string; ended: Promise<number | null> }> {
  const file = join(await tempFolder(), 'broker.mjs')
  await writeFile(file, childProgram)
  const child = fork(file, {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const reports = new Inbox<Report>()
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  child.on('message', (report) => reports.add(report as Report))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  void ended.then((code) => reports.end(`aedes ended with ${code}: ${errors.slice(0, 500)}`))
  closing.push(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, reports, errors: () => errors, ended }
}

describe('Faults of aedes as it comes', function () {
  this.timeout(120_000)

  afterEach(async () => {
    destroyRawClients()
    await Promise.all(closing.splice(0).map((close) => within(close(), 'a broker to close')))
    await closeAll()
  })

  it('[P-4.2] a PUBACK is written while the message is still being stored', async () => {
    async function acknowledgedBeforeStored(side: Side): Promise<boolean> {
      await keptSession(side)
      const writer = await side.client('alice', { clientId: 'writer' })
      const gate = side.holdStoring('all')
      const messageId = writer.publishNow(topic, 'a')
      await within(gate.reached, 'the message to reach the store')
      await roundTrips(writer)
      const early = writer.inbox.all.some(isPuback)
      gate.release()
      await writer.expect((packet) => isPuback(packet) && packet.messageId === messageId, 'PUBACK')
      return early
    }
    expect(await acknowledgedBeforeStored(await stock())).to.equal(true)
    expect(await acknowledgedBeforeStored(await ours())).to.equal(false)
  })

  it('[P-8.7] a message that the store refuses has its PUBACK, and is lost', async () => {
    async function whenStoringFails(side: Side): Promise<{ acknowledged: boolean; received: string[] }> {
      await keptSession(side)
      const writer = await side.client('alice', { clientId: 'writer' })
      const heal = side.failStoring()
      writer.publishNow(topic, 'a')
      await writer.gone('the store failed')
      const acknowledged = writer.inbox.all.some(isPuback)
      heal()
      const again = await side.client('alice', { clientId: 'writer' })
      // A client sends again what has no PUBACK.
      if (!acknowledged) await again.publish(topic, 'a', { dup: true })
      await again.publish(topic, 'end')
      return { acknowledged, received: await textsUntil(await resumed(side), 'end') }
    }
    expect(await whenStoringFails(await stock())).to.deep.equal({ acknowledged: true, received: ['end'] })
    expect(await whenStoringFails(await ours())).to.deep.equal({ acknowledged: false, received: ['a', 'end'] })
  })

  it('[P-4.12] a message whose publisher leaves while it is waited for is accepted, and not delivered', async () => {
    async function whenPublisherLeaves(side: Side): Promise<string[]> {
      const reader = await side.client('alice', { clientId: 'reader' })
      await reader.subscribe('users/alice/#')
      const writer = await side.client('alice', { clientId: 'writer' })
      await until(() => side.connections() === 2, 'both are connected')
      const gate = side.holdPublish()
      writer.publishNow(topic, 'a')
      await within(gate.reached, 'the message to be waited for')
      writer.destroy()
      await until(() => side.connections() === 1, 'the writer is gone')
      gate.release()
      await roundTrips(reader)
      await (await side.client('alice', { clientId: 'another' })).publish(topic, 'end')
      return await textsUntil(reader, 'end')
    }
    expect(await whenPublisherLeaves(await stock())).to.deep.equal(['end'])
    expect(await whenPublisherLeaves(await ours())).to.deep.equal(['a', 'end'])
  })

  for (const clean of [true, false]) {
    it(`[P-8.6] of several publishers’ messages, one that takes longer to store is acknowledged and dropped, clean=${clean}`, async () => {
      async function received(side: Side): Promise<string[]> {
        const reader = await side.client('alice', { clientId: 'reader', clean })
        await reader.subscribe('users/alice/#')
        const writers = await Promise.all(['one', 'two', 'three'].map((clientId) => side.client('alice', { clientId })))
        const [one, two, three] = writers as [RawClient, RawClient, RawClient]
        const gate = side.holdStoring('first')
        const ids = [one.publishNow(topic, 'a')]
        await within(gate.reached, 'the first message to reach the store')
        ids.push(two.publishNow(topic, 'b'), three.publishNow(topic, 'c'))
        await roundTrips(two, three, reader)
        gate.release()
        await Promise.all(
          writers.map((writer, at) => writer.expect((packet) => isPuback(packet) && packet.messageId === ids[at], 'PUBACK')),
        )
        await roundTrips(reader)
        await one.publish(topic, 'end')
        return (await textsUntil(reader, 'end')).sort()
      }
      expect(await received(await stock())).to.deep.equal(['b', 'c', 'end'])
      expect(await received(await ours())).to.deep.equal(['a', 'b', 'c', 'end'])
    })
  }

  it('[P-8.6] dropping one message takes another one out of the queue of a kept session', async () => {
    async function receivedInTheEnd(side: Side): Promise<string[]> {
      const reader = await resumed(side)
      await reader.subscribe('users/alice/#')
      const [one, two] = [await side.client('alice', { clientId: 'one' }), await side.client('alice', { clientId: 'two' })]
      const storing = side.holdStoring('first')
      const delivery = side.holdDelivery()
      one.publishNow(topic, 'late')
      await within(storing.reached, 'the first message to reach the store')
      two.publishNow(topic, 'victim')
      await within(delivery.reached, 'the delivery of the second to begin')
      storing.release()
      await one.expect(isPuback, 'the PUBACK of the first')
      await two.expect(isPuback, 'the PUBACK of the second')
      await roundTrips(one, two, reader)
      delivery.release()
      await roundTrips(one, two)
      const before = reader.unread().map(({ text }) => text)
      if (!reader.isClosed) await reader.ping()
      reader.destroy()
      await until(() => side.connections() === 2, 'the reader is gone')
      await one.publish(topic, 'end')
      return [...new Set([...before, ...(await textsUntil(await resumed(side), 'end'))])].sort()
    }
    expect(await receivedInTheEnd(await stock())).to.not.include('victim')
    expect(await receivedInTheEnd(await ours())).to.deep.equal(['end', 'late', 'victim'])
  })

  it('[P-4.18] acknowledging a new message takes an old one out of the queue, whose packet id it shares', async () => {
    async function repeatedInTheEnd(side: Side): Promise<string[]> {
      const reader = await resumed(side, true)
      await reader.subscribe('users/alice/#')
      const writer = await side.client('alice', { clientId: 'writer' })
      await writer.publish(topic, 'old')
      const { messageId: oldId } = await reader.message()
      reader.destroy()
      await until(() => side.connections() === 1, 'the reader is gone')
      const second = await resumed(side, true)
      await second.message()
      side.nextPacketId('reader', oldId as number)
      await writer.publish(topic, 'new')
      const { text, messageId } = await second.message()
      expect(text).to.equal('new')
      second.send({ cmd: 'puback', messageId: messageId as number })
      await second.ping()
      second.destroy()
      await until(() => side.connections() === 1, 'the reader is gone again')
      await writer.publish(topic, 'end')
      return await textsUntil(await resumed(side), 'end')
    }
    expect(await repeatedInTheEnd(await stock())).to.deep.equal(['new', 'end'])
    expect(await repeatedInTheEnd(await ours())).to.include.members(['old', 'end'])
  })

  /** Sends large messages until the broker holds bytes for a reader that does not read. */
  async function stall(writer: RawClient, target: string, unsent: () => Promise<number> | number): Promise<void> {
    const large = encodePublish(target, Buffer.alloc(60_000, 'x'))
    for (let sent = 0; (await unsent()) === 0; sent++) {
      expect(sent, 'messages sent').to.be.lessThan(2_000)
      writer.bytes(large)
      for (let turn = 0; turn < 5; turn++) await nextTurn()
    }
  }

  it('[P-4.30] one reader that does not read stalls all other users, and who publishes to it', async () => {
    async function whileOneStalls(side: Side): Promise<{ delivered: boolean; publisherHeard: boolean }> {
      const slow = await side.client('alice', { clientId: 'slow' })
      await slow.subscribe('users/alice/slow', 0)
      slow.socket.pause()
      const bob = await side.client('bob')
      await bob.subscribe('users/bob/#')
      const writers = await Promise.all(Array.from({ length: 5 }, (_unused, at) => side.client('alice', { clientId: `writer${at}` })))
      const writer = writers[0] as RawClient
      await stall(writer, 'users/alice/slow', side.unsentBytes)
      const small = encodePublish('users/alice/slow', Buffer.alloc(300, 'x'))
      for (const each of writers) each.bytes(Buffer.concat(Array.from({ length: 50 }, () => small)))
      await roundTrips(bob)
      writer.send({ cmd: 'pingreq' })
      await bob.publish('users/bob/notes', 'hello')
      await roundTrips(bob)
      const delivered = bob.unread().length === 1
      const publisherHeard = writer.inbox.all.some(({ cmd }) => cmd === 'pingresp')
      // It was the one reader: all goes on when it reads.
      slow.socket.resume()
      expect((await bob.message()).text).to.equal('hello')
      await writer.expect(({ cmd }) => cmd === 'pingresp', 'PINGRESP')
      return { delivered, publisherHeard }
    }
    expect(await whileOneStalls(await stock())).to.deep.equal({ delivered: false, publisherHeard: false })
    expect(await whileOneStalls(await ours({ unsentBytesMax: 32 * 1024 }))).to.deep.equal({ delivered: true, publisherHeard: true })
  })

  it('[P-12.27] the process dies when messages that nobody listens to have queued up behind a slow reader', async () => {
    type Connect = (clientId: string) => Promise<RawClient>
    /** Fills the queue behind a reader that does not read, and then lets it read. */
    async function drainAtOnce(
      connect: Connect,
      unsent: () => Promise<number> | number,
      queued: (count: number) => Promise<unknown>,
    ): Promise<RawClient[]> {
      const slow = await connect('slow')
      await slow.subscribe('users/alice/slow', 0)
      slow.socket.pause()
      const writers = await Promise.all(Array.from({ length: 20 }, (_unused, at) => connect(`writer${at}`)))
      await stall(writers[0] as RawClient, 'users/alice/slow', unsent)
      const awaited = encodePublish('users/alice/slow', Buffer.alloc(20))
      const unheard = encodePublish('users/alice/none', Buffer.alloc(0))
      // First what takes all places, then, without a gap, what nobody listens to.
      for (const writer of writers.slice(0, 5)) writer.bytes(Buffer.concat(Array.from({ length: 60 }, () => awaited)))
      await queued(50)
      for (const writer of writers.slice(5)) writer.bytes(Buffer.concat(Array.from({ length: 3_000 }, () => unheard)))
      await queued(10_000)
      slow.socket.resume()
      return writers
    }

    const { reports, errors, ended } = await stockChild()
    const next = (): Promise<Report> => reports.take(() => true, 'a report')
    const { port } = await next()
    const unsent = async (): Promise<number> => {
      reports.waiting.length = 0
      return (await next()).unsent
    }
    const queued = (count: number): Promise<Report> =>
      reports.take((report) => report.queued > count, `${count} messages to be queued`, 30_000)
    await drainAtOnce((clientId) => connected(port, 'alice', { clientId }), unsent, queued)
    expect(await within(ended, 'aedes to die', 30_000)).to.not.equal(0)
    expect(errors()).to.match(/RangeError: Maximum call stack size exceeded/)

    const side = await ours({ unsentBytesMax: 32 * 1024 })
    const other = await side.client('bob')
    const writers = await drainAtOnce(
      (clientId) => side.client('alice', { clientId }),
      side.unsentBytes,
      () => roundTrips(other),
    )
    await Promise.all(writers.map((writer) => writer.ping()))
    await until(() => side.unsentBytes() === 0, 'all is read')
    await other.subscribe('users/bob/#')
    await other.publish('users/bob/notes', 'alive')
    expect((await other.message()).text).to.equal('alive')
  })

  it('[P-4.8] a filter that was refused beside a granted one is kept, and served after the next CONNECT', async () => {
    async function overheard(side: Side): Promise<string[]> {
      expect(await keptSession(side, ['users/alice/#', 'users/bob/secret'])).to.deep.equal([1, 128])
      await (await side.client('bob')).publish('users/bob/secret', 'for bob alone')
      await (await side.client('alice', { clientId: 'writer' })).publish(topic, 'end')
      return await textsUntil(await resumed(side), 'end')
    }
    expect(await overheard(await stock())).to.deep.equal(['for bob alone', 'end'])
    expect(await overheard(await ours())).to.deep.equal(['end'])
  })

  it('[P-13.8] the work of a SUBSCRIBE grows with the square of its filters', async () => {
    const count = 700
    async function workOf(side: Side): Promise<{ stored: number; closed: boolean }> {
      const reader = await resumed(side)
      const subscriptions = Array.from({ length: count }, (_unused, at) => ({ topic: `users/alice/${at}`, qos: 1 as const }))
      const packet = generate({ cmd: 'subscribe', messageId: 1, subscriptions })
      expect(packet.length).to.be.lessThan(16 * 1024)
      reader.bytes(packet)
      await reader.inbox.until(() => reader.inbox.all.some(({ cmd }) => cmd === 'suback'), 'SUBACK').catch(() => {})
      return { stored: side.filtersStored(), closed: reader.isClosed }
    }
    expect(await workOf(await stock())).to.deep.equal({ stored: count * count, closed: false })
    expect(await workOf(await ours())).to.deep.equal({ stored: 0, closed: true })
  })

  it('[P-4.17] a new message overtakes those that came while the client was away', async () => {
    const count = 50
    async function positionOfNew(side: Side): Promise<number> {
      await keptSession(side)
      const writer = await side.client('alice', { clientId: 'writer' })
      for (let at = 0; at < count; at++) await writer.publish(topic, `old${at}`)
      const replay = side.holdDelivery()
      const reader = await resumed(side, true)
      await within(replay.reached, 'the replay to begin')
      await writer.publish(topic, 'new')
      await roundTrips(writer, reader)
      replay.release()
      reader.acknowledges = true
      for (const { messageId } of reader.unread()) reader.send({ cmd: 'puback', messageId: messageId as number })
      const texts = (await reader.messages(count + 1)).map(({ text }) => text)
      expect(new Set(texts).size).to.equal(count + 1)
      return texts.indexOf('new')
    }
    expect(await positionOfNew(await stock())).to.be.lessThan(count)
    // The window is smaller than what is to be sent, so the replay is under way when the new one comes.
    expect(await positionOfNew(await ours({ inflightMax: 5 }))).to.equal(count)
  })

  it('[P-4.30] thousands of messages are sent to a client that acknowledges none', async () => {
    const count = 2_000
    async function sentWithoutPuback(side: Side): Promise<number> {
      const reader = await resumed(side, true)
      await reader.subscribe('users/alice/#')
      const writer = await side.client('alice', { clientId: 'writer' })
      for (let at = 0; at < count; at++) writer.publishNow(topic, `m${at}`)
      await writer.inbox.until(() => writer.inbox.all.filter(isPuback).length === count, 'all PUBACKs', 30_000)
      await roundTrips(reader)
      return reader.unread().length
    }
    expect(await sentWithoutPuback(await stock())).to.equal(count)
    expect(await sentWithoutPuback(await ours({ inflightMax: 1_000 }))).to.equal(1_000)
  })

  it('[P-4.20] what is sent again does not say so', async () => {
    async function dupOfRepetition(side: Side): Promise<boolean> {
      const reader = await resumed(side, true)
      await reader.subscribe('users/alice/#')
      const writer = await side.client('alice', { clientId: 'writer' })
      await writer.publish(topic, 'a')
      expect(await reader.message()).to.include({ text: 'a', dup: false })
      reader.destroy()
      await until(() => side.connections() === 1, 'the reader is gone')
      const { text, dup } = await (await resumed(side)).message()
      expect(text).to.equal('a')
      return dup
    }
    expect(await dupOfRepetition(await stock())).to.equal(false)
    expect(await dupOfRepetition(await ours())).to.equal(true)
  })

  it('[P-7.11] a CONNECT of 200 MB is gathered for who has not even said who it is', async () => {
    async function partlySent(side: Side, bytes: number): Promise<'gathered' | 'closed'> {
      const client = await RawClient.open(side.port)
      const header = Buffer.alloc(5, 0x10)
      writeLength(header, 1, 200 * 1024 * 1024)
      client.bytes(header)
      for (let sent = 0; sent < bytes; sent += 65_536) client.bytes(Buffer.alloc(65_536))
      await until(() => client.isClosed || (bytes > 0 && side.partialBytes() >= bytes), 'all is gathered, or the connection closed')
      return client.isClosed ? 'closed' : 'gathered'
    }
    expect(await partlySent(await stock(), 8 * 1024 * 1024)).to.equal('gathered')
    expect(await partlySent(await ours(), 0)).to.equal('closed')
  })

  it('[P-4.26] several connections with one client id live on side by side', async () => {
    const count = 20
    async function survivors(side: Side): Promise<number> {
      const old = await resumed(side)
      await old.subscribe('users/alice/#')
      const gate = side.holdAuthentications(count)
      const contenders: RawClient[] = []
      const answers = Array.from({ length: count }, async () => {
        contenders.push(await resumed(side))
      })
      await within(gate.reached, 'all to be authenticated')
      gate.release()
      // Those that were taken over before their CONNACK have none.
      await Promise.allSettled(answers)
      await old.gone('others have its client id')
      const pings = await Promise.allSettled(contenders.map((client) => client.ping()))
      return pings.filter(({ status }) => status === 'fulfilled').length
    }
    expect(await survivors(await stock())).to.be.greaterThan(1)
    expect(await survivors(await ours())).to.equal(1)
  })
})
