/**
 * Small durable records beside the log: sessions, wills, signing keys, revocations.
 *
 * Each record has one owner at a time. Who wants to own it claims it and gets a generation; a write that
 * names an older generation than the stored one changes nothing and says `fenced`. Writes of one process
 * to one key take effect in the order of the calls.
 */
export interface Documents {
  /** The record as last stored, or undefined. Never older than a write that has resolved. */
  get(collection: string, key: string): Promise<StoredDocument | undefined>
  /** Becomes the owner: stores the next generation with the old value and returns it. Durable when it resolves. */
  claim(collection: string, key: string, owner: string): Promise<StoredDocument>
  /** Stores the value under the generation. Durable when it resolves; `fenced` if a newer generation is stored. */
  put(collection: string, key: string, value: unknown, generation?: number): Promise<'stored' | 'fenced'>
  /** Removes the record. Durable when it resolves; `fenced` as for put. */
  remove(collection: string, key: string, generation?: number): Promise<'stored' | 'fenced'>
  /** Records in ascending order of their keys (UTF-8), those after `after`, with keys that begin with `prefix`. */
  list(collection: string, options: { prefix?: string; after?: string; limit: number }): Promise<StoredDocument[]>
  /** Names of the collections that hold a record, in ascending order. */
  collections(): Promise<string[]>
}

/** `value` is JSON. `generation` is 0 for a record that nobody ever claimed, or that is not stored. */
export interface StoredDocument {
  readonly key: string
  readonly value: unknown
  readonly generation: number
  readonly owner: string
}
