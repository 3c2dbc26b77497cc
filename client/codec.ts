/** The seam for end-to-end encryption: what stands between the app's values and the wire. */

/** What is published: a topic below the stream, and what stands there. */
export interface Clear {
  readonly topic: string
  readonly format: 'json' | 'text' | 'bytes' | 'none'
  readonly data: unknown
}

export interface Codec {
  /** The wire's form. Rejects with what the app shall see as `bad-value`. */
  encode(stream: string, clear: Clear): Promise<Clear>
  /** The app's form. Rejects where it cannot be read: the entry then carries `undecodable`. */
  decode(stream: string, wire: Clear): Promise<Clear>
  /** The wire's form of a topic, a prefix or a filter below the stream, level by level, so that wildcards and prefixes go on working. */
  topic(stream: string, topic: string): Promise<string>
}
