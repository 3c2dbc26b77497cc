/** Readers against a simulated server, on a wire that loses, doubles, swaps and is cut. The invariants: client/stream/machine.ts. */
import { expect } from 'chai'
import * as fc from 'fast-check'
import { bounds as defaults } from '../../client/bounds.ts'
import type { Entry } from '../../client/entry.ts'
import { seqOf } from '../../client/position.ts'
import { Feeds } from '../../client/stream/feeds.ts'
import { Reader } from '../../client/stream/reader.ts'
import { SimulatedLog, stream } from './simulated-log.ts'
import { ManualTimers } from './manual-timers.ts'
import { SimulatedWire } from './simulated-wire.ts'

const bounds = { ...defaults, queuedEntriesMax: 6, recentEntriesMax: 3, pageEntries: 4 }

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      topic: fc.constantFrom('a/1', 'a/2', 'b/1', 'a/3', 'a/4', 'a/5', 'b/2'),
      form: fc.constantFrom('plain' as const, 'retained' as const, 'retained' as const, 'deleted' as const),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('deliver' as const, 'take' as const, 'answer' as const), n: fc.nat(20) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('lose' as const, 'double' as const, 'swap' as const, 'fail' as const), n: fc.nat(20) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('cut' as const, 'open' as const, 'open' as const, 'tell' as const, 'tell' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim' as const), n: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restore' as const), n: fc.nat(6), isNewEpoch: fc.boolean() }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

/** An app that keeps what a reader gives it, and where it is; both survive a restart of the page. */
class App {
  readonly #world: World
  readonly #filter: string
  readonly #topic: string | undefined
  reader: Reader
  held = new Map<string, Entry>()
  #lastPos = ''
  /** Goes on from a place within a snapshot, the rest of which is in the log only as long as nobody sets that back. */
  isWithinSnapshot = false
  /** Of the last entry worked on. */
  #stored = ''
  #isAfterReset = true
  readonly faults: unknown[] = []
  resets = 0
  /** Only who began with a snapshot knows the whole state: of a trimmed stream the beginning is gone. */
  readonly holdsAll: boolean
  #isTaking = false
  #isAtEnd = false

  constructor(world: World, filter: string, topic: string | undefined, from: string) {
    this.#world = world
    this.#filter = filter
    this.#topic = topic
    this.holdsAll = from === 'snapshot'
    this.reader = this.#begin(from)
  }

  #begin(from: string): Reader {
    const world = this.#world
    const topics = { followed: this.#filter, read: this.#topic ?? this.#filter }
    return new Reader(
      {
        feeds: world.feeds,
        history: world.server,
        timers: world.timers,
        bounds,
        codec: undefined,
        clockOffset: () => undefined,
        progressed: () => undefined,
        call: (listener) => listener(),
      },
      stream,
      topics,
      {
        from,
        onReset: () => {
          this.held.clear()
          this.#isAfterReset = true
          this.#stored = ''
          this.isWithinSnapshot = false
          this.resets++
        },
      },
      () => undefined,
    )
  }

