/**
 * The switch-over from catching up to live, under random interleavings: what every reader is given is contiguous
 * from where it asked, or it is told that it is not. Commits complete when the test says so, fail with an unknown
 * outcome, or lose their place to another writer.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import type { Bucket } from '../../log/bucket.ts'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import type { CommitOutcome } from '../../log/stores/store.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { abandon, closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import { GatedStore } from '../support/gated-store.ts'
import { toMessage, type Message, type RawClient } from '../support/raw-mqtt.ts'
import { Inbox, within } from '../support/waiting.ts'

const stream = 'users/alice'
const topic = `${stream}/t`
const filter = `${stream}/#`
const limits = { inflightMax: 4, headPollMs: 30, cursorFlushMs: 50, commitPauseMs: 0 }

const examined = { deliveries: 0, repeats: 0, resets: 0, discarded: 0, reconnects: 0, crashes: 0, taken: 0, unknown: 0, trims: 0, markers: 0 }

type Decision = 'now' | 'hold' | 'stored but unknown' | 'absent and unknown'

/** The store with what is truly in it. */
class World {
  readonly inner = new MemoryStore({ shared: true })
  readonly seqOf = new Map<string, number>()
  head = 0
  first = 1
  decisions: Decision[] = []
  readonly #held: (() => void)[] = []
  #count = 0
  readonly events = new Inbox<string>()
  it!: TestBroker
  store!: GatedStore
  foreign!: Log
  publisher: RawClient | undefined
  readonly readers: Reader[] = []

  async open(folder?: string): Promise<void> {
    this.store = new GatedStore(this.inner)
    this.store.committing = (buckets, commit) => this.#commit(buckets, commit)
    this.it = await testBroker({ store: this.store, limits, ...(folder === undefined ? {} : { folder }) })
  }

  async openForeign(): Promise<void> {
    const store = new GatedStore(this.inner)
    store.committing = (buckets, commit) => this.#stored(buckets, commit)
    this.foreign = await Log.open({ store, limits: { ...defaultLimits, ...limits } })
  }

  next(): string {
    return `p${++this.#count}`
  }

  async publish(count: number): Promise<void> {
    if (!this.publisher || this.publisher.isClosed) this.publisher = await this.it.client('alice', { clientId: 'publisher' })
    for (let at = 0; at < count; at++) this.publisher.publishNow(topic, this.next())
  }

  /** As another node would. */
  async append(count: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const frame = encodeFrame(topic, Buffer.from(this.next()))
      await this.foreign.publish(stream, { topic, ...frame, qos: 1, retain: false, from: 'alice', client: 'foreign', receivedMs: Date.now() })
    }
  }

  release(): void {
    this.decisions = []
    for (const release of this.#held.splice(0)) release()
  }

  async trim(fraction: number): Promise<void> {
    this.release()
    const before = this.first + Math.floor((this.head - this.first) * fraction)
    if (before <= this.first) return
    this.first = await this.it.log.trim(stream, before)
    examined.trims++
  }

  async #commit(buckets: readonly Bucket[], commit: () => Promise<CommitOutcome[]>): Promise<CommitOutcome[]> {
    const decision = this.decisions.shift() ?? 'now'
    if (decision === 'hold') await new Promise<void>((resolve) => this.#held.push(resolve))
    if (decision === 'absent and unknown') {
      examined.unknown++
      return buckets.map(() => 'unknown')
    }
    const outcomes = await this.#stored(buckets, commit)
    examined.taken += outcomes.filter((outcome) => outcome === 'taken').length
    if (decision !== 'stored but unknown') return outcomes
    examined.unknown++
    return outcomes.map(() => 'unknown')
  }

  async #stored(buckets: readonly Bucket[], commit: () => Promise<CommitOutcome[]>): Promise<CommitOutcome[]> {
    const outcomes = await commit()
    buckets.forEach((bucket, index) => {
      if (outcomes[index] !== 'stored' || bucket.stream !== stream) return
      expect(bucket.firstSeq, 'the store has no holes').to.equal(this.head + 1)
      this.head = bucket.lastSeq
      for (let at = 0; at < bucket.count; at++) this.seqOf.set(bucket.payload(at).toString(), bucket.firstSeq + at)
    })
    return outcomes
  }
}

