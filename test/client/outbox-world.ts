/** An outbox over a simulated server, and everything that a test looks at. */
import { bounds, type Bounds } from '../../client/bounds.ts'
import type { Codec } from '../../client/codec.ts'
import { ClientError } from '../../client/errors.ts'
import type { Settled } from '../../client/api.ts'
import { MemoryStore } from '../../client/outbox/memory-store.ts'
import { Outbox } from '../../client/outbox/outbox.ts'
import type { OutboxStore, Waiting } from '../../client/outbox/store.ts'
import type { History } from '../../client/seams.ts'
import { ManualTimers } from './manual-timers.ts'
import { SimulatedServer, SimulatedSession } from './simulated-server.ts'

export const board = 'spaces/board'

export interface WorldOptions {
  readonly server?: SimulatedServer
  readonly store?: OutboxStore
  readonly owner?: string
  readonly uid?: () => string | undefined
  readonly bounds?: Partial<Bounds>
  readonly codec?: Codec
  /** Default: the simulated server's. */
  readonly history?: History
  readonly positionOf?: (stream: string) => string | undefined
  readonly packetBytesMax?: number
}

export interface OutboxWorld {
  readonly server: SimulatedServer
  readonly store: OutboxStore
  readonly timers: ManualTimers
  readonly outbox: Outbox
  readonly settled: Settled[]
  readonly warnings: ClientError[]
  /** A session that the test steps, or one that answers at once. */
  attach(auto?: boolean, putsInFlightMax?: number): SimulatedSession
  /** The session is gone, with everything unanswered. */
  /** Lets everything happen, until what is settled has gone from the store. */
  forgotten(): Promise<void>
  lose(session: SimulatedSession): void
}

export function makeOutbox(options: WorldOptions = {}): OutboxWorld {
  const { server = new SimulatedServer(), store = new LastingStore(), uid = () => 'alice' } = options
  const timers = new ManualTimers()
  const warnings: ClientError[] = []
  const settled: Settled[] = []
  const outbox = new Outbox({
    store,
    history: options.history ?? server.history,
    timers,
    bounds: { ...bounds, ...options.bounds },
    owner: options.owner ?? 'tab-1',
    uid,
    positionOf: options.positionOf ?? (() => undefined),
    codec: options.codec,
    packetBytesMax: () => options.packetBytesMax,
    onWarning: (warning) => warnings.push(warning),
  })
  outbox.view.onSettled((one) => settled.push(one))
  return {
    server,
    store,
    timers,
    outbox,
    settled,
    warnings,
    attach(auto = true, putsInFlightMax = 64) {
      const session = new SimulatedSession(server, uid() ?? 'alice', auto)
      outbox.attach(session, putsInFlightMax)
      return session
    },
    async forgotten() {
      await settle()
      timers.advance({ ...bounds, ...options.bounds }.settledKeptMs)
      await settle()
    },
    lose(session) {
      outbox.detach()
      session.cut()
    },
  }
}

/** In memory, and kept from one outbox to the next, as a device does; a test may make it full. */
export class LastingStore extends MemoryStore {
  override readonly durable: boolean = true
  /** Bytes of JSON it has room for. */
  bytesMax = Infinity
  /** How often something was written. */
  writes = 0
  /** Everything that is to be written fails with this. */
  broken: ClientError | undefined = undefined
  /** Who reads sees what was begun before, also by a page that is gone: transactions of one database, and the lock of a folder, see to that. */
  #lastWrite: Promise<unknown> = Promise.resolve()

  override async load(): Promise<readonly Waiting[]> {
    await this.#lastWrite
    return await super.load()
  }

  override add(items: readonly Omit<Waiting, 'key'>[]): Promise<readonly number[]> {
    return this.#write(items, () => super.add(items))
  }

  /** As browsers count, what is replaced needs room beside what was there. */
  override replace(items: readonly Waiting[]): Promise<void> {
    return this.#write(items, () => super.replace(items))
  }

  override remove(keys: readonly number[]): Promise<void> {
    return this.#write([], () => super.remove(keys))
  }

  #write<T>(added: readonly object[], write: () => Promise<T>): Promise<T> {
    this.writes++
    const written = (async () => {
      // As a disk does, it takes more than a turn.
      await new Promise<void>((resolve) => setImmediate(resolve))
      if (this.broken) throw this.broken
      const bytes = [...(await super.load()), ...added].reduce((sum, item) => sum + JSON.stringify(item).length, 0)
      if (added.length > 0 && bytes > this.bytesMax) throw new ClientError('storage-full')
      return await write()
    })()
    this.#lastWrite = Promise.allSettled([this.#lastWrite, written])
    return written
  }
}

/** Lets everything happen that needs no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
