/** Gathers what one turn writes to the store, and everything that comes while that is on its way. */
import { asClientError, type ClientError } from '../errors.ts'
import type { OutboxStore, Waiting } from './store.ts'

/** One to be kept, and whom to tell. */
export interface Arrival {
  readonly item: Omit<Waiting, 'key'>
  kept(key: number): void
  failed(error: ClientError): void
}

/** More would make one transaction long, and what comes after it late. */
const arrivalsPerWrite = 500

export class Keeper {
  readonly #store: OutboxStore
  /** Nothing is written before what was left by an earlier life has been read. */
  readonly #loaded: () => Promise<void>
  #arrivals: Arrival[] = []
  #changes: Changes = noChanges()
  #running: Promise<void> | undefined = undefined

  constructor(store: OutboxStore, loaded: () => Promise<void>) {
    this.#store = store
    this.#loaded = loaded
  }

  add(arrival: Arrival): void {
    this.#arrivals.push(arrival)
    void this.#run()
  }

  replace(items: readonly Waiting[]): Promise<void> {
    if (items.length === 0) return Promise.resolve()
    this.#changes.replaced.push(...items)
    return this.#run()
  }

  remove(key: number): Promise<void> {
    this.#changes.removed.push(key)
    return this.#run()
  }

  /** Resolves when nothing is left to write; never rejects. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
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
      const arrivals = this.#arrivals.splice(0, arrivalsPerWrite)
      this.#changes = noChanges()
      await Promise.all([this.#add(arrivals), this.#change(changes)])
    }
    // In the same step as the last look: whatever comes after it starts anew.
    this.#running = undefined
  }

  async #change(changes: Changes): Promise<void> {
    const { replaced, removed } = changes
    try {
      await this.#loaded()
      // What goes makes room. What has gone stays away, also where it was to be replaced.
      if (removed.length > 0) await this.#store.remove(removed)
      if (replaced.length > 0) await this.#store.replace(replaced)
      changes.resolve()
    } catch (error) {
      changes.reject(error)
    }
  }

  /** Where the device has no room for all, as many as fit are kept; after the first that does not, none. Tells whether all were. */
  async #add(arrivals: readonly Arrival[]): Promise<boolean> {
    let keys: readonly number[] = []
    try {
      await this.#loaded()
      if (arrivals.length > 0) keys = await this.#store.add(arrivals.map(({ item }) => item))
    } catch (thrown) {
      const error = asClientError(thrown, 'storage-unavailable')
      const half = error.code === 'storage-full' ? Math.floor(arrivals.length / 2) : 0
      if (half > 0 && (await this.#add(arrivals.slice(0, half)))) return await this.#add(arrivals.slice(half))
      for (const arrival of arrivals.slice(half)) arrival.failed(error)
      return false
    }
    for (const [index, arrival] of arrivals.entries()) arrival.kept(keys[index] as number)
    return true
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