abstract class Reader {
  readonly world: World
  client: RawClient | undefined
  #read = 0
  /** What must come next; while unknown, the range in which it must lie. */
  next: number | undefined
  range = { from: 1, to: Infinity }
  unacknowledged: { seq: number; messageId: number }[] = []

  constructor(world: World) {
    this.world = world
  }

  get live(): boolean {
    return this.client !== undefined && !this.client.isClosed
  }

  protected attach(client: RawClient): void {
    client.acknowledges = false
    this.client = client
    this.#read = 0
    this.unacknowledged = []
  }

  /** Judges what has come since the last call. */
  check(): void {
    const { client } = this
    if (!client) return
    const packets = client.inbox.all
    while (this.#read < packets.length) {
      const packet = packets[this.#read++]
      if (packet?.cmd === 'publish') this.judge(toMessage(packet))
    }
  }

  protected expectNext(seq: number | undefined, what: string): number {
    if (seq === undefined) throw new Error(`${what} is in no store`)
    if (this.next === undefined) {
      expect(seq, `${what}: where reading begins`).to.be.within(this.range.from, this.range.to)
    } else expect(seq, what).to.equal(this.next)
    this.next = seq + 1
    examined.deliveries++
    return seq
  }

  acknowledge(count: number): void {
    this.check()
    for (const { messageId } of this.unacknowledged.splice(0, count)) this.client?.send({ cmd: 'puback', messageId })
  }

  cut(): void {
    this.client?.destroy()
    this.client = undefined
  }

  abstract judge(message: Message): void
  abstract connect(): Promise<void>
  /** Subscribes again on the same connection. */
  abstract again(pick: number): Promise<void>
}

class PlainReader extends Reader {
  judge({ text, retain, dup, messageId }: Message): void {
    const seq = this.expectNext(this.world.seqOf.get(text), `plain ${text}`)
    expect(retain).to.equal(false)
    expect(dup).to.equal(false)
    this.unacknowledged.push({ seq, messageId: messageId as number })
  }

  async connect(): Promise<void> {
    this.attach(await this.world.it.client('alice', { clientId: `plain${this.world.readers.indexOf(this)}` }))
    this.next = undefined
    const from = this.world.head + 1
    this.range = { from, to: Infinity }
    await this.client?.subscribe(filter)
    this.range = { from, to: this.world.head + 1 }
  }

  async again(): Promise<void> {
    await this.client?.subscribe(filter)
  }
}

class SessionReader extends Reader {
  readonly #clientId: string
  #subscribed = false
  /** Everything from the beginning of the subscription up to here was acknowledged. */
  #floor: number | undefined
  /** As the floor when the server last surely knew it. */
  #sureFloor = 0
  #acked = new Set<number>()
  #seen = 0
  #graceful = false
  #fresh = true

  constructor(world: World, clientId: string) {
    super(world)
    this.#clientId = clientId
  }

