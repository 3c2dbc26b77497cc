/** The life of the connection: token, session, renewal, back-off [P-7.9, P-10.23]. Its states: link-table.ts. */
import type { Choice } from './choice.ts'
import type { Credentials } from './credentials.ts'
import { asClientError, ClientError } from './errors.ts'
import { isConnected, linkTable, type LinkEvent, type LinkState } from './link-table.ts'
import type { Surroundings } from './request.ts'
import type { Credential, Session, SessionEvents, Transport } from './transport/transport.ts'

export interface LinkStatus {
  readonly connection: 'connecting' | 'online' | 'offline' | 'refused' | 'closed'
  /** Why it is offline or refused; while online, why the token could not be renewed. */
  readonly error: ClientError | undefined
  readonly transport: string | undefined
  readonly uid: string | undefined
}

export interface LinkEvents extends Pick<SessionEvents, 'entry' | 'control' | 'refused'> {
  /** Follow and put by this session from now on. */
  opened(session: Session, transport: Transport): void
  /** The session of the last `opened` is over; another one comes. */
  lost(reason: ClientError): void
  status(status: LinkStatus): void
}

export interface LinkParts extends Surroundings {
  readonly credentials: Credentials
  readonly choice: Choice
  readonly events: LinkEvents
  /** Calls whenever the machine may have slept; the answer ends it. */
  readonly onWake: (wake: () => void) => () => void
}

/** A session that is being opened or stands, and whether it is over already. */
interface Visit {
  readonly transport: Transport
  readonly credential: Credential
  session: Session | undefined
  over: ClientError | undefined
}

export class Link {
  readonly #parts: LinkParts
  #state: LinkState = 'idle'
  /** Ends what the present state has begun. */
  #tenure = new AbortController()
  /** The timers of the present state. */
  readonly #cancels = new Set<() => void>()
  #visit: Visit | undefined
  /** The token with which the session stands; that of the visit until it is renewed. */
  #credential: Credential | undefined
  /** Whether the token in hand was fetched for this attempt. */
  #isFresh = false
  #error: ClientError | undefined
  #attempts = 0
  #renewals = 0
  #renewAtMs = 0
  #renewedAtMs = 0
  #openedAtMs = 0
  #betterAtMs = 0
  #heardAtMs = 0
  #status: LinkStatus = { connection: 'connecting', error: undefined, transport: undefined, uid: undefined }
  #endWake: (() => void) | undefined

  constructor(parts: LinkParts) {
    this.#parts = parts
  }

  get session(): Session | undefined {
    return this.#visit?.session
  }

  get status(): LinkStatus {
    return this.#status
  }

