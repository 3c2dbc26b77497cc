/** How long a connection is waited for: one place for all its time-outs, looked at by one clock. */
import type { Clock } from '../seams/clock.ts'
import type { Limits } from '../seams/limits.ts'

/** Why a connection is to be closed. */
export interface Impatience {
  readonly reason: string
  readonly code: 'bad-request' | 'keep-alive' | 'unread'
}

export class Patience {
  readonly #clock: Clock
  readonly #limits: Limits
  /** When the present wait is over, ms. */
  #deadlineMs: number
  #deadlineReason = 'no CONNECT in time'
  #keepAliveMs = 0
  #heardMs: number
  /** When the peer fell behind reading; Infinity while it keeps up. */
  #unreadSinceMs = Infinity

  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock
    this.#limits = limits
    this.#heardMs = clock.now()
    this.#deadlineMs = this.#heardMs + limits.connectTimeoutMs
  }

  /** The keep-alive of CONNECT; 0 is none [MQTT-3.1.2-24]. */
  set keepAliveS(seconds: number) {
    this.#keepAliveMs = seconds * 1_500
  }

  /** A whole packet has come [P-7.19]. */
  heard(atMs: number): void {
    this.#heardMs = atMs
  }

  /** The socket is read again: the time in which it was not does not count. */
  listensAgain(): void {
    this.#heardMs = this.#clock.now()
  }

  /** Something must be over within this time. */
  waitFor(timeoutMs: number, whatFailed: string): void {
    this.#deadlineMs = this.#clock.now() + timeoutMs
    this.#deadlineReason = whatFailed
  }

  waitIsOver(): void {
    this.#deadlineMs = Infinity
  }

  peerIsBehind(): void {
    if (this.#unreadSinceMs === Infinity) this.#unreadSinceMs = this.#clock.now()
  }

  peerHasRead(): void {
    this.#unreadSinceMs = Infinity
  }

  /** Whether it has run out. `listening`: the socket is being read, so that silence is the peer's. */
  lost(nowMs: number, listening: boolean): Impatience | undefined {
    if (nowMs > this.#deadlineMs) return { reason: this.#deadlineReason, code: 'bad-request' }
    if (this.#keepAliveMs > 0 && listening && nowMs - this.#heardMs > this.#keepAliveMs) {
      return { reason: 'nothing heard for one and a half times the keep-alive [MQTT-3.1.2-24]', code: 'keep-alive' }
    }
    if (nowMs - this.#unreadSinceMs > this.#limits.unreadTimeoutMs) return { reason: 'the peer does not read', code: 'unread' }
    return undefined
  }
}
