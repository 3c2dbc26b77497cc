/** Values of the SDK that an app watches. */
import type { Readable } from './api.ts'
import { asClientError, type ClientError } from './errors.ts'

type Warn = (warning: ClientError) => void

/** Who wants to be told. A listener that throws harms nobody else. */
export class Listeners<T> {
  readonly #calls = new Map<symbol, (value: T) => void>()
  readonly #warn: Warn

  constructor(warn: Warn) {
    this.#warn = warn
  }

  get size(): number {
    return this.#calls.size
  }

  /** The answer ends it. */
  add(listener: (value: T) => void): () => void {
    const key = Symbol()
    this.#calls.set(key, listener)
    return () => void this.#calls.delete(key)
  }

  emit(value: T): void {
    for (const listener of this.#calls.values()) this.tell(listener, value)
  }

  tell(listener: (value: T) => void, value: T): void {
    try {
      listener(value)
    } catch (error) {
      this.#warn(asClientError(error, 'listener'))
    }
  }
}

/** Computed when asked for, and then the same until `changed`; listeners hear of it once a turn. */
export class Watched<T> implements Readable<T> {
  readonly #compute: () => T
  readonly #listeners: Listeners<T>
  #value: { readonly is: T } | undefined = undefined
  #telling = false

  constructor(compute: () => T, warn: Warn) {
    this.#compute = compute
    this.#listeners = new Listeners(warn)
  }

  get(): T {
    this.#value ??= { is: this.#compute() }
    return this.#value.is
  }

  subscribe(listener: (value: T) => void): () => void {
    const end = this.#listeners.add(listener)
    this.#listeners.tell(listener, this.get())
    return end
  }

  changed(): void {
    this.#value = undefined
    if (this.#telling || this.#listeners.size === 0) return
    this.#telling = true
    queueMicrotask(() => {
      this.#telling = false
      this.#listeners.emit(this.get())
    })
  }
}
