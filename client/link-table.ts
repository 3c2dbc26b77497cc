/**
 * The life of the connection.
 *
 *            start            ready             opened
 *     idle ────────▶ token ─────────▶ opening ──────────▶ online ◀──────────┐
 *                    ▲ │ │  ◀──stale──┘ │ │              │  │              │ settled
 *           due/wake/│ │ └─denied─┐  ┌──┘ │failed     due│  │wake/quiet    │
 *           retry    │ │failed    ▼  ▼    │              ▼  ▼              │
 *                    │ │      refused     │       renewing, reviving ──────┘
 *                    │ ▼                  ▼              │
 *                    waiting ◀────────────────── lost ───┘        close: from everywhere to closed
 *
 * `token` has the app's token exchanged where none good is in hand, `opening` opens a session with it. `waiting` and
 * `refused` pause: the first for a growing while, the second for long. `renewing` gives the session a fresh token,
 * `reviving` does so if it is time and then asks whether the server is still there; entries go on meanwhile.
 */
export const linkStates = ['idle', 'token', 'opening', 'online', 'renewing', 'reviving', 'waiting', 'refused', 'closed'] as const
export type LinkState = (typeof linkStates)[number]

/**
 * `due`: what the state waited for is due: the renewal, the next attempt. `stale`: the server refused a token that was
 * in hand before. `opened` while online: a better transport. `settled`: renewal or revival is over, well or badly.
 */
export const linkEvents = [
  'start',
  'ready',
  'opened',
  'failed',
  'denied',
  'stale',
  'settled',
  'lost',
  'due',
  'quiet',
  'wake',
  'retry',
  'close',
] as const
export type LinkEvent = (typeof linkEvents)[number]

/** Where an event leads; `null`: it means nothing here. */
type Row = Readonly<Record<LinkEvent, LinkState | null>>

const nothing: Row = {
  start: null,
  ready: null,
  opened: null,
  failed: null,
  denied: null,
  stale: null,
  settled: null,
  lost: null,
  due: null,
  quiet: null,
  wake: null,
  retry: null,
  close: 'closed',
}

export const linkTable: Readonly<Record<LinkState, Row>> = {
  idle: { ...nothing, start: 'token' },
  token: { ...nothing, ready: 'opening', failed: 'waiting', denied: 'refused' },
  opening: { ...nothing, opened: 'online', failed: 'waiting', denied: 'refused', stale: 'token' },
  online: { ...nothing, opened: 'online', lost: 'waiting', due: 'renewing', quiet: 'reviving', wake: 'reviving', retry: 'reviving' },
  renewing: { ...nothing, settled: 'online', lost: 'waiting', quiet: 'reviving', wake: 'reviving', retry: 'reviving' },
  reviving: { ...nothing, settled: 'online', lost: 'waiting' },
  waiting: { ...nothing, due: 'token', wake: 'token', retry: 'token' },
  refused: { ...nothing, due: 'token', wake: 'token', retry: 'token' },
  closed: { ...nothing, close: null },
}

/** States with a session. */
export const isConnected = (state: LinkState): boolean => state === 'online' || state === 'renewing' || state === 'reviving'
