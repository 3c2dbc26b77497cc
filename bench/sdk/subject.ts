/** A client as an app uses it, ours or the peer's: what the loads of this folder work on, in Node and in a page. */

/** What is published: JSON of 300 bytes. */
export interface Payload {
  /** From 1; as text where the stream was filled for a first sync. */
  readonly n: number | string
  /** When it was published: ms since 1970, with fractions. */
  readonly at: number
  readonly x: string
}

export interface Subject {
  /** Resolves when it is connected. */
  connected(): Promise<void>
  /** Gives each payload until it has been told `true`: everything from the first on, or what comes `now`, when it calls `ready`. */
  read(from: 'first' | 'now', take: (payload: Payload) => boolean, ready?: () => void): Promise<void>
  /** Resolves when the server has acknowledged it. */
  publish(payload: Payload): Promise<unknown>
  close(): Promise<void>
}

/** Whom to be, at which server. Travels to pages and processes. */
export type Target = OwnTarget | { readonly system: 'nats'; readonly url: string; readonly stream: string }

export interface OwnTarget {
  readonly system: 'tidemark'
  readonly url: string
  readonly token: string
  readonly stream: string
  /** Where the outbox is, in Node: without one it is in memory. In a page it is IndexedDB. */
  readonly folder?: string
}

export type Opener = (target: Target) => Promise<Subject>

export const payloadBytes = 300

export function payloadOf(n: number): Payload {
  const bare = { n, at: nowMs(), x: '' }
  return { ...bare, x: 'x'.repeat(payloadBytes - JSON.stringify(bare).length) }
}

/** The same for all pages and processes of a machine. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}
