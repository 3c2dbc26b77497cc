/** Gathers what one turn writes to the store, and everything that comes while that is on its way. */
import { asClientError, type ClientError } from '../errors.ts'
import type { Timers } from '../seams.ts'
import type { OutboxStore, Waiting } from './store.ts'

export interface KeeperParts {
  readonly store: OutboxStore
  /** Nothing is written before what was left by an earlier life has been read. */
  readonly loaded: () => Promise<void>
  readonly timers: Timers
  /** How long what is settled may stay, so that many go at once. */
  readonly settledKeptMs: number
  readonly onWarning: (warning: ClientError) => void
}

/** One to be kept, and whom to tell. */
export interface Arrival {
  readonly item: Omit<Waiting, 'key'>
  kept(key: number): void
  failed(error: ClientError): void
}

/** More would make one transaction long, and what comes after it late. */
const perWriteMax = 500

export class Keeper {
  readonly #parts: KeeperParts
  #arrivals: Arrival[] = []
  #changes: Changes = noChanges()
  /** Keys of what is settled and still there. */
  #settled: number[] = []
  #cancelForget: (() => void) | undefined = undefined
  #running: Promise<void> | undefined = undefined

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  add(arrival: Arrival): void {
    this.#arrivals.push(arrival)
    void this.#run()
  }

  replace(items: readonly Waiting[]): Promise<void> {
    if (items.length === 0) return Promise.resolve()
    this.#changes.replaced.push(...items)
    // What goes makes room.
    this.#goSettled()
    return this.#run()
  }

  /**
   * Settled: removed soon, `atOnce` where nothing else is coming, and nobody waits for that. Where it does not come to pass, another
   * life sends it again and finds it there. Until then it is in nobody's way: what needs its room takes it.
   */
  forget(key: number, atOnce: boolean): void {
    this.#settled.push(key)
    if (atOnce || this.#settled.length >= perWriteMax) return this.#forgetSettled()
    this.#cancelForget ??= this.#parts.timers.after(this.#parts.settledKeptMs, () => this.#forgetSettled())
  }

  remove(key: number): Promise<void> {
    this.#changes.removed.push(key)
    return this.#run()
  }

  /** Resolves when nothing is left to write; never rejects. */
  async idle(): Promise<void> {
    this.#forgetSettled()
    while (this.#running) await this.#running
  }

  #forgetSettled(): void {
    if (!this.#goSettled()) return
    this.#run().catch((error: unknown) => this.#parts.onWarning(asClientError(error, 'storage-unavailable')))
  }

  /** With the changes that stand now; tells whether there is any. */
  #goSettled(): boolean {
    this.#cancelForget?.()
    this.#cancelForget = undefined
    const settled = this.#settled.splice(0)
    this.#changes.removed.push(...settled)
    return settled.length > 0
  }

  /** Resolves or rejects with the changes that stand now. */
  #run(): Promise<void> {
    const { promise } = this.#changes
    // From here on a rejection reaches those who wait for it, and nobody else.
    promise.catch(() => undefined)
    this.#running ??= this.#write()
    return promise
  }

  async #write(): Promise<void> {
    await Promise.resolve() // The rest of the turn has its say first.
    while (this.#arrivals.length > 0 || this.#changes.replaced.length > 0 || this.#changes.removed.length > 0) {
      const changes = this.#changes
      const arrivals = this.#arrivals.splice(0, perWriteMax)
      this.#changes = noChanges()
      await Promise.all([this.#add(arrivals), this.#change(changes)])
    }
    // In the same step as the last look: whatever comes after it starts anew.
    this.#running = undefined
  }

  async #change(changes: Changes): Promise<void> {
    const { replaced, removed } = changes
    try {
      await this.#parts.loaded()
      // What has gone stays away, also where it was to be replaced.
      if (removed.length > 0) await this.#parts.store.remove(removed)
      if (replaced.length > 0) await this.#parts.store.replace(replaced)
      changes.resolve()
    } catch (error) {
      changes.reject(error)
    }
  }

  /** Where the device has no room for all, as many as fit are kept; after the first that does not, none. Tells whether all were. */
  async #add(arrivals: readonly Arrival[]): Promise<boolean> {
    let keys: readonly number[] = []
    try {
      await this.#parts.loaded()
      if (arrivals.length > 0) keys = await this.#parts.store.add(arrivals.map(({ item }) => item))
    } catch (thrown) {
      const error = asClientError(thrown, 'storage-unavailable')
      if (error.code === 'storage-full' && (await this.#makeRoom())) return await this.#add(arrivals)
      const half = error.code === 'storage-full' ? Math.floor(arrivals.length / 2) : 0
      if (half > 0 && (await this.#add(arrivals.slice(0, half)))) return await this.#add(arrivals.slice(half))
      for (const arrival of arrivals.slice(half)) arrival.failed(error)
      return false
    }
    for (const [index, arrival] of arrivals.entries()) arrival.kept(keys[index] as number)
    return true
  }

  /** Whether something that is settled has gone. */
  async #makeRoom(): Promise<boolean> {
    const settled = this.#settled.splice(0)
    if (settled.length === 0) return false
    try {
      await this.#parts.store.remove(settled)
      return true
    } catch (error) {
      this.#parts.onWarning(asClientError(error, 'storage-unavailable'))
      return false
    }
  }
}

interface Changes {
  readonly replaced: Waiting[]
  readonly removed: number[]
  readonly promise: Promise<void>
  resolve(): void
  reject(error: unknown): void
}

function noChanges(): Changes {
  const settle: Partial<Pick<Changes, 'resolve' | 'reject'>> = {}
  const promise = new Promise<void>((resolve, reject) => Object.assign(settle, { resolve, reject }))
  return { replaced: [], removed: [], promise, ...(settle as Pick<Changes, 'resolve' | 'reject'>) }
}
