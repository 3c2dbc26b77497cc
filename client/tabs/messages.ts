/**
 * What tabs say to each other. All of them hear everything; the version is part of the channel's name, so that two
 * versions of a page never meet.
 *
 *     follower                          leader
 *     hello ──────────────────────────▶
 *           ◀────────────────────────── welcome, or `away` (no session now), or `alone` (open your own)
 *     ask: follow, put, probe ────────▶
 *           ◀────────────────────────── answer
 *           ◀────────────────────────── entry, control, refused: to all who follow
 *     unfollow, bye ──────────────────▶
 *           ◀────────────────────────── gone: the session is over
 */
import type { ClientErrorCode } from '../errors.ts'
import type { ClockOffset } from '../transport/transport.ts'
import type { Control, Envelope, Put, PutAnswer } from '../wire.ts'

export const channelVersion = 1

export interface Welcome {
  readonly kind: string
  readonly putsInFlightMax: number
  readonly clock: ClockOffset | undefined
}

export type Asked = { readonly follow: string } | { readonly put: Put; readonly topic: string } | { readonly probe: true }

/** By the session that speaks, of which a tab has a new one after each loss. */
export type ToLeader = { readonly id: string } & (
  | { readonly t: 'hello'; readonly owner: string; readonly uid: string }
  | { readonly t: 'ask'; readonly n: number; readonly what: Asked }
  | { readonly t: 'unfollow'; readonly filter: string }
  | { readonly t: 'bye' }
)

/** With `follow`: the last `at`, where there has been one. With `put`: the answer. */
export type Reply = { readonly at?: Control | undefined; readonly put?: PutAnswer } | { readonly failed: string }

export type Told =
  | { readonly welcome: Welcome; readonly to: string }
  | { readonly reply: Reply; readonly to: string; readonly n: number }
  | { readonly entry: Envelope; readonly filter: string }
  | { readonly control: Control; readonly filter: string; readonly clock: ClockOffset | undefined }
  | { readonly refused: string }
  | { readonly gone: { readonly code: ClientErrorCode; readonly message: string } }

export type FromLeader =
  /** A tab has become leader, and has no session yet. */
  | { readonly t: 'lead' }
  | { readonly t: 'ready'; readonly uid: string | undefined }
  | { readonly t: 'away'; readonly to: string }
  | { readonly t: 'alone'; readonly to: string }
  /** Of one session of the leader, numbered without a gap over all followers. */
  | { readonly t: 'told'; readonly term: string; readonly no: number; readonly told: Told }

export type Message = ToLeader | FromLeader
