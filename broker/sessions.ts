/**
 * All sessions by their key `{uid}/{clientId}`: one connection at a time each, kept ones as records.
 *
 * A newcomer is served only after the one before it is fenced: here by closing it, elsewhere by the generation of the
 * record, which the older owner finds newer than its own, and by a notice to its node [P-4.26].
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../log/log.ts'
import { seqAtTime } from '../log/history.ts'
import { SyncError } from '../protocol/errors.ts'
import type { Documents, StoredDocument } from '../seams/documents.ts'
import { documentsPageMax, nodeForgottenMs, sessionsSweepMs } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import type { Session } from './session.ts'
import type { Tenures } from './tenures.ts'
import { intentsCollection, sessionsCollection, type SessionRecord } from './session-record.ts'

/** Who serves a session now. */
export interface SessionHolder {
  readonly key: string
  readonly uid: string
  close(reason: string, code: string): void
  /** Resolves when the connection is over and its session is saved. */
  readonly gone: Promise<void>
  readonly session: Session | undefined
  /** Of the stored session. */
  readonly generation: number
  /** Of its hold on the client id among all nodes; 0 where there is one node only. */
  tenure: number
}

export interface SessionsParts {
  readonly log: Log
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Where other nodes serve the same store. */
  readonly tenures: Tenures | undefined
}

export class Sessions {
  /** Of this run of the server: a record that names another one was not left in good order. */
  readonly run = randomUUID()
  readonly #parts: SessionsParts
  readonly #documents: Documents
  readonly #startedMs: number
  readonly #holders = new Map<string, SessionHolder>()
  readonly #perUser = new Map<string, number>()
  /** Newcomers of one key take turns. */
  readonly #turns = new Map<string, Promise<void>>()
  readonly #saving = new Map<Session, { running: Promise<void>; next: Promise<void> | undefined }>()
  readonly #flush: NodeJS.Timeout
  readonly #sweep: NodeJS.Timeout

  constructor(parts: SessionsParts) {
    this.#parts = parts
    const { log, logger } = parts
    this.#documents = log.documents
    this.#startedMs = log.clock.now()
    this.#flush = setInterval(() => this.#saveMoved(), log.limits.cursorFlushMs).unref()
    this.#sweep = setInterval(() => this.#sweepExpired(), sessionsSweepMs).unref()
    this.#sweepExpired()
    logger.debug({ run: this.run }, 'sessions are open')
  }

  get connected(): number {
    return this.#holders.size
  }

  holders(): IterableIterator<SessionHolder> {
    return this.#holders.values()
  }

