/** Makes faults at random moments, and mends each after a while. The seed decides what and when. */
import { between, pick, type Random } from '../random.ts'
import type { Recorder } from '../record.ts'
import type { Aws } from './aws.ts'
import type { Child } from './child.ts'
import type { FaultProxy } from './proxy.ts'
import type { FaultKind, Theme } from './themes.ts'
import { startNode, storeFolder, type Node, type World } from './world.ts'

export interface NemesisParts {
  readonly world: World
  readonly random: Random
  readonly recorder: Recorder
  readonly theme: Theme
  /** Up to which seq every entry of a stream was read: what is trimmed is known to whoever checks. */
  readonly readUpTo: (stream: string) => number
}

interface Fault {
  readonly weight: number
  readonly make: () => Promise<void>
}

/** What a fault may keep a node from is over a while after it was mended: connections are made again, the log is read. */
const recoveryMs = 3_000
const triesMax = 15
const restMs = { min: 500, max: 2_500 } as const
const triesWithWrongClock = 3

export class Nemesis {
  readonly #parts: NemesisParts
  readonly #faults: readonly Fault[]
  readonly counts = new Map<string, number>()
  #underWay = new Set<Promise<void>>()
  #isOver = false
  /** One fault at a time for each process: the last one of each. */
  readonly #busy = new Map<Child, Promise<void>>()

