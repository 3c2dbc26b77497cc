/** The sessions of one user: those kept, those connected here, and those that other nodes hold [P-19.5]. */
import type { Clock } from '../seams/clock.ts'
import type { Documents } from '../seams/documents.ts'
import { sessionsCollection, type SessionRecord } from './session-record.ts'
import type { SessionHolder, Sessions } from './sessions.ts'
import type { Tenures } from './tenures.ts'

export interface ListParts {
  readonly sessions: Sessions
  readonly tenures: Tenures | undefined
  readonly documents: Documents
  readonly clock: Clock
}

export interface ListedSession {
  readonly client: string
  readonly kept: boolean
  readonly connected: boolean
  readonly seenMs: number
  readonly places: ReadonlyMap<string, number> | undefined
}

export interface ListedPage {
  readonly sessions: readonly ListedSession[]
  readonly next: string | undefined
}

export async function listSessions(
  { sessions, tenures, documents, clock }: ListParts,
  uid: string,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<ListedPage> {
  const prefix = `${uid}/`
  const from = prefix + after
  const stored = await documents.list(sessionsCollection, { prefix, after: from, limit })
  const held = (await tenures?.held(prefix, from)) ?? { sessions: [], next: undefined }
  const here = new Map(sessions.holdersOf(uid).flatMap((holder) => (holder.key > from ? [[holder.key, holder] as const] : [])))

  const found = new Map<string, ListedSession>()
  const nowMs = clock.now()
  for (const { key, value } of stored) found.set(key, ofRecord(key.slice(prefix.length), (value ?? {}) as Partial<SessionRecord>))
  for (const key of held.sessions) found.set(key, connected(found.get(key) ?? unknown(key.slice(prefix.length)), nowMs))
  for (const [key, holder] of here) found.set(key, connected(ofHolder(key.slice(prefix.length), holder, found.get(key)), nowMs))

  // Beyond the end of a source that has more to say nothing is known.
  const ends = [stored.length < limit ? undefined : stored.at(-1)?.key, held.next].filter((end) => end !== undefined)
  const complete = ends.length === 0 ? undefined : ends.reduce((one, other) => (one < other ? one : other))
  const keys = [...found.keys()].filter((key) => complete === undefined || key <= complete).toSorted()
  const page = keys.slice(0, limit)
  const next = keys.length > limit ? page.at(-1) : complete
  return { sessions: page.map((key) => found.get(key) as ListedSession), next: next?.slice(prefix.length) }
}

function ofRecord(client: string, { seenMs = 0, cursors = [] }: Partial<SessionRecord>): ListedSession {
  return { client, kept: true, connected: false, seenMs, places: lowest(cursors) }
}

/** What is in memory is newer than what is stored. */
function ofHolder(client: string, { session }: SessionHolder, stored: ListedSession | undefined): ListedSession {
  if (!session) return stored ?? unknown(client)
  return { client, kept: !session.clean, connected: true, seenMs: 0, places: lowest(session.places()) }
}

/** Connected to another node, and not kept. */
function unknown(client: string): ListedSession {
  return { client, kept: false, connected: true, seenMs: 0, places: undefined }
}

function connected(session: ListedSession, nowMs: number): ListedSession {
  return { ...session, connected: true, seenMs: nowMs }
}

function lowest(places: readonly { readonly stream: string; readonly acked: number }[]): Map<string, number> {
  const found = new Map<string, number>()
  for (const { stream, acked } of places) found.set(stream, Math.min(acked, found.get(stream) ?? acked))
  return found
}