  get leansOnSnapshot(): boolean {
    return this.isWithinSnapshot || (this.holdsAll && this.#isAfterReset)
  }

  /** The page is loaded again: what it held and the position it stored are all that is left. */
  async restart(): Promise<void> {
    const before = this.reader
    // Who works on an entry stores that entry's position; who waits for one stores the reader's.
    const position = this.#isTaking || this.#stored === '' ? before.position : this.#stored
    this.isWithinSnapshot ||= this.#isAfterReset
    this.#isTaking = false
    this.#stored = ''
    this.#lastPos = position
    this.#isAfterReset = position === ''
    if (position === '') this.held.clear()
    this.reader = this.#begin(position === '' ? (this.holdsAll ? 'snapshot' : 'now') : position)
    await before.return()
  }

  /** Takes one entry, if one is there. */
  take(): void {
    if (this.#isTaking) return
    this.#isTaking = true
    const { reader } = this
    const before = reader.position
    reader
      .next()
      .then((result) => {
        if (reader !== this.reader) return
        this.#isTaking = false
        if (result.done) this.#isAtEnd = true
        else this.#check(result.value, before)
      })
      .catch((error: unknown) => this.faults.push(error))
  }

  #check(entry: Entry, before: string): void {
    if (!entry.snapshot) expect(this.reader.position, 'what is being worked on has not been taken').not.to.equal(entry.pos)
    const isWhole = this.#filter === '#' && this.#topic === undefined
    expect(entry.stream).to.equal(stream)
    if (!this.#isAfterReset) {
      expect(entry.seq, 'rising').to.be.greaterThan(seqOf(this.#lastPos))
      if (isWhole && !entry.snapshot) expect(entry.seq, `without a gap after ${this.#lastPos}`).to.equal(seqOf(this.#lastPos) + 1)
    } else if (isWhole && !entry.snapshot && before !== '' && this.resets === 0) {
      expect(entry.seq, `the first after ${before}`).to.equal(seqOf(before) + 1)
    }
    this.#lastPos = this.#stored = entry.pos
    this.#isAfterReset = entry.snapshot
    if (entry.deleted) this.held.delete(entry.topic)
    else if (entry.retain) this.held.set(entry.topic, entry)
  }

  get isOver(): boolean {
    return this.#isAtEnd
  }

  matches(topic: string): boolean {
    return this.#topic === undefined && this.#filter === '#' ? true : topic.startsWith('a/')
  }
}

class World {
  readonly timers = new ManualTimers()
  readonly server = new SimulatedLog(bounds.pageEntries)
  readonly feeds = new Feeds({ history: this.server, timers: this.timers, bounds })
  readonly wire = new SimulatedWire(this.server, this.feeds)
  readonly apps: App[]

  constructor(before: number) {
    for (let n = 0; n < before; n++)
      this.server.append(['a/1', 'a/2', 'b/1', 'a/3', 'a/4', 'a/5', 'b/2'][n % 7] as string, n % 2 === 0 ? 'retained' : 'plain')
    this.apps = [
      new App(this, '#', undefined, 'now'),
      new App(this, '#', undefined, 'earliest'),
      new App(this, '#', undefined, 'snapshot'),
      new App(this, '#', 'a/#', 'snapshot'),
      new App(this, 'a/#', undefined, 'earliest'),
    ]
  }

  async act(step: Action): Promise<void> {
    const { server, wire } = this
    switch (step.do) {
      case 'append':
        server.append(step.topic, step.form)
        break
      case 'deliver':
        for (let n = 0; n < step.n; n++) wire.deliver()
        break
      case 'take':
        for (let n = 0; n < step.n; n++) {
          for (const app of this.apps) app.take()
          await settle()
        }
        break
      case 'answer':
        for (let n = 0; n <= step.n % 4; n++) {
          server.requests[step.n % Math.max(1, server.requests.length)]?.answer()
          await settle()
        }
        break
      case 'fail':
        server.requests[0]?.fail()
        break
      case 'lose':
      case 'double':
      case 'swap':
        wire[step.do](step.n)
        break
      case 'cut':
        wire.cut()
        break
      case 'open':
        wire.open()
        break
      case 'tell':
        wire.tell()
        break
      case 'restart':
        for (const app of this.apps) await app.restart()
        break
      case 'trim':
        server.trim(step.n)
        break
      case 'restore':
        // Whoever goes back in time drops its connections; a new epoch is noticed in any case.
        {
          const isNewEpoch = step.isNewEpoch || this.apps.some((app) => app.leansOnSnapshot)
          if (!isNewEpoch) wire.cut()
          server.restore(step.n, isNewEpoch)
        }
        break
      default:
        throw new Error(`no such step: ${JSON.stringify(step satisfies never)}`)
    }
    await settle()
  }

  /** Everything works again; until nothing more happens. */
  async finish(): Promise<void> {
    const { server, wire } = this
    // What was lost of a narrow filter's entries cannot be noticed: a session that loses them is a broken one.
    wire.cut()
    wire.open()
    server.append('b/1', 'plain')
    for (let round = 0; round < 500; round++) {
      while (wire.packets.length > 0) wire.deliver()
      for (let waiting = server.requests.length; waiting > 0; waiting--) server.requests[0]?.answer()
      this.timers.advance(60_000)
      for (const app of this.apps) app.take()
      await settle()
    }
  }

  check(): void {
    for (const [at, app] of this.apps.entries()) {
      const who = `app ${at}`
      if (app.faults.length > 0) throw new Error(`${who}: ${String(app.faults[0])}`, { cause: app.faults[0] })
      expect(app.isOver, who).to.equal(false)
      expect(app.reader.state, who).to.equal('live')
      expect(seqOf(app.reader.position), `${who} has everything`).to.equal(seqOf(this.server.head))
      if (!app.holdsAll) continue
      const truth = [...this.server.fold.values()].filter((envelope) => app.matches(envelope.topic.slice(stream.length + 1)))
      expect([...app.held.values()].map(({ topic, id }) => `${topic} ${id}`).sort(), `${who} holds the state`).to.deep.equal(
        truth.map(({ topic, id }) => `${topic.slice(stream.length + 1)} ${id}`).sort(),
      )
    }
  }
}

/** Lets every promise that can go on do so. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

describe('Reader, by model', () => {
  it('gives every entry once and in order, or says that it could not; a stored position loses nothing', async function () {
    this.timeout(240_000)
    const runs = Number(process.env['TIDEMARK_TEST_MODEL_RUNS'] ?? 150)
    await fc.assert(
      fc.asyncProperty(fc.nat(9), fc.array(action, { maxLength: 60, size: 'max' }), async (before, steps) => {
        const world = new World(before)
        for (const step of steps) await world.act(step)
        await world.finish()
        world.check()
      }),
      { numRuns: runs, includeErrorInReport: true },
    )
  })
})
