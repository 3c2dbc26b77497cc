/** A store in front of another one, whose calls a test can hold, fail, answer for, or cut off for good. */
import type { Bucket } from '../../log/bucket.ts'
import type {
  CommitOutcome,
  KnownHead,
  OpenOptions,
  ReadRange,
  RecordChange,
  Store,
  StoreIdentity,
  StreamRecord,
  StreamTail,
} from '../../log/stores/store.ts'
import type { SyncError } from '../../protocol/errors.ts'
import type { Documents } from '../../seams/documents.ts'

export interface StoreCall {
  /** The method; those of the documents begin with `documents.`. */
  readonly name: string
  readonly args: readonly unknown[]
}

export interface Gate {
  /** Resolves when a call has arrived. */
  readonly reached: Promise<void>
  /** Lets through what waits and whatever comes later. */
  release(): void
}

type Matcher = (call: StoreCall) => boolean

export class GatedStore implements Store {
  readonly #inner: Store
  readonly documents: Documents
  readonly #gates = new Set<{ matches: Matcher; arrived: () => void; open: Promise<void> }>()
  readonly #faults = new Set<{ matches: Matcher; error: Error }>()
  #crashed = false
  /** Every call waits for it on its way in and on its way out, where given. */
  pause: ((call: StoreCall, way: 'in' | 'out') => Promise<void>) | undefined
  /** Answers for the commit instead of the inner store, where given. */
  committing: ((buckets: readonly Bucket[], commit: () => Promise<CommitOutcome[]>) => Promise<CommitOutcome[]>) | undefined

  constructor(inner: Store) {
    this.#inner = inner
    const { documents } = inner
    const pass = <Result>(name: string, args: unknown[], run: () => Promise<Result>): Promise<Result> =>
      this.#pass(`documents.${name}`, args, run)
    this.documents = {
      get: (...args) => pass('get', args, () => documents.get(...args)),
      claim: (...args) => pass('claim', args, () => documents.claim(...args)),
      put: (...args) => pass('put', args, () => documents.put(...args)),
      remove: (...args) => pass('remove', args, () => documents.remove(...args)),
      list: (...args) => pass('list', args, () => documents.list(...args)),
      collections: () => pass('collections', [], () => documents.collections()),
    }
  }

  get healthy(): boolean {
    return this.#inner.healthy
  }
  get failure(): SyncError | undefined {
    return this.#inner.failure
  }

  get shared(): boolean {
    return this.#inner.shared
  }
  get atomic(): boolean {
    return this.#inner.atomic ?? false
  }

  /** Matching calls wait until the gate is released. */
  hold(matches: Matcher): Gate {
    let arrived = (): void => {}
    let release = (): void => {}
    const reached = new Promise<void>((resolve) => (arrived = resolve))
    const open = new Promise<void>((resolve) => (release = resolve))
    const gate = { matches, arrived, open }
    this.#gates.add(gate)
    return {
      reached,
      release: () => {
        this.#gates.delete(gate)
        release()
      },
    }
  }

  /** Matching calls fail until the returned function is called. */
  fail(matches: Matcher, error = new Error('the test fails this call')): () => void {
    const fault = { matches, error }
    this.#faults.add(fault)
    return () => void this.#faults.delete(fault)
  }

  /** Nothing from here on reaches the inner store or is answered, as if the process had died. */
  crash(): void {
    this.#crashed = true
  }

  open(options?: OpenOptions): Promise<StoreIdentity> {
    return this.#pass('open', [options], () => this.#inner.open(options))
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
  load(stream: string): Promise<StreamTail> {
    return this.#pass('load', [stream], () => this.#inner.load(stream))
  }
  moved(heads: readonly KnownHead[]): Promise<string[]> {
    return this.#pass('moved', [heads], () => this.#inner.moved(heads))
  }
  commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const commit = (): Promise<CommitOutcome[]> => this.#inner.commit(buckets)
    return this.#pass('commit', [buckets], () => (this.committing ? this.committing(buckets, commit) : commit()))
  }
  adopt(buckets: readonly Bucket[]): Promise<void> {
    return this.#pass('adopt', [buckets], () => this.#inner.adopt(buckets))
  }
  settle(bucket: Bucket): Promise<'stored' | 'taken' | 'absent'> {
    return this.#pass('settle', [bucket], () => this.#inner.settle(bucket))
  }
  read(stream: string, range: ReadRange): Promise<Bucket[]> {
    return this.#pass('read', [stream, range], () => this.#inner.read(stream, range))
  }
  changeRecord(stream: string, change: RecordChange): Promise<StreamRecord> {
    return this.#pass('changeRecord', [stream], () => this.#inner.changeRecord(stream, change))
  }
  removeBelow(stream: string, seq: number): Promise<void> {
    return this.#pass('removeBelow', [stream, seq], () => this.#inner.removeBelow(stream, seq))
  }
  putChunk(stream: string, name: string, value: Buffer): Promise<void> {
    return this.#pass('putChunk', [stream, name], () => this.#inner.putChunk(stream, name, value))
  }
  getChunk(stream: string, name: string): Promise<Buffer | undefined> {
    return this.#pass('getChunk', [stream, name], () => this.#inner.getChunk(stream, name))
  }
  removeChunk(stream: string, name: string): Promise<void> {
    return this.#pass('removeChunk', [stream, name], () => this.#inner.removeChunk(stream, name))
  }
  streams(after: string, limit: number): Promise<string[]> {
    return this.#pass('streams', [after, limit], () => this.#inner.streams(after, limit))
  }

  async #pass<Result>(name: string, args: readonly unknown[], run: () => Promise<Result>): Promise<Result> {
    const call = { name, args }
    for (const gate of this.#gates) {
      if (!gate.matches(call)) continue
      gate.arrived()
      await gate.open
    }
    await this.pause?.(call, 'in')
    if (this.#crashed) return await never()
    for (const { matches, error } of this.#faults) if (matches(call)) throw error
    const result = await run()
    await this.pause?.(call, 'out')
    return this.#crashed ? await never() : result
  }
}

/** Calls of one method, optionally with this first argument. */
export function calls(name: string, first?: unknown): Matcher {
  return (call) => call.name === name && (first === undefined || call.args[0] === first)
}

function never<Result>(): Promise<Result> {
  return new Promise<Result>(() => {})
}
