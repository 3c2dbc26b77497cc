/** What the SDK takes from its surroundings, so that tests can play it. */
import type { EntriesPage, StatePage } from './wire.ts'

/** Time and chance. */
export interface Timers {
  /** ms, monotonic; goes on while the machine sleeps where the platform can tell. */
  now(): number
  /** ms since 1970. */
  wallMs(): number
  /** Calls once, after `ms`; the answer cancels. */
  after(ms: number, call: () => void): () => void
  /** [0, 1) */
  random(): number
}

export interface EntriesQuery {
  readonly after?: string
  readonly before?: string
  readonly since?: number
  readonly until?: number
  readonly topic?: string
  readonly reverse?: boolean
  readonly limit?: number
}

/** The log over HTTP. Rejects with the server's code (410 with `details.first`, `details.head`), or `network`. */
export interface History {
  /** `onNext`: where the page after this one begins, as soon as the server has said so; the page itself may come later. */
  entries(stream: string, query: EntriesQuery, signal?: AbortSignal, onNext?: (after: string) => void): Promise<EntriesPage>
  state(
    stream: string,
    query: { readonly topic?: string; readonly after?: string; readonly limit?: number },
    signal?: AbortSignal,
  ): Promise<StatePage>
}
