/** Follows a filter over the sync door, across lost connections, without a gap [P-6.1]. */
import { setTimeout as pause } from 'node:timers/promises'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import type { Envelope } from './entry-lines.ts'
import { connectMqtt, disconnect, type MqttSession } from './mqtt-session.ts'
import type { Target } from './target.ts'

export interface FollowerEvents {
  /** An entry, as its envelope was written. */
  entry(json: string, pos: string | undefined): void
  /** Everything that matches up to `pos` has come. */
  at(pos: string, head: string): void
  /** The state as of `pos` follows: what was known before does not count any more. */
  snapshot(pos: string): void
  /** The connection is gone; the next one goes on after `pos`. */
  lost(pos: string): void
}

interface Control {
  readonly ctl: string
  readonly filter: string
  readonly pos: string
  readonly head: string
  readonly first: string
  readonly reason: string
}

const pauseMs = 200
const pauseMaxMs = 5_000

export class Follower {
  readonly #target: Target
  readonly #filter: string
  readonly #events: FollowerEvents
  readonly #stop = withResolvers()
  #place: string
  #stopped = false

  /** `from` is `now`, `earliest`, `snapshot` or a position. */
  constructor(target: Target, filter: string, from: string, events: FollowerEvents) {
    this.#target = target
    this.#filter = filter
    this.#place = from
    this.#events = events
  }

  /**
   * Resolves after `stop`. Rejects where the first connection cannot be made, the token or the filter is refused,
   * or the place in the log cannot be served any more: then something would be missing, and nobody may go on in silence.
   */
  async run(): Promise<void> {
    let session = await connectMqtt(this.#target)
    for (;;) {
      await this.#follow(session)
      if (this.#stopped) return
      this.#events.lost(this.#place)
      const next = await this.#reconnect()
      if (!next) return
      session = next
    }
  }

  stop(): void {
    this.#stopped = true
    this.#stop.resolve()
  }

  async #follow(session: MqttSession): Promise<void> {
    const wire = this.#place === 'now' ? `sync/${this.#filter}` : `sync@${this.#place}/${this.#filter}`
    const failed = new Promise<never>((_resolve, reject) => {
      session.client.on('message', (_topic, payload) => {
        try {
          if (!this.#stopped) this.#received(payload.toString())
        } catch (error) {
          reject(asSyncError(error))
        }
      })
    })
    try {
      await Promise.race([failed, this.#subscribed(session, wire).then(() => Promise.race([session.closed, this.#stop.promise]))])
    } finally {
      await disconnect(session)
    }
  }

  async #subscribed({ client, closed }: MqttSession, wire: string): Promise<void> {
    const subscribing = client.subscribeAsync(wire, { qos: 1 }).then(
      ([granted]) => granted?.qos ?? 128,
      () => 128,
    )
    const qos = await Promise.race([subscribing, closed])
    if (qos === 128 && client.connected) {
      throw new SyncError('forbidden', `the server refuses ${wire}: it is no filter of one stream, or the token has no grant for it`)
    }
  }

  #received(json: string): void {
    const message = JSON.parse(json) as Envelope | Control
    if (!('ctl' in message && 'filter' in message)) {
      const { pos } = message
      if (pos !== undefined) this.#place = pos
      this.#events.entry(json, pos)
      return
    }
    const { ctl, pos, head, first, reason } = message
    if (ctl === 'at') {
      this.#place = pos
      this.#events.at(pos, head)
    } else if (ctl === 'snapshot-start') {
      this.#events.snapshot(pos)
    } else if (ctl === 'reset') {
      throw new SyncError(reason as 'trimmed', `${resets[reason] ?? reason}: the stream begins at ${first} and ends at ${head}`)
    } else if (ctl === 'ended') {
      throw new SyncError('forbidden', `the token does not cover ${this.#filter} any more; complete up to ${pos}`)
    }
  }

  /** Undefined where it was stopped meanwhile. Refusals are final; whatever may pass is tried again. */
  async #reconnect(): Promise<MqttSession | undefined> {
    for (let wait = pauseMs; ; wait = Math.min(wait * 2, pauseMaxMs)) {
      await Promise.race([pause(wait, undefined, { ref: true }), this.#stop.promise])
      if (this.#stopped) return undefined
      try {
        return await connectMqtt(this.#target)
      } catch (error) {
        if (asSyncError(error).code !== 'store-unavailable') throw error
      }
    }
  }
}

const resets: Readonly<Record<string, string>> = {
  trimmed: 'reset (trimmed): entries after this position have been removed',
  epoch: 'reset (epoch): this position belongs to another history of the store',
  ahead: 'reset (ahead): this position is beyond the newest entry, as after a restored backup',
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {}
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}
