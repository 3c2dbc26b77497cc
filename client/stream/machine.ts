/**
 * The life of one reader of a stream, as a complete table: what it does in each state at each event.
 *
 *                 opened            joined, not met            page, met
 *   ┌─► waiting ─────────► joining ────────────► catching-up ────────────► live
 *   │      ▲                  │ joined, met           │  ▲  ▲                │ │
 *   │      │                  └───────────────────────┼──┼──┼──────────────► │ │
 *   │      │                                     gone │  │  └── gap, full ───┘ │
 *   │      │                                          ▼  │ last page           │
 *   │      │                                        reset┘◄──── gone ──────────┘
 *   │      └── lost: from each of them
 *   └── made            refused, left: from each of them ─► closed
 *
 * Who begins at a position or with a snapshot is made in `catching-up` or `reset` and reads while the first session is
 * still being opened: what is there is shown one round trip after the token has come. Such a reader waits when it has
 * read everything, or when a request has failed.
 *
 * Invariants, held by `test/client/reader-model.test.ts`:
 *   1. Entries are queued in rising seq, each once; of a whole stream without a gap, unless a reset stands there.
 *   2. The cursor is behind everything queued and before everything that is not: who stores a position that was given
 *      and begins again there misses nothing and gets nothing twice.
 *   3. While a session stays and requests are answered, each reader becomes live.
 *   4. In `live` nothing below the feed's head is missing from the queue.
 *   5. Nothing is queued in `closed`.
 */
import type { ReaderState } from '../api.ts'
import type { ClientError } from '../errors.ts'
import type { EntriesPage, Envelope, ResetReason, StatePage } from '../wire.ts'

export interface ReaderEvents {
  /** A session is there, and the feed was asked to follow. */
  opened: []
  /** The feed's window has begun. */
  joined: []
  entry: [Envelope]
  /** Everything up to this position has come. */
  at: [string]
  lost: []
  page: [EntriesPage]
  statePage: [StatePage]
  /** A request has failed; it is worth another try. */
  unanswered: []
  /** The app has taken enough for more to be read. */
  drained: []
  /** The position cannot be served. */
  gone: [reason: ResetReason, first: string, head: string]
  /** Nothing can be read, now or later. */
  refused: [ClientError]
  left: []
}

/** What a reader can do; each action says which state comes next. */
export interface ReaderActions {
  join(): ReaderState
  leaveSession(): ReaderState
  /** Begins where the app asked: at the feed's head, with a snapshot, or where it left off. */
  begin(): ReaderState
  takeLive(envelope: Envelope): ReaderState
  moveTo(pos: string): ReaderState
  takePage(page: EntriesPage): ReaderState
  takeState(page: StatePage): ReaderState
  /** Live, if the feed's window covers the rest. */
  meet(): ReaderState
  /** Tries again, or waits for the first session. */
  giveUp(): ReaderState
  /** An ephemeral message while entries are still being read: passed over. */
  stay(): ReaderState
  startOver(reason: ResetReason, first: string, head: string): ReaderState
  fail(error: ClientError): ReaderState
  end(): ReaderState
}

type Row = { readonly [event in keyof ReaderEvents]: (act: ReaderActions, ...args: ReaderEvents[event]) => ReaderState }

const stay = (act: ReaderActions): ReaderState => act.stay()
const startOver = (act: ReaderActions, reason: ResetReason, first: string, head: string): ReaderState => act.startOver(reason, first, head)
const fail = (act: ReaderActions, error: ClientError): ReaderState => act.fail(error)
const end = (act: ReaderActions): ReaderState => act.end()
const join = (act: ReaderActions): ReaderState => act.join()
const leaveSession = (act: ReaderActions): ReaderState => act.leaveSession()

/** In every state but `closed`. A second `opened` is a session that replaced another one unseen. */
const common = { opened: join, lost: leaveSession, gone: startOver, refused: fail, left: end } as const

/** Answers to requests that were given up never arrive here: a reader drops them by itself. */
export const readerMachine: { readonly [state in ReaderState]: Row } = {
  waiting: { ...common, joined: stay, entry: stay, at: stay, page: stay, statePage: stay, unanswered: stay, drained: stay },
  joining: {
    ...common,
    joined: (act) => act.begin(),
    entry: stay,
    at: stay,
    // Asked for before the session was there.
    page: (act, page) => act.takePage(page),
    statePage: (act, page) => act.takeState(page),
    unanswered: stay,
    drained: stay,
  },
  'catching-up': {
    ...common,
    joined: stay,
    // The feed keeps them in its window.
    entry: stay,
    at: stay,
    page: (act, page) => act.takePage(page),
    statePage: stay,
    unanswered: (act) => act.giveUp(),
    drained: (act) => act.meet(),
  },
  live: {
    ...common,
    joined: stay,
    entry: (act, envelope) => act.takeLive(envelope),
    at: (act, pos) => act.moveTo(pos),
    page: stay,
    statePage: stay,
    unanswered: stay,
    drained: stay,
  },
  reset: {
    ...common,
    joined: stay,
    entry: stay,
    at: stay,
    page: stay,
    statePage: (act, page) => act.takeState(page),
    unanswered: (act) => act.giveUp(),
    drained: stay,
  },
  closed: {
    opened: stay,
    joined: stay,
    entry: stay,
    at: stay,
    lost: stay,
    page: stay,
    statePage: stay,
    unanswered: stay,
    drained: stay,
    gone: stay,
    refused: stay,
    left: stay,
  },
}