  start(): void {
    if (this.#state !== 'idle') return
    this.#endWake = this.#parts.onWake(() => this.#step('wake'))
    this.#step('start')
  }

  /** Tries at once; the app has mended what was refused. */
  retry(): void {
    this.#attempts = 0
    if (isConnected(this.#state) && this.#error) this.#renewAtMs = this.#now()
    this.#step('retry')
  }

  async close(): Promise<void> {
    this.#endWake?.()
    this.#step('close')
  }

  /** For requests: the token in hand or a fresh one. After a failure the same failure for a while, so that nobody loops. */
  credential(): Promise<Credential> {
    return this.#state === 'closed' ? Promise.reject(new ClientError('closed')) : this.#parts.credentials.get()
  }

  /** Another token, after `used` was answered with 401. */
  refresh(used: Credential): Promise<Credential> {
    return this.#state === 'closed' ? Promise.reject(new ClientError('closed')) : this.#parts.credentials.after(used)
  }

  #step(event: LinkEvent): void {
    const next = linkTable[this.#state][event]
    if (next === null) return
    this.#tenure.abort()
    this.#tenure = new AbortController()
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
    const was = this.#state
    this.#state = next
    if (isConnected(was) && !isConnected(next)) this.#leave(next)
    this.#enter[next](this.#tenure.signal)
    this.#tell()
  }

  readonly #enter: Readonly<Record<LinkState, (signal: AbortSignal) => void>> = {
    idle: () => {},
    token: (signal) => this.#work(signal, () => this.#haveToken()),
    opening: (signal) => this.#work(signal, () => this.#open(signal)),
    online: (signal) => this.#rest(signal),
    renewing: (signal) => this.#work(signal, () => this.#renew(signal)),
    reviving: (signal) => this.#work(signal, () => this.#revive(signal)),
    waiting: (signal) => this.#after(signal, this.#pauseMs(this.#attempts++), 'due'),
    refused: (signal) => this.#after(signal, this.#parts.bounds.refusedRetryMs, 'due'),
    closed: () => {
      this.#error = new ClientError('closed')
      this.#parts.credentials.close()
    },
  }

  /** The state's work; what comes of it counts only while the state lasts. */
  #work(signal: AbortSignal, work: () => Promise<LinkEvent>): void {
    void work().then(
      (event) => {
        if (!signal.aborted) this.#step(event)
      },
      (thrown: unknown) => {
        if (signal.aborted) return
        this.#error = asClientError(thrown, 'network')
        this.#step(this.#error.retry === 'yes' ? 'failed' : 'denied')
      },
    )
  }

  async #haveToken(): Promise<LinkEvent> {
    const { credentials } = this.#parts
    this.#isFresh = this.#now() >= credentials.renewAtMs
    if (!this.#isFresh) return 'ready'
    try {
      await credentials.fetch()
    } catch (thrown) {
      // A token that is only growing old is good enough while nobody can say anything about the next one.
      if (asClientError(thrown, 'network').retry !== 'yes' || !credentials.present) throw thrown
      this.#isFresh = false
    }
    return 'ready'
  }

  async #open(signal: AbortSignal): Promise<LinkEvent> {
    const { credentials, choice } = this.#parts
    const credential = await credentials.get()
    const transport = choice.next()
    try {
      await this.#adopt(transport, credential, signal)
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      if (signal.aborted || error.retry === 'yes') throw error
      credentials.drop(credential)
      if (!this.#isFresh) return 'stale'
      credentials.refused(error)
      throw error
    }
    return 'opened'
  }

  /** Opens a session and makes it ours, in place of the one that stands. */
  async #adopt(transport: Transport, credential: Credential, signal: AbortSignal): Promise<void> {
    const { choice, events, credentials, bounds } = this.#parts
    const visit: Visit = { transport, credential, session: undefined, over: undefined }
    let session: Session
    try {
      session = await transport.open(credential, this.#eventsOf(visit), signal)
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      if (!signal.aborted) choice.failed(transport, error)
      throw error
    }
    if (signal.aborted) session.close()
    if (signal.aborted || visit.over) throw visit.over ?? new ClientError('closed')
    choice.opened(transport)
    this.#dropSession(new ClientError('network', `${transport.kind} works again`))
    visit.session = session
    this.#visit = visit
    this.#credential = credential
    this.#error = undefined
    this.#renewAtMs = credentials.renewAtMs
    this.#betterAtMs = this.#now() + bounds.betterTransportMs
    this.#openedAtMs = this.#renewedAtMs = this.#heardAtMs = this.#now()
    events.opened(session, transport)
  }

  #eventsOf(visit: Visit): SessionEvents {
    const { events } = this.#parts
    const ours = <Rest extends unknown[]>(tell: (...rest: Rest) => void) => {
      return (...rest: Rest): void => {
        if (visit !== this.#visit) return
        this.#heardAtMs = this.#now()
        tell(...rest)
      }
    }
    return {
      entry: ours((filter, envelope) => events.entry(filter, envelope)),
      control: ours((filter, control) => events.control(filter, control)),
      refused: ours((filter) => events.refused(filter)),
      expiring: ours((inMs) => {
        // A renewal that failed has its own pause.
        if (this.#error) return
        this.#renewAtMs = Math.min(this.#renewAtMs, Math.max(this.#now() + inMs / 2, this.#renewedAtMs + this.#parts.bounds.retryFirstMs))
        if (this.#state === 'online') this.#after(this.#tenure.signal, this.#renewAtMs - this.#now(), 'due')
      }),
      closed: (reason) => {
        visit.over = reason ?? new ClientError('network', 'the session was closed')
        if (visit === this.#visit) this.#lost(visit.over)
      },
    }
  }

  /** Online: waits for the renewal, for silence, and for a moment to try the better transport. */
  #rest(signal: AbortSignal): void {
    const { bounds, choice } = this.#parts
    const visit = this.#visit as Visit
    this.#after(signal, this.#renewAtMs - this.#now(), 'due')
    const listen = (): void => {
      const quietMs = this.#now() - this.#heardAtMs
      if (quietMs >= bounds.quietMs) this.#step('quiet')
      else this.#later(signal, bounds.quietMs - quietMs, listen)
    }
    listen()
    const better = choice.betterThan(visit.transport)
    if (better) this.#tryLater(better, signal)
  }

  /** At its time tries the better transport beside the one that works. */
  #tryLater(better: Transport, signal: AbortSignal): void {
    this.#later(signal, this.#betterAtMs - this.#now(), () => {
      this.#betterAtMs = this.#now() + this.#parts.bounds.betterTransportMs
      void this.#adopt(better, this.#credential as Credential, signal).then(
        () => this.#step('opened'),
        // It does not work yet: nothing else was expected.
        () => this.#tryLater(better, signal),
      )
    })
  }

  /** A fresh token for the session. What fails is tried again later: the session stands until its token ends. */
  async #renew(signal: AbortSignal): Promise<LinkEvent> {
    const { credentials, bounds } = this.#parts
    try {
      // A request that met a 401 may have fetched another one already.
      const isThere = credentials.present !== this.#credential && this.#now() < credentials.renewAtMs
      const credential = await (isThere ? credentials.get() : credentials.fetch())
      if (signal.aborted) return 'settled'
      await this.session?.renew(credential)
      this.#credential = credential
      this.#error = undefined
      this.#renewals = 0
      this.#renewAtMs = credentials.renewAtMs
    } catch (thrown) {
      this.#error = asClientError(thrown, 'network')
      this.#renewAtMs = this.#now() + (this.#error.retry === 'yes' ? this.#pauseMs(this.#renewals++) : bounds.refusedRetryMs)
    }
    this.#renewedAtMs = this.#now()
    return 'settled'
  }

  async #revive(signal: AbortSignal): Promise<LinkEvent> {
    if (this.#now() >= this.#renewAtMs) await this.#renew(signal)
    if (signal.aborted) return 'settled'
    try {
      await this.session?.probe()
    } catch (thrown) {
      if (!signal.aborted) this.#lost(asClientError(thrown, 'network'))
    }
    this.#heardAtMs = this.#now()
    return 'settled'
  }

  #lost(reason: ClientError): void {
    if (reason.code === 'unauthorized' || reason.code === 'token-expired') this.#parts.credentials.drop(this.#credential)
    this.#error = reason
    if (this.#now() - this.#openedAtMs >= this.#parts.bounds.steadyAfterMs) this.#attempts = 0
    this.#step('lost')
  }

  #leave(next: LinkState): void {
    this.#dropSession(next === 'closed' ? new ClientError('closed') : (this.#error ?? new ClientError('network')))
  }

  #dropSession(reason: ClientError): void {
    const session = this.session
    this.#visit = undefined
    if (!session) return
    session.close()
    this.#parts.events.lost(reason)
  }

  /** Between half and all of a span that doubles with each attempt. */
  #pauseMs(attempts: number): number {
    const { bounds, timers } = this.#parts
    return Math.min(bounds.retryLongestMs, bounds.retryFirstMs * 2 ** attempts) * (0.5 + timers.random() / 2)
  }

  #now(): number {
    return this.#parts.timers.now()
  }

  #after(signal: AbortSignal, ms: number, event: LinkEvent): void {
    this.#later(signal, ms, () => this.#step(event))
  }

  #later(signal: AbortSignal, ms: number, call: () => void): void {
    if (signal.aborted) return
    const cancel = this.#parts.timers.after(Math.max(0, ms), () => {
      this.#cancels.delete(cancel)
      call()
    })
    this.#cancels.add(cancel)
  }

  /** While it tries again it shows what it showed before: nobody wants to see it flicker. */
  #tell(): void {
    const shown = {
      idle: 'connecting',
      token: this.#error ? this.#status.connection : 'connecting',
      opening: this.#error ? this.#status.connection : 'connecting',
      online: 'online',
      renewing: 'online',
      reviving: 'online',
      waiting: 'offline',
      refused: 'refused',
      closed: 'closed',
    } as const
    const uid = this.#credential?.uid ?? this.#parts.credentials.present?.uid
    const status = { connection: shown[this.#state], error: this.#error, transport: this.#visit?.transport.kind, uid }
    const was = this.#status
    this.#status = status
    const isSame = was.connection === status.connection && was.transport === status.transport && was.uid === uid
    if (!isSame || was.error?.message !== this.#error?.message || was.error?.code !== this.#error?.code) this.#parts.events.status(status)
  }
}
