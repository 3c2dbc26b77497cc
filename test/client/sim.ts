/** Time, the token endpoint and a transport that tests play, so that minutes pass at once. */
import { ClientError } from '../../client/errors.ts'
import type { Timers } from '../../client/seams.ts'
import type { Credential, Session, SessionEvents, Transport } from '../../client/transport/transport.ts'

/** Time that passes when told. What promises do meanwhile is done before the next timer. */
export class SimTimers implements Timers {
  #now = 1_000
  readonly #due = new Set<{ atMs: number; call: () => void }>()
  /** How far the page's clock is from the truth. */
  wallAheadMs = 0

  now(): number {
    return this.#now
  }

  wallMs(): number {
    return 1_800_000_000_000 + this.#now + this.wallAheadMs
  }

  after(ms: number, call: () => void): () => void {
    const timer = { atMs: this.#now + ms, call }
    this.#due.add(timer)
    return () => void this.#due.delete(timer)
  }

  random(): number {
    return 0.5
  }

  /** How many timers are set. */
  get size(): number {
    return this.#due.size
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (;;) {
      const [next] = [...this.#due].filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)
      if (!next) break
      this.#now = Math.max(this.#now, next.atMs)
      this.#due.delete(next)
      next.call()
      await settle()
    }
    this.#now = end
  }

  /** The machine sleeps: time goes on, and what was due in it is due when it wakes. */
  away(ms: number): void {
    this.#now += ms
  }
}

/** Until every promise that can go on has done so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export class SimSession implements Session {
  readonly credential: Credential
  readonly events: SessionEvents
  readonly openedAtMs: number
  readonly renewed: Credential[] = []
  readonly calls: string[] = []
  isOver = false
  /** What the next renewal or probe says; undefined: all is well. */
  renewing: () => Promise<void> = async () => {}
  probing: () => Promise<void> = async () => {}

  constructor(credential: Credential, events: SessionEvents, openedAtMs: number) {
    this.credential = credential
    this.events = events
    this.openedAtMs = openedAtMs
  }

  follow(): void {}
  unfollow(): void {}

  put(): Promise<never> {
    return Promise.reject(new ClientError('network'))
  }

  async renew(credential: Credential): Promise<void> {
    this.calls.push('renew')
    await this.renewing()
    this.renewed.push(credential)
  }

  async probe(): Promise<void> {
    this.calls.push('probe')
    await this.probing()
  }

  clockOffset(): undefined {
    return undefined
  }

  close(): void {
    this.end(undefined)
  }

  end(reason: ClientError | undefined): void {
    if (this.isOver) return
    this.isOver = true
    this.events.closed(reason)
  }
}

/** A way to a server that the test plays. */
export class SimTransport implements Transport {
  readonly kind: string
  readonly putsInFlightMax = 1
  readonly #timers: Timers
  readonly attemptsMs: number[] = []
  readonly sessions: SimSession[] = []
  /** Throws or waits as the network does. */
  answer: (credential: Credential, signal: AbortSignal) => Promise<void> | void = () => {}

  constructor(kind: string, timers: Timers) {
    this.kind = kind
    this.#timers = timers
  }

  async open(credential: Credential, events: SessionEvents, signal: AbortSignal): Promise<SimSession> {
    this.attemptsMs.push(this.#timers.now())
    await this.answer(credential, signal)
    const session = new SimSession(credential, events, this.#timers.now())
    this.sessions.push(session)
    return session
  }

  get last(): SimSession {
    const session = this.sessions.at(-1)
    if (!session) throw new Error(`${this.kind} has no session`)
    return session
  }
}
