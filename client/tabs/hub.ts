/** The leader's session, shared: followed once for all tabs that follow the same filter. */
import { asClientError, ClientError } from '../errors.ts'
import { freshId } from '../id.ts'
import { Following } from '../transport/following.ts'
import type { Session, SessionEvents, Transport } from '../transport/transport.ts'
import type { Control } from '../wire.ts'
import type { Asked, FromLeader, Reply, Told } from './messages.ts'

type At = Extract<Control, { ctl: 'at' }>

interface Shared {
  /** The last `at`, moved on to the newest entry told; undefined until the first one, and after the end. */
  at: At | undefined
  /** Ended or reset: who follows it again asks the server again. */
  isOver: boolean
  /** The sessions that follow it. */
  readonly by: Set<string>
}

/** This tab among those that follow. */
const here = ''

export class Hub {
  readonly uid: string | undefined
  /** Goes to the transport below. */
  readonly events: SessionEvents
  readonly #transport: Transport
  readonly #local: SessionEvents
  readonly #post: (message: FromLeader) => void
  readonly #term = freshId()
  readonly #following: Following
  readonly #filters = new Map<string, Shared>()
  /** Owner by session. */
  readonly #followers = new Map<string, string>()
  #session: Session | undefined
  #isOver = false
  #no = 0

  constructor(uid: string | undefined, transport: Transport, local: SessionEvents, post: (message: FromLeader) => void) {
    this.uid = uid
    this.#transport = transport
    this.#local = local
    this.#post = post
    this.#following = new Following(local)
    this.events = {
      entry: (filter, envelope) => {
        const shared = this.#filters.get(filter)
        const { pos } = envelope
        if (shared?.at && pos !== undefined) shared.at = { ...shared.at, pos, head: pos }
        if (this.#isAfar(shared)) this.#tell({ entry: envelope, filter })
        this.#following.entryOf(filter, envelope)
      },
      control: (filter, control) => {
        const shared = this.#filters.get(filter)
        if (shared) {
          shared.at = control.ctl === 'at' ? control : undefined
          shared.isOver = control.ctl !== 'at'
        }
        if (this.#isAfar(shared)) this.#tell({ control, filter, clock: this.#session?.clockOffset() })
        this.#following.control(filter, { ...control })
      },
      refused: (filter) => {
        if (this.#isAfar(this.#filters.get(filter))) this.#tell({ refused: filter })
        this.#filters.delete(filter)
        this.#following.refused(filter)
      },
      expiring: (inMs) => local.expiring(inMs),
      closed: (reason) => this.#closed(reason),
    }
  }

  get isOpen(): boolean {
    return this.#session !== undefined && !this.#isOver
  }

  get followers(): number {
    return this.#followers.size
  }

  /** The session of the transport below; the answer is what this tab's link gets. */
  opened(session: Session): Session {
    this.#session = session
    return {
      follow: (filter) => {
        this.#following.add(filter)
        this.#follow(here, filter)
        // Told later, as by a server: who follows is not yet ready to listen. What comes until then is part of it.
        queueMicrotask(() => {
          const at = this.#filters.get(filter)?.at
          if (at) this.#following.control(filter, { ...at })
        })
      },
      unfollow: (filter) => {
        this.#following.delete(filter)
        this.unfollow(here, filter)
      },
      put: (topic, put) => session.put(topic, put),
      renew: (credential) => session.renew(credential),
      probe: () => session.probe(),
      clockOffset: () => session.clockOffset(),
      close: () => session.close(),
    }
  }

  /** Ends the session for this tab and all others. */
  end(reason: ClientError): void {
    const session = this.#session
    this.#closed(reason)
    session?.close()
  }

  welcome(id: string, owner: string): void {
    this.#followers.set(id, owner)
    const { kind, putsInFlightMax } = this.#transport
    this.#tell({ to: id, welcome: { kind, putsInFlightMax, clock: this.#session?.clockOffset() } })
  }

  asked(id: string, n: number, what: Asked): void {
    if (!this.isOpen || !this.#followers.has(id)) return
    const reply = (given: Reply): void => this.#tell({ to: id, n, reply: given })
    if ('follow' in what) return reply({ at: this.#follow(id, what.follow) })
    // At once, in the order asked: so they are appended.
    const work = 'put' in what ? this.#session?.put(what.topic, what.put) : this.#session?.probe()
    work?.then(
      (put) => reply(put ? { put } : {}),
      (thrown: unknown) => reply({ failed: asClientError(thrown, 'network').message }),
    )
  }

  unfollow(id: string, filter: string): void {
    const shared = this.#filters.get(filter)
    if (!shared?.by.delete(id) || shared.by.size > 0) return
    this.#filters.delete(filter)
    if (this.isOpen) this.#session?.unfollow(filter)
  }

  leave(id: string): void {
    if (!this.#followers.delete(id)) return
    for (const filter of this.#filters.keys()) this.unfollow(id, filter)
  }

  /** The tab is gone with all its sessions. */
  drop(owner: string): void {
    for (const [id, whose] of this.#followers) if (whose === owner) this.leave(id)
  }

  /** The answer is where entries go on from, if they come already. */
  #follow(id: string, filter: string): At | undefined {
    const known = this.#filters.get(filter)
    const by = known?.by ?? new Set()
    by.add(id)
    if (known && !known.isOver) return known.at
    this.#filters.set(filter, { at: undefined, isOver: false, by })
    this.#session?.follow(filter)
    return undefined
  }

  #isAfar(shared: Shared | undefined): boolean {
    return shared !== undefined && shared.by.size > (shared.by.has(here) ? 1 : 0)
  }

  #tell(told: Told): void {
    if (!this.#isOver && this.#followers.size > 0) this.#post({ t: 'told', term: this.#term, no: this.#no++, told })
  }

  #closed(reason: ClientError | undefined): void {
    if (this.#isOver) return
    const { code, message } = reason ?? new ClientError('network', 'the tab with the connection closed it')
    this.#tell({ gone: { code, message } })
    this.#isOver = true
    this.#local.closed(reason)
  }
}
