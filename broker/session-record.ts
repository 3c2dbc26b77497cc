/** How a clean=0 session is stored. */
export interface SessionRecord {
  /** The run of the server that serves it now; empty once it was left in good order. */
  readonly run: string
  /** When somebody was last connected, ms. */
  readonly seenMs: number
  readonly cursors: readonly CursorRecord[]
  /** Filters without a place in a log: replies and taps. */
  readonly others: readonly { readonly filter: string; readonly qos: number }[]
}

export interface CursorRecord {
  readonly stream: string
  /** Everything up to here was acknowledged. */
  readonly acked: number
  /** Up to here entries may have been sent. */
  readonly sent: number
  readonly filters: readonly {
    readonly filter: string
    readonly qos: number
    readonly since: number
    readonly retainedDue: boolean
  }[]
}

export const sessionsCollection = 'sessions'
export const intentsCollection = 'qos2'
