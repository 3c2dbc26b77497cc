/** Makes faults at random moments, and mends each after a while. The seed decides what and when. */
import { between, pick, type Random } from '../random.ts'
import type { Recorder } from '../record.ts'
import type { Child } from './child.ts'
import type { FaultProxy } from './proxy.ts'
import { startNode, storeFolder, type Node, type World } from './world.ts'

export interface NemesisParts {
  readonly world: World
  readonly random: Random
  readonly recorder: Recorder
  /** Up to which seq every entry of a stream was read: what is trimmed is known to whoever checks. */
  readonly readUpTo: (stream: string) => number
}

interface Fault {
  readonly weight: number
  readonly make: () => Promise<void>
}

export class Nemesis {
  readonly #parts: NemesisParts
  readonly #faults: readonly Fault[]
  readonly counts = new Map<string, number>()
  #underWay = new Set<Promise<void>>()
  /** One fault at a time for each process. */
  readonly #busy = new Set<Child>()

  constructor(parts: NemesisParts) {
    this.#parts = parts
    const { nodes, database, redis, power, options } = parts.world
    const faults: Fault[] = [
      { weight: 4, make: () => this.#toNode(({ child }) => this.#restart(child, 'SIGKILL', 3_000)) },
      { weight: 2, make: () => this.#toNode(({ child }) => this.#restart(child, 'SIGTERM', 2_000)) },
      { weight: 3, make: () => this.#toNode(({ child }) => this.#freeze(child, 4_000)) },
      { weight: 1, make: () => this.#toNode(({ child }) => this.#freeze(child, 9_000)) },
      { weight: 6, make: () => this.#disturb(this.#front()) },
      { weight: 1, make: () => this.#toNode((node) => this.#shiftClock(node)) },
    ]
    const add = (weight: number, make: () => Promise<void>): void => void faults.push({ weight, make })
    if (power) add(4, () => this.#toNode((node) => this.#cutPower(node)))
    if (options.store === 'level') add(2, () => this.#toNode((node) => this.#trim(node)))
    if (database) add(2, () => this.#alone(database, () => this.#restart(database, 'SIGKILL', 1_500)))
    if (database) add(2, () => this.#alone(database, () => this.#freeze(database, 4_000)))
    if (redis) add(2, () => this.#alone(redis, () => this.#restart(redis, 'SIGKILL', 4_000)))
    if (redis) add(1, () => this.#alone(redis, () => this.#freeze(redis, 6_000)))
    if (nodes.some(({ back }) => back.length > 0)) add(8, () => this.#disturb(pick(parts.random, this.#node().back)))
    this.#faults = faults
  }

  /** Makes faults until the time is over; resolves when those that were made are mended. */
  async run(untilMs: number): Promise<void> {
    const { random } = this.#parts
    while (performance.now() < untilMs) {
      const fault = this.#draw()
      const made = fault.make()
      this.#underWay.add(made)
      void made.finally(() => this.#underWay.delete(made)).catch(() => {}) // `run` hears of it below.
      await pause(between(random, 300, 3_500))
      while (this.#underWay.size > 2) await Promise.race(this.#underWay)
    }
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
    if (this.#busy.has(child)) return
    this.#busy.add(child)
    await work().finally(() => this.#busy.delete(child))
  }

  #front(): FaultProxy {
    const { mqtt, http } = this.#node()
    return this.#parts.random() < 0.75 ? mqtt : http
  }

  #tell(kind: string, what: string, trimmed?: { stream: string; first: number }): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    this.#parts.recorder.add({ k: 'fault', what: `${kind} ${what}`, ...(trimmed ? { trimmed } : {}) })
  }

  async #restart(child: Child, signal: NodeJS.Signals, downMsMax: number): Promise<void> {
    const downMs = between(this.#parts.random, 0, downMsMax)
    if (!child.running) return
    this.#tell(signal, `${child.name} for ${Math.round(downMs)} ms`)
    await child.stop(signal)
    await pause(downMs)
    await this.#startAgain(child)
  }

  /** A node that cannot begin while its database is away is tried again, as whoever runs it would. */
  async #startAgain(child: Child): Promise<void> {
    const node = this.#parts.world.nodes.find((each) => each.child === child)
    for (let tries = 0; ; tries++) {
      try {
        return await (node ? startNode(node, this.#parts.world.power) : child.start())
      } catch (error) {
        if (tries === 15) throw error
        await pause(1_000)
      }
    }
  }

  async #freeze(child: Child, msMax: number): Promise<void> {
    const ms = between(this.#parts.random, msMax / 4, msMax)
    if (!child.running || child.paused) return
    this.#tell('SIGSTOP', `${child.name} for ${Math.round(ms)} ms`)
    child.pause()
    await pause(ms)
    child.resume()
  }

  async #disturb(proxy: FaultProxy): Promise<void> {
    const { random } = this.#parts
    const ms = between(random, 200, 5_000)
    const kind = pick(random, ['cut', 'delay', 'hold', 'half-open to', 'half-open from', 'refuse', 'lose answers', 'lose answers'] as const)
    this.#tell(kind, `${proxy.name} for ${Math.round(ms)} ms`)
    if (kind === 'cut') return proxy.cut()
    if (kind === 'delay') proxy.delay(between(random, 20, 800))
    else if (kind === 'hold') proxy.hold()
    else if (kind === 'refuse') proxy.refuse()
    else if (kind === 'lose answers') proxy.loseAnswers()
    else proxy.halfOpen(kind === 'half-open to' ? 'far' : 'near')
    await pause(ms)
    proxy.mend()
  }

  async #shiftClock(node: Node): Promise<void> {
    const { random } = this.#parts
    node.clockShiftMs = node.clockShiftMs === 0 ? Math.round(pick(random, [-1_500, 1_500, 3_000, 8_000]) * random()) : 0
    this.#tell('clock', `of ${node.child.name} by ${node.clockShiftMs} ms`)
    await this.#restart(node.child, 'SIGKILL', 100)
  }

  async #cutPower(node: Node): Promise<void> {
    const { world, random } = this.#parts
    const downMs = between(random, 0, 1_000)
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
    this.#tell('trim', `${stream} to begin at ${first}`, { stream, first })
    const failed = world.trim(node, stream, first)
    if (failed !== undefined) this.#tell('trim refused', failed)
    await this.#startAgain(node.child)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