  judge({ text, dup, messageId }: Message): void {
    const seq = this.world.seqOf.get(text)
    if (seq !== undefined && this.#fresh && this.#floor !== undefined) {
      // The first one of a connection may be a repetition, of nothing that was acknowledged in good order.
      expect(seq, `session ${text}: a gap after ${this.#floor}`).to.be.at.most(this.#floor + 1)
      if (this.#graceful) expect(seq, `session ${text}: acknowledged before`).to.equal(this.#floor + 1)
      this.next = seq
    }
    this.expectNext(seq, `session ${text}`)
    this.#fresh = false
    const at = seq as number
    if (this.#floor === undefined) this.#floor = at - 1
    if (at <= this.#seen) {
      examined.repeats++
      expect(dup, `session ${text}: a repetition carries DUP`).to.equal(true)
    }
    this.#seen = Math.max(this.#seen, at)
    this.unacknowledged.push({ seq: at, messageId: messageId as number })
  }

  override acknowledge(count: number): void {
    this.check()
    if (!this.live) return
    for (const { seq } of this.unacknowledged.slice(0, count)) this.#acked.add(seq)
    super.acknowledge(count)
    while (this.#floor !== undefined && this.#acked.delete(this.#floor + 1)) this.#floor++
  }

  override cut(): void {
    this.check()
    super.cut()
    this.#graceful = false
  }

  /** Its place may not have reached the disk. */
  crashed(): void {
    this.#graceful = false
  }

  async leave(): Promise<void> {
    const { client } = this
    if (!client || client.isClosed) return
    client.send({ cmd: 'disconnect' })
    await within(client.closed, 'the end after DISCONNECT')
    this.check()
    this.#graceful = true
    this.client = undefined
  }

  async connect(): Promise<void> {
    if (this.live) return
    this.check()
    if (this.client) this.#graceful = false // The server has closed it.
    const { world } = this
    const client = await world.it.raw()
    this.attach(client)
    const connack = await client.connect({ clientId: this.#clientId, clean: false, password: await world.it.token('alice') })
    expect(connack.returnCode).to.equal(0)
    examined.reconnects++
    if (this.#subscribed && !connack.sessionPresent) {
      expect(world.first, 'a session is given up only for what was trimmed').to.be.greaterThan(this.#sureFloor + 1)
      examined.discarded++
      this.#subscribed = false
    }
    this.#fresh = true
    this.next = undefined
    this.#sureFloor = this.#floor ?? this.range.from - 1
    if (this.#subscribed) return
    this.#floor = undefined
    this.#acked = new Set()
    this.#seen = 0
    const from = world.head + 1
    this.range = { from, to: Infinity }
    const [code] = await client.subscribe(filter)
    expect(code).to.equal(1)
    this.range = { from, to: world.head + 1 }
    this.#sureFloor = from - 1
    this.#subscribed = true
  }

  async again(): Promise<void> {
    await this.client?.subscribe(filter)
  }
}

type Json = Record<string, unknown>

class SyncReader extends Reader {
  #positions: string[] = []
  #isReset = false
  #wire = ''

  get isReset(): boolean {
    return this.#isReset
  }

  judge({ topic: name, text, messageId }: Message): void {
    const json = JSON.parse(text) as Json
    this.unacknowledged.push({ seq: 0, messageId: messageId as number })
    if (name.endsWith('/$ctl') ? json['filter'] !== this.#wire : !name.startsWith(this.#wire.slice(0, -1))) return // Of an earlier subscription.
    expect(this.#isReset, `nothing comes after a reset: ${text}`).to.equal(false)
    if (!('ctl' in json)) {
      this.expectNext(seqOf(json['pos']), `sync ${text}`)
      expect(this.world.seqOf.get(json['text'] as string)).to.equal(seqOf(json['pos']))
      this.#positions.push(json['pos'] as string)
    } else if (json['ctl'] === 'at' || json['ctl'] === 'snapshot-start') {
      const at = seqOf(json['pos'])
      if (this.next === undefined) this.expectNext(at + 1, `sync ${text}`)
      else expect(at + 1, `sync ${text}`).to.equal(this.next)
      this.next = at + 1
    } else if (json['ctl'] === 'reset') {
      examined.resets++
      this.#isReset = true
      const next = this.next ?? this.range.from
      expect(json['reason']).to.equal('trimmed')
      expect(this.world.first, 'a reset is sent only for what was trimmed').to.be.greaterThan(next)
    } else expect(json['ctl']).to.equal('snapshot-end')
  }

  async connect(): Promise<void> {
    this.attach(await this.world.it.client('alice', { clientId: `sync${this.world.readers.indexOf(this)}` }))
    await this.again(1)
  }

  async again(pick: number): Promise<void> {
    this.check()
    const { world, client } = this
    if (!client) return
    const known = this.#positions[pick % Math.max(1, this.#positions.length)]
    const kind = (['pos', 'earliest', 'now', 'snapshot'] as const)[pick % 4]
    const first = kind === 'pos' && known !== undefined ? `sync@${known}` : kind === 'now' ? 'sync' : kind === 'snapshot' ? 'sync@snapshot' : 'sync@earliest'
    // What still comes for the same text cannot be told from the new subscription: it is left first.
    await client.unsubscribe(this.#wire || 'sync/users/alice/none')
    this.check()
    this.#wire = `${first}/${filter}`
    this.#isReset = false
    this.next = undefined
    const from = first === 'sync@earliest' ? world.first : first.startsWith('sync@') && known !== undefined && kind === 'pos' ? seqOf(known) + 1 : world.head + 1
    this.range = { from, to: kind === 'pos' && known !== undefined ? from : Infinity }
    await client.subscribe(this.#wire)
  }
}

function seqOf(pos: unknown): number {
  return Number(String(pos).split('.')[1])
}

interface Command {
  readonly run: (world: World) => Promise<void>
  /** Shown in a counterexample. */
  toString(): string
}

function command(name: string, run: (world: World) => Promise<void>): Command {
  return { run, toString: () => name }
}

const someReader = fc.nat(3)
const someDecisions = fc.array(fc.constantFrom<Decision>('now', 'hold', 'hold', 'stored but unknown', 'absent and unknown'), { minLength: 1, maxLength: 3 })

const commands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 6 }).map((count) => command(`publish ${count}`, (world) => world.publish(count))) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 3 }).map((count) => command(`append ${count}`, (world) => world.append(count))) },
  { weight: 3, arbitrary: someDecisions.map((decisions) => command(`decide ${decisions.join(', ')}`, async (world) => void world.decisions.push(...decisions))) },
  { weight: 3, arbitrary: fc.constant(command('release', async (world) => world.release())) },
  {
    weight: 6,
    arbitrary: fc.tuple(someReader, fc.integer({ min: 1, max: 6 })).map(([at, count]) => command(`acknowledge ${at} ${count}`, async (world) => world.readers[at]?.acknowledge(count))),
  },
  { weight: 3, arbitrary: someReader.map((at) => command(`connect ${at}`, connectReader(at))) },
  { weight: 2, arbitrary: fc.tuple(someReader, fc.nat(20)).map(([at, pick]) => command(`subscribe again ${at} ${pick}`, subscribeAgain(at, pick))) },
  { weight: 2, arbitrary: fc.constantFrom(1, 3).map((at) => command(`leave ${at}`, leave(at))) },
  { weight: 1, arbitrary: someReader.map((at) => command(`cut ${at}`, async (world) => world.readers[at]?.cut())) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 10 }).map((tenths) => command(`trim ${tenths}/10`, (world) => world.trim(tenths / 10))) },
  { weight: 3, arbitrary: fc.constant(command('wait', wait)) },
  { weight: 1, arbitrary: fc.constant(command('restart', restart)) },
  { weight: 1, arbitrary: fc.constant(command('crash', crash)) },
)

/** One script that meets every kind of event, whatever the random ones do. */
const example: Command[] = [
  command('publish 6', (world) => world.publish(6)),
  command('wait', wait),
  command('append 3', (world) => world.append(3)),
  command('cut 1', async (world) => world.readers[1]?.cut()),
  command('connect 1', connectReader(1)),
  command('wait', wait),
  command('crash', crash),
  ...[0, 1, 2, 3].map((at) => command(`connect ${at}`, connectReader(at))),
  command('decide hold', async (world) => void world.decisions.push('hold')),
  command('publish 2', (world) => world.publish(2)),
  command('wait', wait),
  command('append 1', (world) => world.append(1)),
  command('release', async (world) => world.release()),
  command('decide stored but unknown', async (world) => void world.decisions.push('stored but unknown')),
  command('publish 2', (world) => world.publish(2)),
  command('wait', wait),
  command('append 12', (world) => world.append(12)),
  command('trim 9/10', (world) => world.trim(0.9)),
  command('wait', wait),
]

function connectReader(at: number) {
  return async (world: World): Promise<void> => {
    const reader = world.readers[at]
    if (reader && !reader.live) await reader.connect()
  }
}

function subscribeAgain(at: number, pick: number) {
  return async (world: World): Promise<void> => {
    const reader = world.readers[at]
    if (reader?.live) await reader.again(pick)
  }
}

function leave(at: number) {
  return async (world: World): Promise<void> => {
    const reader = world.readers[at]
    if (reader instanceof SessionReader) await reader.leave()
  }
}

/** Until the server has read what was sent. */
async function wait(world: World): Promise<void> {
  if (world.publisher && !world.publisher.isClosed) await world.publisher.ping().catch(() => {}) // It may be closed for a commit that failed.
}

async function restart(world: World): Promise<void> {
  world.release()
  const { it } = world
  await it.close()
  for (const reader of world.readers) reader.cut()
  await world.open(it.folder)
}

async function crash(world: World): Promise<void> {
  const { it } = world
  world.store.crash()
  abandon(it)
  for (const reader of world.readers) {
    reader.cut()
    if (reader instanceof SessionReader) reader.crashed()
  }
  world.release()
  examined.crashes++
  await world.open(it.folder)
}

describe('Catching up', () => {
  afterEach(closeAll)

  it('[P-4.11, P-4.12, P-4.17, P-4.20, P-6.8, P-6.20] gives every reader a contiguous run, or says that it does not', async function () {
    this.timeout(120_000)
    await fc.assert(
      fc.asyncProperty(fc.array(commands, { minLength: 10, maxLength: 40 }), async (script) => {
        const world = new World()
        await world.open()
        await world.openForeign()
        world.readers.push(new PlainReader(world), new SessionReader(world, 'phone'), new SyncReader(world), new SessionReader(world, 'desk'))
        try {
          for (const reader of world.readers) await reader.connect()
          for (const step of script) {
            await step.run(world)
            for (const reader of world.readers) reader.check()
          }
          await finish(world)
        } finally {
          world.release()
          await closeAll()
          await world.foreign.close()
        }
      }),
      { numRuns: 30, interruptAfterTimeLimit: 20_000, examples: [[example]] },
    )
    console.log(`      examined: ${JSON.stringify(examined)}`)
    expect(examined.deliveries).to.be.greaterThan(300)
    expect(examined.markers).to.be.greaterThan(20)
    for (const name of ['repeats', 'reconnects', 'crashes', 'taken', 'unknown', 'trims', 'resets', 'discarded'] as const) {
      expect(examined[name], name).to.be.greaterThan(0)
    }
  })

  /** Lets everything come to rest: each reader gets a last entry, or says why not and gets it after asking anew. */
  async function finish(world: World): Promise<void> {
    world.release()
    for (const reader of world.readers) {
      for (let tries = 0; ; tries++) {
        expect(tries, 'a reader comes to rest').to.be.lessThan(4)
        if (!reader.live) await reader.connect()
        if (reader instanceof SyncReader && reader.isReset) await reader.again(1)
        const marker = world.next()
        const publisher = await world.it.client('alice', { clientId: 'marker' })
        await publisher.publish(topic, marker)
        await publisher.disconnect()
        const { client } = reader
        if (!client) continue
        const arrived = (): boolean => {
          reader.acknowledge(1_000)
          return (reader instanceof SyncReader && reader.isReset) || reader.next === (world.seqOf.get(marker) as number) + 1
        }
        try {
          await client.inbox.until(arrived, `the marker ${marker} for reader ${world.readers.indexOf(reader)}, which waits for ${reader.next} of ${world.head}`)
        } catch (error) {
          if (client.isClosed) continue // The server gave it up, for what was trimmed: it comes again.
          throw error
        }
        if (reader instanceof SyncReader && reader.isReset) continue
        examined.markers++
        break
      }
    }
  }
})
