/** What the parts count and time; metrics names are the bridge's affair. Called at most once per commit, turn or refusal. */
export interface Telemetry {
  /** One commit reached the disk. */
  committed(buckets: number, entries: number, bytes: number, durationMs: number): void
  /** How long an entry (the oldest of a commit) took from socket to disk. */
  appended(latencyMs: number): void
  /** Entries that one turn of the event loop wrote to sessions, and how long the slowest took from its commit, where this process made it. */
  delivered(entries: number, latencyMs: number | undefined): void
  /** Somebody was refused something. */
  refused(door: string, code: string): void
  /** A commit failed, or the store left or came back. */
  storeFailed(): void
  /** A persistent session was discarded because its cursor could not be served any more. */
  sessionDiscarded(): void
  /** Retention has looked at streams, trimmed some of their entries, or waited for a kept session with that. */
  swept(work: { readonly looks: number; readonly trims: number; readonly entries: number; readonly held: number }): void
  /** Hints were handed to the other nodes or came from them; `dropped`: not sent; `ignored`: messages that are no hints. */
  hints(outcome: HintOutcome, count: number): void
}

export type HintOutcome = 'sent' | 'received' | 'dropped' | 'ignored'

export const noTelemetry: Telemetry = {
  committed() {},
  appended() {},
  delivered() {},
  refused() {},
  storeFailed() {},
  sessionDiscarded() {},
  swept() {},
  hints() {},
}