  /** Those of one user. */
  holdersOf(uid: string): SessionHolder[] {
    const left = this.#perUser.get(uid) ?? 0
    return left === 0 ? [] : [...this.#holders.values()].filter((holder) => holder.uid === uid)
  }

  /** Closes whoever holds the session and makes the newcomer its holder; resolves when it may be loaded. */
  async enter(holder: SessionHolder): Promise<void> {
    const { key, uid } = holder
    const before = this.#turns.get(key) ?? Promise.resolve()
    const turn = before.then(async () => {
      const old = this.#holders.get(key)
      if (old) {
        old.close('taken over by a new connection with this client id', 'takeover')
        await old.gone
      }
      const { connectionsPerUserMax } = this.#parts.log.limits
      const connections = this.#perUser.get(uid) ?? 0
      if (connectionsPerUserMax > 0 && connections >= connectionsPerUserMax) {
        throw new SyncError('too-many-requests', `${uid} has ${connections} connections, at most ${connectionsPerUserMax}`)
      }
      holder.tenure = (await this.#parts.tenures?.enter(key)) ?? 0
      this.#perUser.set(uid, (this.#perUser.get(uid) ?? 0) + 1)
      this.#holders.set(key, holder)
    })
    const over = turn.catch(() => {})
    this.#turns.set(key, over)
    void over.then(() => this.#turns.get(key) === over && this.#turns.delete(key))
    await turn
  }

  holds(key: string): boolean {
    return this.#holders.has(key)
  }

  /** Closes a connection that has a successor on another node; false where one is just being opened. */
  evict(key: string, upTo: number): boolean {
    if (this.#turns.has(key)) return false
    const holder = this.#holders.get(key)
    if (holder && holder.tenure <= upTo) holder.close('the session was taken over on another node', 'takeover')
    return true
  }

  /** The connection is over, also where the store does not hear of it. Call once per successful `enter`; never rejects. */
  async leave(holder: SessionHolder): Promise<void> {
    const { key, uid, tenure } = holder
    if (this.#holders.get(key) === holder) this.#holders.delete(key)
    const left = (this.#perUser.get(uid) ?? 1) - 1
    if (left > 0) this.#perUser.set(uid, left)
    else this.#perUser.delete(uid)
    try {
      await this.#parts.tenures?.leave(key, tenure, this.#parts.log.clock.now())
    } catch (error) {
      // The next one on another node sends a notice that nobody needs.
      this.#parts.logger.warn({ error, session: key }, 'the end of a connection could not be stored')
    }
  }

  /** Claims the stored session, which fences older owners. Undefined where nothing is stored. */
  async claim(key: string, uid: string): Promise<{ record: SessionRecord | undefined; generation: number }> {
    const stored = await this.#documents.get(sessionsCollection, key)
    if (!stored) await this.#checkSessionCount(uid)
    const { value, generation } = await this.#documents.claim(sessionsCollection, key, this.run)
    return { record: (value ?? undefined) as SessionRecord | undefined, generation }
  }

  /** Removes the stored session and what belongs to it. */
  async remove(key: string): Promise<void> {
    if (await this.#documents.get(sessionsCollection, key)) await this.#documents.remove(sessionsCollection, key)
    await this.removeIntents(key)
  }

  /** Removes what belongs to the session; its record stays, and with it the generation that fences older owners. */
  async removeIntents(key: string): Promise<void> {
    for (const { key: intent } of await this.#documents.list(intentsCollection, { prefix: `${key}/`, limit: 65_536 })) {
      await this.#documents.remove(intentsCollection, intent)
    }
  }

  /** Up to which seq entries may have been sent before an unclean stop [P-4.20]. */
  async sentBefore(stream: Parameters<typeof seqAtTime>[1]): Promise<number> {
    const { log } = this.#parts
    // Where several nodes serve, the one before may have sent until just now.
    if (log.shared) return stream.headSeq
    // After the clock was set back, times do not tell what is older than this run.
    if (stream.headTs > log.clock.now()) return stream.headSeq
    return (await seqAtTime(log, stream, this.#startedMs + 1)) - 1
  }

  /** Stores the session as it stands when the write begins; concurrent calls share writes. `ended` leaves it in good order. */
  save(holder: SessionHolder, ended = false): Promise<void> {
    const { session } = holder
    if (!session) return Promise.resolve()
    const saving = this.#saving.get(session)
    if (!saving) return this.#save(holder, session, ended)
    if (ended) return (saving.next ?? saving.running).catch(() => {}).then(() => this.#save(holder, session, true))
    return (saving.next ??= saving.running.catch(() => {}).then(() => this.#save(holder, session, false)))
  }

  close(): void {
    clearInterval(this.#flush)
    clearInterval(this.#sweep)
  }

  #save(holder: SessionHolder, session: Session, ended: boolean): Promise<void> {
    const running = this.#store(holder, session, ended).finally(() => {
      if (this.#saving.get(session)?.running === running) this.#saving.delete(session)
    })
    this.#saving.set(session, { running, next: undefined })
    return running
  }

  async #store(holder: SessionHolder, session: Session, ended: boolean): Promise<void> {
    session.dirty = false
    session.recordedMs = this.#parts.log.clock.now()
    const record = session.record(ended ? '' : this.run, session.recordedMs)
    try {
      const outcome = await this.#documents.put(sessionsCollection, holder.key, record, holder.generation)
      if (outcome === 'fenced') holder.close('the session was taken over on another node', 'takeover')
    } catch (error) {
      session.dirty = true
      throw error
    }
  }

  #saveMoved(): void {
    const { clock, limits } = this.#parts.log
    // A session of somebody who is there does not look forgotten, also if nothing has moved for long.
    const old = clock.now() - limits.sessionExpiryMs / 2
    for (const [key, holder] of this.#holders) {
      const { session } = holder
      if (!session || session.clean || (!session.dirty && session.recordedMs > old)) continue
      this.save(holder).catch((error: unknown) => {
        // The stored place is older: entries may come twice after a crash, none is lost. The next flush tries again.
        this.#parts.logger.warn({ error, session: key }, 'the place of a session could not be stored')
      })
    }
  }

  async #checkSessionCount(uid: string): Promise<void> {
    const { sessionsPerUserMax } = this.#parts.log.limits
    if (sessionsPerUserMax === 0) return
    const stored = await this.#documents.list(sessionsCollection, { prefix: `${uid}/`, limit: sessionsPerUserMax })
    if (stored.length >= sessionsPerUserMax) {
      throw new SyncError('too-many-requests', `${uid} has ${stored.length} kept sessions, at most ${sessionsPerUserMax}`)
    }
  }

  #sweepExpired(): void {
    this.#removeExpired().catch((error: unknown) => this.#parts.logger.warn({ error }, 'old sessions could not be swept'))
  }

  /** Sessions that nobody came back to [P-4.25]. */
  async #removeExpired(): Promise<void> {
    const nowMs = this.#parts.log.clock.now()
    await this.#parts.tenures?.removeEnded(nowMs - nodeForgottenMs)
    const before = nowMs - this.#parts.log.limits.sessionExpiryMs
    let after = ''
    for (;;) {
      const page: StoredDocument[] = await this.#documents.list(sessionsCollection, { after, limit: documentsPageMax })
      for (const { key, value } of page) {
        const { seenMs = 0 } = (value ?? {}) as Partial<SessionRecord>
        if (seenMs < before && !this.#holders.has(key)) await this.remove(key)
      }
      if (page.length < documentsPageMax) return
      after = (page.at(-1) as StoredDocument).key
    }
  }
}
