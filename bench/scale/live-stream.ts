/** A stream in which something happens while it is watched; the others are numbers only. */
import type { Placement } from './placement.ts'

export class LiveStream {
  readonly number: number
  readonly shard: number
  readonly channel: number
  readonly readers: ReadonlyMap<number, number>
  /** When the entries of each bucket were published, in the order of the log. */
  readonly buckets: (readonly number[])[] = []
  /** Nodes that wait for their turn to write. */
  readonly queue: number[] = []
  /** Lost races in a row, by node. */
  readonly losses = new Map<number, number>()
  /** Nodes that look at the head just now; true if they must look again. */
  readonly looking = new Map<number, boolean>()
  readonly #known = new Map<number, number>()

  constructor(number: number, placement: Placement) {
    this.number = number
    this.shard = placement.shardOf(number)
    this.channel = placement.channelOf(number)
    this.readers = placement.readersOf(number)
  }

  get head(): number {
    return this.buckets.length
  }

  /** Up to which bucket the node knows the log. */
  knownTo(node: number): number {
    return this.#known.get(node) ?? 0
  }

  /** The node has learned of everything up to the bucket; returns what is new to it. */
  learn(node: number, head: number): readonly (readonly number[])[] {
    const before = this.knownTo(node)
    if (head <= before) return []
    this.#known.set(node, head)
    return this.buckets.slice(before, head)
  }
}
