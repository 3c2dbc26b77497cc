/** Where the outbox keeps what waits: the seam for IndexedDB, a folder in Node, or memory. Contract suite: `test/client/outbox-store-contract.ts`. */

/** One publish, from the call until it is settled. */
export interface Waiting {
  /** Order of the calls, rising over all streams of the store; given by `add`. */
  readonly key: number
  readonly id: string
  /** The user it was written by, where that was known; another user's connection does not send it. */
  readonly uid: string | undefined
  /** Whose it is to send, where several pages share the store. */
  readonly owner: string
  readonly stream: string
  /** The full topic, `open/-` included. */
  readonly topic: string
  readonly body: Body
  readonly retain: boolean
  readonly if: string | undefined
  /** The position of the stream before it was first sent [P-9.9]; empty: it was sent without one. Undefined: it was never sent. */
  readonly since: string | undefined
  /** ms since 1970, the client's clock. */
  readonly createdMs: number
  /** Why it was refused. It stays until the app has dismissed it. */
  readonly refusal: Refusal | undefined
}

export type Body = { readonly data: unknown } | { readonly text: string } | { readonly base64: string } | { readonly deleted: true }

export interface Refusal {
  readonly code: string
  readonly message: string
  /** With `conflict`: the envelope that stood there, or null. */
  readonly current?: unknown
}

export interface OutboxStore {
  /** Whether what is kept outlives the process. Known once `load` has resolved; it may cease to be so. */
  readonly durable: boolean
  /** Everything kept, by rising key. Opens the store where that has not happened; so does every other call. */
  load(): Promise<readonly Waiting[]>
  /** Keeps them, all or none, and gives their keys. Resolves when they outlive the process; rejects with `storage-full` or `storage-unavailable`. */
  add(items: readonly Omit<Waiting, 'key'>[]): Promise<readonly number[]>
  /** Replaces what is kept under the keys of the given ones; one that is not there any more stays away. */
  replace(items: readonly Waiting[]): Promise<void>
  remove(keys: readonly number[]): Promise<void>
  close(): Promise<void>
}
