/**
 * A session through another tab's connection.
 *
 * A channel between tabs of one browser delivers in order and once; should it not, the numbers tell: what comes twice
 * is dropped, and what is missing ends the session. Then the link opens another one and readers fill the gap from the
 * history, as after any loss.
 */
import { ClientError } from '../errors.ts'
import { within, type Surroundings } from '../request.ts'
import { Following } from '../transport/following.ts'
import type { ClockOffset, Credential, Session, SessionEvents } from '../transport/transport.ts'
import type { Put, PutAnswer } from '../wire.ts'
import type { Asked, FromLeader, Reply, Told, ToLeader, Welcome } from './messages.ts'

type Heard = Extract<FromLeader, { t: 'told' }>

export interface FollowerParts {
  readonly id: string
  readonly surroundings: Surroundings
  readonly credential: Credential
  readonly events: SessionEvents
  readonly post: (message: ToLeader) => void
}

export class FollowerSession implements Session {
  readonly id: string
  /** Resolves with undefined where this tab is to open a session of its own. */
  readonly answered: Promise<Welcome | undefined>
  readonly #parts: FollowerParts
  readonly #following: Following
  /** Filters with the number of the `follow` that counts. */
  readonly #wanted = new Map<string, number>()
  readonly #waiting = new Map<number, { resolve(reply: Reply): void; reject(error: ClientError): void }>()
  #answer!: (welcome: Welcome | undefined) => void
  #clock: ClockOffset | undefined
  #term: string | undefined
  #heardNo = 0
  #n = 0
  #isOver = false

  constructor(parts: FollowerParts) {
    this.id = parts.id
    this.#parts = parts
    this.#following = new Following(parts.events)
    this.answered = new Promise((resolve) => (this.#answer = resolve))
  }

  get isJoined(): boolean {
    return this.#term !== undefined
  }

  /** No leader serves this session. */
  decline(): void {
    this.#post({ t: 'bye', id: this.id })
    this.#isOver = true
    this.#answer(undefined)
  }

  hear({ term, no, told }: Heard): void {
    if (this.#isOver) return
    if (this.#term === undefined) {
      if (!('welcome' in told) || told.to !== this.id) return
      this.#term = term
      this.#heardNo = no
      this.#clock = told.welcome.clock
      return this.#answer(told.welcome)
    }
    if (term !== this.#term || no <= this.#heardNo) return
    if (no > this.#heardNo + 1) return this.end(new ClientError('network', 'something between two tabs was lost'))
    this.#heardNo = no
    this.#heard(told)
  }

  follow(filter: string): void {
    this.#following.delete(filter)
    const n = this.#n
    this.#wanted.set(filter, n)
    this.#ask({ follow: filter }, this.#parts.surroundings.bounds.tabAnswerMs, (reply) => {
      // What was on its way before may be of an earlier following, which ended elsewhere.
      if (this.#wanted.get(filter) !== n) return
      this.#following.add(filter)
      if ('at' in reply && reply.at) this.#following.control(filter, { ...reply.at })
    }).catch(() => {
      // The session is over, and that is told.
    })
  }

  unfollow(filter: string): void {
    this.#wanted.delete(filter)
    this.#following.delete(filter)
    this.#post({ t: 'unfollow', id: this.id, filter })
  }

  async put(topic: string, put: Put): Promise<PutAnswer> {
    const reply = await this.#ask({ put, topic }, this.#parts.surroundings.bounds.putTimeoutMs)
    if ('put' in reply && reply.put) return reply.put
    throw new ClientError('network', 'failed' in reply ? reply.failed : undefined)
  }

  /** The tab with the connection renews for all. */
  async renew(credential: Credential): Promise<void> {
    const { uid, clientId } = this.#parts.credential
    if (credential.uid !== uid || credential.clientId !== clientId) {
      throw new ClientError('forbidden', 'the fresh token is of another user or client')
    }
  }

  async probe(): Promise<void> {
    const reply = await this.#ask({ probe: true }, this.#parts.surroundings.bounds.probeTimeoutMs)
    if ('failed' in reply) throw new ClientError('network', reply.failed)
  }

  clockOffset(): ClockOffset | undefined {
    return this.#clock
  }

  close(): void {
    this.end(undefined)
  }

  end(reason: ClientError | undefined): void {
    if (this.#isOver) return
    this.#post({ t: 'bye', id: this.id })
    this.#isOver = true
    const error = new ClientError('network', reason?.message ?? 'the session was closed')
    for (const asked of this.#waiting.values()) asked.reject(error)
    this.#parts.events.closed(reason)
  }

  #heard(told: Told): void {
    if ('reply' in told) {
      if (told.to === this.id) this.#waiting.get(told.n)?.resolve(told.reply)
    } else if ('entry' in told) this.#following.entryOf(told.filter, told.entry)
    else if ('control' in told) {
      this.#clock = told.clock
      this.#following.control(told.filter, { ...told.control })
    } else if ('refused' in told) this.#following.refused(told.refused)
    else if ('gone' in told) this.end(new ClientError(told.gone.code, told.gone.message))
  }

  #post(message: ToLeader): void {
    if (!this.#isOver) this.#parts.post(message)
  }

  /** `then` is called before anything that the leader says next is heard. Ends the session where no answer comes in time. */
  async #ask(what: Asked, ms: number, then?: (reply: Reply) => void): Promise<Reply> {
    if (this.#isOver) throw new ClientError('network', 'the session is over')
    const n = this.#n++
    const late = new ClientError('network', `no answer from the tab with the connection within ${ms} ms`)
    const asking = new Promise<Reply>((answer, reject) => {
      const resolve = (reply: Reply): void => {
        then?.(reply)
        answer(reply)
      }
      this.#waiting.set(n, { resolve, reject })
    })
    this.#post({ t: 'ask', id: this.id, n, what })
    try {
      return await within(
        this.#parts.surroundings.timers,
        ms,
        () => late,
        () => asking,
      )
    } catch (thrown) {
      if (thrown === late) this.end(late)
      throw thrown
    } finally {
      this.#waiting.delete(n)
    }
  }
}
