/** Hints between nodes in one process: a hub that brings everything, and one that keeps to the letter of the seam only. */
import type { Hint, Hints } from '../../seams/hints.ts'

/** Where nodes meet. Hints travel on later turns of the event loop, as they would over a network. */
export interface HintHub {
  /** The end of one more node. */
  join(): Promise<Hints>
  /** Resolves when no hint is on its way. */
  settled(): Promise<void>
}

/** What becomes of one hint on its way to one node: after how many turns each of its copies arrives; none if it is lost. */
type Fate = () => readonly number[]

/** Brings every hint to every other node, once and in order. */
export function hintHub(): HintHub {
  return new Hub(() => [1])
}

/** Loses, doubles, delays and reorders hints as the seed says. */
export function flakyHintHub(seed: number): HintHub {
  const random = randomFrom(seed)
  const turns = (): number => 1 + Math.floor(random() ** 3 * 40)
  return new Hub(() => {
    const draw = random()
    if (draw < 0.35) return []
    return draw < 0.6 ? [turns(), turns()] : [turns()]
  })
}

/** Brings nothing. */
export function deafHintHub(): HintHub {
  return new Hub(() => [])
}

/** Numbers in [0, 1), the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

class Hub implements HintHub {
  readonly #fate: Fate
  readonly #nodes = new Set<Node>()
  #travelling = 0
  #settled: (() => void)[] = []

  constructor(fate: Fate) {
    this.#fate = fate
  }

  join(): Promise<Hints> {
    const node: Node = new Node({ send: (hint) => this.#send(node, hint), leave: () => void this.#nodes.delete(node) })
    this.#nodes.add(node)
    return Promise.resolve(node)
  }

  settled(): Promise<void> {
    return this.#travelling === 0 ? Promise.resolve() : new Promise((resolve) => void this.#settled.push(resolve))
  }

  #send(from: Node, hint: Hint): void {
    for (const node of this.#nodes) {
      if (node === from) continue
      for (const turns of this.#fate()) this.#travel(node, copyOf(hint), turns)
    }
  }

  #travel(to: Node, hint: Hint, turns: number): void {
    this.#travelling++
    const step = (left: number): void => {
      if (left > 0) return void setImmediate(step, left - 1)
      to.receive(hint)
      if (--this.#travelling === 0) for (const resolve of this.#settled.splice(0)) resolve()
    }
    step(turns)
  }
}

class Node implements Hints {
  readonly #hub: { send(hint: Hint): void; leave(): void }
  readonly #listeners = new Set<(hint: Hint) => void>()
  #closed = false

  constructor(hub: { send(hint: Hint): void; leave(): void }) {
    this.#hub = hub
  }

  send(hint: Hint): void {
    if (!this.#closed) this.#hub.send(hint)
  }

  listen(listener: (hint: Hint) => void): () => void {
    // A function of its own per call, so that one listener may listen twice.
    const hear = (hint: Hint): void => listener(hint)
    this.#listeners.add(hear)
    return () => void this.#listeners.delete(hear)
  }

  close(): Promise<void> {
    this.#closed = true
    this.#listeners.clear()
    this.#hub.leave()
    return Promise.resolve()
  }

  receive(hint: Hint): void {
    if (this.#closed) return
    for (const hear of this.#listeners) hear(hint)
  }
}

/** As it would come out of a wire: nothing is held in common with the sender. */
function copyOf(hint: Hint): Hint {
  return hint.type === 'ephemeral' ? { ...hint, payload: Buffer.from(hint.payload) } : { ...hint }
}