  constructor(parts: NemesisParts) {
    this.#parts = parts
    const { database, redis, power, aws, options } = parts.world
    const faults: Fault[] = []
    const add = (kind: FaultKind, make: () => Promise<void>): void => void faults.push({ weight: parts.theme.weights[kind] ?? 0, make })
    add('kill', () => this.#toNode(({ child }) => this.#restart(child, 'SIGKILL', 3_000)))
    add('stop', () => this.#toNode(({ child }) => this.#restart(child, 'SIGTERM', 2_000)))
    add('freeze', () => this.#toNode(({ child }) => this.#freeze(child, 4_000)))
    add('long freeze', () => this.#toNode(({ child }) => this.#freeze(child, 9_000)))
    add('clients', () => this.#disturb(this.#front()))
    add('clock', () => this.#toNode((node) => this.#shiftClock(node)))
    if (power) add('power', () => this.#toNode((node) => this.#cutPower(node)))
    if (options.store === 'level') add('trim', () => this.#toNode((node) => this.#trim(node)))
    if (database) {
      add('database killed', () => this.#alone(database, () => this.#restart(database, 'SIGKILL', 1_500)))
      add('database frozen', () => this.#alone(database, () => this.#freeze(database, 4_000)))
      add('database way', () => this.#disturb(this.#way('database')))
      add('answers lost', () => this.#loseAnswers(this.#way('database')))
      if (options.store === 'mongo-stub') add('database lost', () => this.#alone(database, () => this.#loseMajority(database)))
    }
    if (redis) {
      add('redis killed', () => this.#alone(redis, () => this.#restart(redis, 'SIGKILL', 4_000)))
      add('redis frozen', () => this.#alone(redis, () => this.#freeze(redis, 6_000)))
      add('redis way', () => this.#disturb(this.#way('redis')))
    }
    if (aws) {
      add('AWS cuts', () => Promise.resolve(this.#tell('AWS cuts', aws.cut(parts.random))))
      add('AWS vices', () => this.#misbehave(aws))
      add('STS throttles', () => Promise.resolve(this.#throttle(aws)))
    }
    this.#faults = faults
  }

  /** How many faults were made. */
  get made(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Makes faults until it is over; resolves when those that were made are mended. */
  async run(isOver: () => boolean): Promise<void> {
    const { random, theme } = this.#parts
    while (!isOver()) {
      const fault = this.#draw()
      const made = fault.make()
      this.#underWay.add(made)
      void made.finally(() => this.#underWay.delete(made)).catch(() => {}) // `run` hears of it below.
      await pause(between(random, 300, theme.pauseMsMax))
      while (this.#underWay.size > 2) await Promise.race(this.#underWay)
    }
    this.#isOver = true
    await Promise.all(this.#underWay)
  }

  #draw(): Fault {
    let left = this.#parts.random() * this.#faults.reduce((sum, { weight }) => sum + weight, 0)
    return this.#faults.find(({ weight }) => (left -= weight) < 0) ?? (this.#faults[0] as Fault)
  }

  #node(): Node {
    return pick(this.#parts.random, this.#parts.world.nodes)
  }

  #toNode(work: (node: Node) => Promise<void>): Promise<void> {
    const node = this.#node()
    return this.#alone(node.child, () => work(node))
  }

  async #alone(child: Child, work: () => Promise<void>): Promise<void> {
    const before = this.#busy.get(child) ?? Promise.resolve()
    const { random, theme } = this.#parts
    // It has to do something before the next one.
    const turn = before
      .then(work)
      .then(() => (this.#isOver ? undefined : pause(between(random, restMs.min, theme.restMsMax ?? restMs.max))))
    this.#busy.set(child, turn)
    await turn
  }

  #front(): FaultProxy {
    const { mqtt, http } = this.#node()
    return this.#parts.random() < 0.75 ? mqtt : http
  }

  /** From some node to what is behind it. */
  #way(to: 'database' | 'redis'): FaultProxy {
    const found = this.#node().back.find(({ name }) => name.endsWith(to))
    if (!found) throw new Error(`no node has a way to ${to}`)
    return found
  }

  /** `slowMs`: for how long servers may be kept from doing, or from hearing of something. */
  #tell(kind: string, what: string, more: { slowMs?: number; trimmed?: { stream: string; first: number } } = {}): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    this.#parts.recorder.add({ k: 'fault', what: `${kind} ${what}`, ...more })
  }

  async #restart(child: Child, signal: NodeJS.Signals, downMsMax: number): Promise<void> {
    const downMs = this.#downMs(downMsMax)
    if (!child.running) return
    // What a node does not do while it is down, nobody asks of it; what is behind the nodes, all of them wait for.
    const isBehind = child === this.#parts.world.database
    this.#tell(signal, `${child.name} for ${Math.round(downMs)} ms`, isBehind ? { slowMs: downMs + recoveryMs } : {})
    await child.stop(signal)
    await pause(downMs)
    await this.#startAgain(child)
  }

  #downMs(max: number): number {
    return between(this.#parts.random, 0, Math.min(max, this.#parts.theme.downMsMax ?? Infinity))
  }

  /** A node that cannot begin while its database is away is tried again and again, as whoever runs it would; so is a clock that it refuses set right. */
  async #startAgain(child: Child): Promise<void> {
    const node = this.#parts.world.nodes.find((each) => each.child === child)
    for (let tries = 0; ; tries++) {
      try {
        return await (node ? startNode(node, this.#parts.world.power) : child.start())
      } catch (error) {
        if (tries === (this.#parts.world.database ? triesMax : 1)) throw error
        if (node && tries === triesWithWrongClock && node.clockShiftMs !== 0) {
          node.clockShiftMs = 0
          this.#tell('clock', `of ${child.name} set right, for it does not start`)
        }
        await pause(1_000)
      }
    }
  }

  async #freeze(child: Child, msMax: number): Promise<void> {
    const ms = between(this.#parts.random, msMax / 4, msMax)
    if (!child.running || child.paused) return
    const isHinting = child === this.#parts.world.redis
    this.#tell('SIGSTOP', `${child.name} for ${Math.round(ms)} ms`, isHinting ? {} : { slowMs: ms + recoveryMs })
    child.pause()
    await pause(ms)
    child.resume()
  }

  async #disturb(proxy: FaultProxy): Promise<void> {
    const { random } = this.#parts
    const ms = between(random, 200, 5_000)
    const kind = pick(random, ['cut', 'delay', 'hold', 'half-open to', 'half-open from', 'refuse', 'lose answers', 'lose answers'] as const)
    const isBehind = proxy.name.endsWith('database')
    this.#tell(kind, `${proxy.name} for ${Math.round(ms)} ms`, isBehind ? { slowMs: ms + recoveryMs } : {})
    if (kind === 'cut') return proxy.cut()
    if (kind === 'delay') proxy.delay(between(random, 20, 800))
    else if (kind === 'hold') proxy.hold()
    else if (kind === 'refuse') proxy.refuse()
    else if (kind === 'lose answers') proxy.loseAnswers()
    else proxy.halfOpen(kind === 'half-open to' ? 'far' : 'near')
    await pause(ms)
    proxy.mend()
  }

  /** The database does what it was asked, and the node does not hear of it; it may ask again at once. */
  async #loseAnswers(proxy: FaultProxy): Promise<void> {
    const ms = between(this.#parts.random, 50, 300)
    this.#tell('answers lost', `of ${proxy.name} for ${Math.round(ms)} ms`, { slowMs: ms + recoveryMs })
    const end = proxy.loseInUse()
    await pause(ms)
    end()
  }

  /** One vice at a time ends them all: the next one is drawn soon enough. */
  async #misbehave(aws: Aws): Promise<void> {
    const ms = between(this.#parts.random, 300, 4_000)
    this.#tell('AWS', `${aws.misbehave(this.#parts.random)} for ${Math.round(ms)} ms`)
    await pause(ms)
    aws.behave()
  }

  /** Each of our requests asks four times. */
  #throttle(aws: Aws): void {
    const count = Math.round(between(this.#parts.random, 1, 12))
    this.#tell('STS throttles', `${count} requests`)
    aws.throttle(count)
  }

  async #shiftClock(node: Node): Promise<void> {
    const { random } = this.#parts
    node.clockShiftMs = node.clockShiftMs === 0 ? Math.round(pick(random, [-1_500, 1_500, 3_000, 8_000]) * random()) : 0
    this.#tell('clock', `of ${node.child.name} by ${node.clockShiftMs} ms`)
    await this.#restart(node.child, 'SIGKILL', 100)
  }

  /** The primary alone has what is written, for a while; then the majority gets it, or another primary goes on without it. */
  async #loseMajority(database: Child): Promise<void> {
    const { random } = this.#parts
    const ms = between(random, 500, 2_000)
    const isLost = random() < 0.7
    if (!database.running || database.paused) return
    this.#tell('majority away', `for ${Math.round(ms)} ms, then ${isLost ? 'rolled back' : 'there again'}`, { slowMs: ms + recoveryMs })
    database.tell('uncertain')
    await pause(ms)
    database.tell(isLost ? 'roll back' : 'commit')
  }

  async #cutPower(node: Node): Promise<void> {
    const { world } = this.#parts
    const downMs = this.#downMs(1_000)
    if (!node.child.running) return
    await node.child.stop('SIGKILL')
    const lost = world.power?.lose(storeFolder(node)) ?? 0
    this.#tell('power loss', `of ${node.child.name}: ${lost} bytes that were not synced`)
    await pause(downMs)
    await this.#startAgain(node.child)
  }

  async #trim(node: Node): Promise<void> {
    const { world, random, readUpTo } = this.#parts
    const stream = pick(random, ['users/alice', 'users/bob', 'spaces/team'])
    const first = Math.floor(readUpTo(stream) * between(random, 0.3, 0.95))
    if (first < 2 || !node.child.running) return
    await node.child.stop('SIGKILL')
    // Before the server is there again, for whoever meets the new beginning.
    this.#tell('trim', `${stream} to begin at ${first}`, { trimmed: { stream, first } })
    const failed = await world.trim(node, stream, first)
    if (failed !== undefined) this.#tell('trim refused', failed)
    await this.#startAgain(node.child)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
