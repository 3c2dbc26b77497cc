/** Where streams and clients are. It follows from their numbers alone, so that a hundred million streams take no memory. */
import type { Deployment } from './deployment.ts'
import { hashed } from './random.ts'
import type { Workload } from './workloads.ts'

const salt = { shard: 1, channel: 2, readers: 3, writers: 4, clients: 16 } as const

export class Placement {
  readonly #workload: Workload
  readonly #deployment: Deployment
  /** Whether every client can be with its streams: who follows several comes to the nodes of one of them only. */
  readonly routes: boolean
  /** By channel: the nodes that its clients come to, which are those that listen to it. */
  readonly #homes: readonly (readonly number[])[]

  constructor(workload: Workload, deployment: Deployment) {
    const { nodes, channels, routed } = deployment
    this.#workload = workload
    this.#deployment = deployment
    this.routes = routed && workload.follows <= 1
    const everywhere = Array.from({ length: nodes }, (_, node) => node)
    this.#homes = Array.from({ length: channels }, (_, channel) => {
      if (!this.routes) return everywhere
      return nodes >= channels ? everywhere.filter((node) => node % channels === channel) : [channel % nodes]
    })
  }

  shardOf(stream: number): number {
    return Math.floor(hashed(stream, salt.shard) * this.#deployment.shards)
  }

  channelOf(stream: number): number {
    return Math.floor(hashed(stream, salt.channel) * this.#deployment.channels)
  }

  /** The nodes that hear what is said on the channel. */
  listenersOf(channel: number): readonly number[] {
    return this.#homes[channel] as readonly number[]
  }

  writersOf(stream: number): number {
    return Math.max(1, wholeOf(this.#workload.writers, hashed(stream, salt.writers)))
  }

  /** The node of a client of the stream. */
  nodeOf(stream: number, client: number): number {
    const homes = this.#homes[this.channelOf(stream)] as readonly number[]
    return homes[Math.floor(hashed(stream, salt.clients + client) * homes.length)] as number
  }

  /** How many readers the stream has on each node that has any. */
  readersOf(stream: number): Map<number, number> {
    const { readers, writers } = this.#workload
    const count = wholeOf(readers, hashed(stream, salt.readers))
    // Where there are fewer readers than writers they are others.
    const first = readers < writers ? Math.ceil(writers) : 0
    const found = new Map<number, number>()
    for (let client = first; client < first + count; client++) {
      const node = this.nodeOf(stream, client)
      found.set(node, (found.get(node) ?? 0) + 1)
    }
    return found
  }
}

/** 1.5 is 1 or 2, with the same chance. */
function wholeOf(count: number, drawn: number): number {
  return Math.floor(count) + (drawn < count % 1 ? 1 : 0)
}
