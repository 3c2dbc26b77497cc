/** One message as the app sees it. */
import type { ClientError } from './errors.ts'
import type { Hops } from './wire.ts'

export interface Entry {
  /** The position: everything of the stream up to this entry has been given to the app. Empty on an ephemeral or pending message. */
  readonly pos: string
  /** Number in the stream, from 1, contiguous; 0 on an ephemeral or pending message. */
  readonly seq: number
  readonly id: string
  /** When it was appended: ms since 1970 on the server's clock. */
  readonly ts: number
  /** uid of the publisher, as its token proved it. */
  readonly from: string
  readonly client: string
  /** Below the stream: `cards/12` for `spaces/board-7/cards/12`. */
  readonly topic: string
  readonly stream: string
  readonly retain: boolean
  /** The topic's retained entry was removed by this one. */
  readonly deleted: boolean
  /** Published with QoS 0: seen live, never logged. */
  readonly ephemeral: boolean
  /** A JSON value, a string or bytes, as `format` says; `undefined` where deleted or where `error` stands. */
  readonly data: unknown
  readonly format: 'json' | 'text' | 'bytes' | 'none'
  /** Part of a snapshot: the present state, not news. */
  readonly snapshot: boolean
  /** Waits in this client's outbox, shown in advance. */
  readonly pending: boolean
  /** `undecodable`: the codec could not read it. */
  readonly error?: ClientError
  /** How long each step took, where the server still knew. */
  readonly receipt?: Receipt
}

/** Times of the server's clock in ms; `delivered` is this client's, on the same clock as far as it can be estimated. */
export interface Receipt extends Hops {
  readonly delivered: number
  /** How far `delivered` may be off, in ms. */
  readonly deliveredErrorMs: number
}
