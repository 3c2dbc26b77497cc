/**
 * The nodes that serve one store together. Each beats in a record of its own. One whose record has stood still for `nodeDeadMs`, by
 * the clock of whoever watches, is dead: it is fenced, and what it left behind is seen to. A node that was only
 * frozen finds itself fenced when it goes on; it ends its connections and begins anew under another name [P-14.8].
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../seams/clock.ts'
import type { Documents } from '../seams/documents.ts'
import { nodeForgottenMs, nodesMax, type Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'

export interface NodesParts {
  readonly documents: Documents
  readonly limits: Limits
  readonly clock: Clock
  readonly logger: Logger
  /** Sees to what a dead node has left; one that rejects is called again later, here or on another node. */
  inherit(dead: string): Promise<void>
  /** This node was taken for dead: nothing it holds is its own any more. */
  fenced(): void
  /** Called with every beat. */
  beaten(): Promise<void>
}

interface NodeRecord {
  readonly beat: number
  /** When its death was seen to; its record stays for a while, so that it finds itself fenced. */
  readonly deadMs?: number
}

const collection = 'nodes'

export class Nodes {
  readonly #parts: NodesParts
  #name = randomUUID()
  #generation = 0
  #beat = 0
  #beatenMs = 0
  /** What the record of each other node was when it last changed, and since when it is that. */
  readonly #others = new Map<string, { readonly sign: string; readonly sinceMs: number }>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  /** Seeing to what a dead node left behind, one at a time: it takes as long as it takes, and this node lives meanwhile. */
  #inheriting: Promise<void> | undefined
  #stopped = false

  constructor(parts: NodesParts) {
    this.#parts = parts
  }

  /** Of this run of the server; another one after it was taken for dead. */
  get name(): string {
    return this.#name
  }

  /** The others, as far as they are known to be alive. */
  async others(): Promise<string[]> {
    const found = await this.#parts.documents.list(collection, { limit: nodesMax })
    return found.filter(({ key, value }) => key !== this.#name && (value as NodeRecord | null)?.deadMs === undefined).map(({ key }) => key)
  }

  /** Joins the others; rejects where the store takes no records. */
  async start(): Promise<void> {
    await this.#join()
    this.#beatLater()
  }

  /** Leaves the others; call it when nothing is left behind. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
    await this.#inheriting
    await this.#parts.documents.remove(collection, this.#name, this.#generation)
  }

  async #join(): Promise<void> {
    const { documents } = this.#parts
    const { generation } = await documents.claim(collection, this.#name, this.#name)
    await documents.put(collection, this.#name, { beat: this.#beat } satisfies NodeRecord, generation)
    this.#generation = generation
    this.#beatenMs = performance.now()
  }

  #beatLater(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#live().finally(() => this.#beatLater())
    }, this.#parts.limits.nodeBeatMs).unref()
  }

  async #live(): Promise<void> {
    try {
      if (!(await this.#hasBeaten())) return await this.#beginAnew()
      await this.#parts.beaten()
      await this.#watch()
    } catch (error) {
      this.#parts.logger.warn({ error }, 'this node cannot be seen by others, nor see them; it is tried again')
    }
  }

  async #hasBeaten(): Promise<boolean> {
    const { documents, limits } = this.#parts
    const nowMs = performance.now()
    const silentMs = nowMs - this.#beatenMs
    // Who was away itself cannot tell how long the others were.
    if (silentMs > limits.nodeDeadMs / 2) this.#others.clear()
    if (silentMs > limits.nodeDeadMs && !(await documents.get(collection, this.#name))) return false
    if ((await documents.put(collection, this.#name, { beat: ++this.#beat } satisfies NodeRecord, this.#generation)) === 'fenced')
      return false
    this.#beatenMs = nowMs
    return true
  }

  async #beginAnew(): Promise<void> {
    this.#parts.logger.error({ node: this.#name }, 'this node was taken for dead: its connections are closed, and it begins anew')
    this.#name = randomUUID()
    this.#others.clear()
    this.#parts.fenced()
    await this.#join()
  }

  async #watch(): Promise<void> {
    const { documents, limits } = this.#parts
    const nowMs = performance.now()
    const found = await documents.list(collection, { limit: nodesMax })
    const present = new Set(found.map(({ key }) => key))
    for (const name of this.#others.keys()) if (!present.has(name)) this.#others.delete(name)
    for (const { key: name, value, generation } of found) {
      if (name === this.#name) continue
      const record = (value ?? { beat: 0 }) as NodeRecord
      if (record.deadMs !== undefined) {
        await this.#forget(name, record.deadMs)
        continue
      }
      const sign = `${generation} ${record.beat}`
      const other = this.#others.get(name)
      if (other?.sign !== sign) this.#others.set(name, { sign, sinceMs: nowMs })
      else if (nowMs - other.sinceMs > limits.nodeDeadMs) {
        this.#inheriting ??= this.#inherit(name).finally(() => (this.#inheriting = undefined))
      }
    }
  }

  /** Two nodes may do this at once: what is seen to twice is found seen to. Never rejects: what failed is found with a later beat. */
  async #inherit(dead: string): Promise<void> {
    const { documents, logger, clock } = this.#parts
    logger.warn({ node: dead }, 'another node is dead: what it left behind is seen to')
    try {
      const { value, generation } = await documents.claim(collection, dead, this.#name)
      this.#others.delete(dead)
      await this.#parts.inherit(dead)
      const { beat = 0 } = (value ?? {}) as Partial<NodeRecord>
      await documents.put(collection, dead, { beat, deadMs: clock.now() } satisfies NodeRecord, generation)
    } catch (error) {
      logger.warn({ error, node: dead }, 'what a dead node left behind could not be seen to; it is tried again')
    }
  }

  async #forget(name: string, deadMs: number): Promise<void> {
    if (this.#parts.clock.now() - deadMs > nodeForgottenMs) await this.#parts.documents.remove(collection, name)
  }
}
