/**
 * Hints between equal nodes: they cut latency and carry no truth. A hint may be lost, late, doubled or
 * out of order; whoever acts on one reads the store first. A node never gets its own hints back.
 */
export interface Hints {
  send(hint: Hint): void
  /** Calls the listener for hints of other nodes until the returned function is called. */
  listen(listener: (hint: Hint) => void): () => void
  close(): Promise<void>
}

export type Hint =
  /** The stream has entries up to `seq`. */
  | { readonly type: 'head'; readonly stream: string; readonly seq: number }
  /** A QoS 0 message for whoever reads the stream now. */
  | {
      readonly type: 'ephemeral'
      readonly stream: string
      readonly topic: string
      readonly payload: Buffer
      readonly from: string
      readonly client: string
    }
  /** The session has a newer owner. */
  | { readonly type: 'takeover'; readonly session: string; readonly generation: number }
  /** Something was revoked: read the revocations now. */
  | { readonly type: 'revoked' }

/** Hints of a node that is alone. */
export const noHints: Hints = { send() {}, listen: () => () => {}, close: () => Promise.resolve() }
