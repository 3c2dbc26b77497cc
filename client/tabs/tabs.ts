/**
 * The tabs of one browser share one connection: one of them leads, the others follow.
 *
 * All tabs of a place queue for one lock. Who holds it opens sessions and shares them; the others speak to it over a
 * channel. A hand-over looks like a lost session to whoever is above. Sharing saves connections and promises nothing:
 * a tab that nobody answers, or whose leader is without a connection for long, opens a session of its own.
 */
import { asClientError, ClientError } from '../errors.ts'
import { freshId } from '../id.ts'
import { within, type Surroundings } from '../request.ts'
import type { Credential, Session, SessionEvents, Transport } from '../transport/transport.ts'
import { FollowerSession } from './follower.ts'
import { Hub } from './hub.ts'
import { channelVersion, type Message, type ToLeader, type Welcome } from './messages.ts'
import type { Channel, Locks, TabPlatform } from './platform.ts'

export interface TabsParts extends Surroundings {
  readonly platform: TabPlatform
  /** What tabs must have in common: server and account. */
  readonly place: string
  /** This tab, and no other that ever was. */
  readonly owner: string
  /** Whose records are on the device beside ours. */
  readonly owners: () => Promise<readonly string[]>
  /** Takes over what a tab that is gone has left. */
  readonly adopt: (owner: string) => Promise<void>
  /** There is a connection to be had: connect at once if there is none. */
  readonly retry: () => void
  /** `isLeader` has changed. */
  readonly changed: () => void
  readonly onWarning: (warning: ClientError) => void
}

/** Held by each tab as long as it lives, so that others hear of its end. */
const lockOf = (owner: string): string => `tidemark tab ${owner}`

export class Tabs {
  readonly #parts: TabsParts
  readonly #locks: Locks
  readonly #channel: Channel
  readonly #closing = new AbortController()
  readonly #closed: Promise<void>
  /** Whether this tab's own lock is held: before, the leader would take it for gone. */
  readonly #isHeld: Promise<boolean>
  readonly #sessions = new Set<FollowerSession>()
  readonly #watched = new Set<string>()
  #isLeader = false
  /** A session of our own, shared if we lead. */
  #hub: Hub | undefined

