/** What the server sends, as far as the client reads it. Members it does not know are ignored [P-14.7]. */

/** An entry or an ephemeral message on the sync door, in a put's answer or on a page [P-3.3 – P-3.13]. */
export interface Envelope {
  /** Absent on an ephemeral message, like `id`. */
  readonly pos?: string
  readonly id?: string
  readonly ts: number
  readonly from: string
  readonly client: string
  /** The full topic. */
  readonly topic: string
  readonly retain?: boolean
  readonly deleted?: boolean
  readonly data?: unknown
  readonly text?: string
  readonly base64?: string
  readonly hops?: Hops
  readonly ephemeral?: boolean
  /** When this client got it live, in ms of its own clock. Added here. */
  arrivedMs?: number
}

/** The server's part of the latency receipt, in ms of its clock [P-3.17]. */
export interface Hops {
  readonly received: number
  readonly authorised: number
  readonly committed?: number
  readonly written: number
}

/** Control messages of the sync door and of `/v1/events` [P-6.10 – P-6.14]. */
export type Control =
  | { readonly ctl: 'at'; readonly pos: string; readonly head: string; readonly first: string; readonly ts: number }
  | { readonly ctl: 'reset'; readonly reason: ResetReason; readonly first: string; readonly head: string }
  | { readonly ctl: 'ended'; readonly reason: EndReason; readonly pos: string }

export type ResetReason = 'trimmed' | 'epoch' | 'ahead' | 'erased'
export type EndReason = 'grant' | 'withdrawn' | 'erased'

/** The JSON of a put, without its topic [P-5.2 – P-5.8]. */
export interface Put {
  readonly id: string
  readonly data?: unknown
  readonly text?: string
  readonly base64?: string
  readonly retain?: true
  readonly if?: string
  readonly since?: string
}

/** The answer to a put [P-5.10, P-5.11]. `error` is a code of chapter 12. */
export type PutAnswer =
  | { readonly id: string; readonly pos: string; readonly duplicate?: boolean }
  | { readonly id: string; readonly error: string; readonly reason?: string; readonly current?: Envelope | null }

/** A page of history [P-11.21]. */
export interface EntriesPage {
  readonly entries: readonly Envelope[]
  readonly next: string
  readonly head: string
  readonly first: string
  readonly upToDate: boolean
}

/** A page of state [P-11.30]. */
export interface StatePage {
  readonly entries: readonly Envelope[]
  readonly next: string
  /** The head at the first page. */
  readonly pos: string
  readonly upToDate: boolean
}