  constructor(parts: TabsParts) {
    this.#parts = parts
    const { platform, place, owner } = parts
    this.#locks = platform.locks
    this.#channel = platform.channel(`tidemark tabs ${channelVersion} ${place}`)
    this.#channel.addEventListener('message', ({ data }) => this.#heard(data as Message))
    const { signal } = this.#closing
    this.#closed = new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    this.#isHeld = new Promise((resolve) => {
      const held = async (): Promise<void> => {
        resolve(true)
        await this.#closed
      }
      void this.#lock(lockOf(owner), held).then(() => resolve(false))
    })
    void this.#lock(`tidemark leader ${channelVersion} ${place}`, () => this.#lead())
  }

  /** Whether this tab has the connection. */
  get isLeader(): boolean {
    return this.#isLeader || this.#hub?.isOpen === true
  }

  /** The transport for this tab's link: through the leader, or by `transport` where this tab leads. */
  wrap(transport: Transport): Transport {
    let leader: Welcome | undefined
    return {
      get kind() {
        return leader?.kind ?? transport.kind
      },
      get putsInFlightMax() {
        return leader?.putsInFlightMax ?? transport.putsInFlightMax
      },
      open: async (credential, events, signal) => {
        const joined = await this.#join(credential, events, signal)
        leader = joined?.welcome
        return joined?.session ?? (await this.#open(transport, credential, events, signal))
      },
    }
  }

  /** Lets go: another tab leads, and sends what this one has left on the device. */
  close(): void {
    this.#closing.abort(new ClientError('closed'))
    this.#isLeader = false
    this.#endSessions(new ClientError('closed'))
    this.#channel.close()
  }

  async #join(
    credential: Credential,
    events: SessionEvents,
    signal: AbortSignal,
  ): Promise<{ readonly session: FollowerSession; readonly welcome: Welcome } | undefined> {
    const { timers, bounds, owner } = this.#parts
    const { uid } = credential
    // Who cannot tell whose connection it would be takes none.
    if (!(await this.#isHeld) || this.#isLeader || uid === undefined) return undefined
    const post = (message: ToLeader): void => this.#post(message)
    const session = new FollowerSession({
      id: freshId(),
      surroundings: this.#parts,
      credential,
      post,
      events: {
        ...events,
        closed: (reason) => {
          this.#sessions.delete(session)
          events.closed(reason)
          if (reason) this.#parts.retry()
        },
      },
    })
    this.#sessions.add(session)
    this.#hellos.set(session, () => post({ t: 'hello', id: session.id, owner, uid }))
    this.#hellos.get(session)?.()
    const late = new ClientError('network', 'no tab has a connection')
    try {
      const welcome = await within(
        timers,
        bounds.tabAnswerMs,
        () => late,
        () => session.answered,
        signal,
      )
      if (welcome) return { session, welcome }
    } catch (thrown) {
      session.decline()
      if (thrown !== late) throw thrown
    } finally {
      this.#hellos.delete(session)
    }
    this.#sessions.delete(session)
    return undefined
  }

  /** Of sessions that have no answer yet: asked again whenever there may be another one. */
  readonly #hellos = new Map<FollowerSession, () => void>()

  async #open(transport: Transport, credential: Credential, events: SessionEvents, signal: AbortSignal): Promise<Session> {
    const hub = new Hub(credential.uid, transport, events, (message) => this.#post(message))
    const session = hub.opened(await transport.open(credential, hub.events, signal))
    if (!hub.isOpen) return session
    this.#hub = hub
    if (this.#isLeader) this.#post({ t: 'ready', uid: hub.uid })
    return session
  }

  async #lead(): Promise<void> {
    this.#isLeader = true
    this.#post({ t: 'lead' })
    this.#endSessions(new ClientError('network', 'this tab takes over the connection'))
    if (this.#hub?.isOpen) this.#post({ t: 'ready', uid: this.#hub.uid })
    this.#parts.changed()
    this.#parts.retry()
    this.#parts.owners().then(
      (owners) => owners.forEach((owner) => this.#watch(owner)),
      (thrown: unknown) => this.#warn(thrown),
    )
    await this.#closed
  }

  /** When that tab's lock is free, it is gone. */
  #watch(owner: string): void {
    if (owner === this.#parts.owner || this.#watched.has(owner)) return
    this.#watched.add(owner)
    void this.#lock(lockOf(owner), async () => {
      this.#hub?.drop(owner)
      await this.#parts.adopt(owner)
      this.#watched.delete(owner)
    })
  }

  #heard(message: Message): void {
    switch (message.t) {
      case 'lead':
        this.#endSessions(new ClientError('network', 'another tab takes over the connection'))
        return
      case 'ready':
        this.#ready(message.uid)
        return
      case 'alone':
        for (const session of this.#sessions) if (session.id === message.to) session.decline()
        return
      case 'away': // It says when it is ready.
        return
      case 'told':
        for (const session of this.#sessions) session.hear(message)
        return
      case 'hello':
      case 'ask':
      case 'unfollow':
      case 'bye':
        if (this.#isLeader) this.#asked(message)
    }
  }

  /** Another tab leads and has a session. */
  #ready(uid: string | undefined): void {
    for (const hello of this.#hellos.values()) hello()
    const hub = this.#hub
    if (hub?.isOpen && !this.#isLeader && uid !== undefined && hub.uid === uid) {
      hub.end(new ClientError('network', 'another tab has the connection'))
    }
    this.#parts.retry()
  }

  #asked(message: ToLeader): void {
    const hub = this.#hub?.isOpen ? this.#hub : undefined
    if (message.t === 'ask') hub?.asked(message.id, message.n, message.what)
    else if (message.t === 'unfollow') hub?.unfollow(message.id, message.filter)
    else if (message.t === 'bye') hub?.leave(message.id)
    else {
      this.#watch(message.owner)
      if (!hub) this.#post({ t: 'away', to: message.id })
      else if (hub.uid !== message.uid || hub.followers >= this.#parts.bounds.tabsMax) this.#post({ t: 'alone', to: message.id })
      else hub.welcome(message.id, message.owner)
    }
  }

  #endSessions(reason: ClientError): void {
    for (const session of this.#sessions) {
      if (session.isJoined) session.end(reason)
      else if (this.#isLeader) session.decline()
    }
    if (!this.#isLeader) for (const hello of this.#hellos.values()) hello()
  }

  #post(message: Message): void {
    // A channel stays within its origin.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin
    if (!this.#closing.signal.aborted) this.#channel.postMessage(message)
  }

  /** Resolves when the lock is free again, or cannot be had. */
  async #lock(name: string, held: () => Promise<void>): Promise<void> {
    try {
      await this.#locks.request(name, { signal: this.#closing.signal }, held)
    } catch (thrown) {
      this.#warn(thrown)
    }
  }

  #warn(thrown: unknown): void {
    if (!this.#closing.signal.aborted) this.#parts.onWarning(asClientError(thrown, 'network'))
  }
}
