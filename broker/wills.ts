/**
 * Wills [P-4.27]. A durable will is stored at CONNECT with the entry id it will have, so that it is published
 * once, whoever notices that the connection is over: this process, or the next one after a crash.
 */
import { randomUUID } from 'node:crypto'
import { Grants, type Authority, type Principal } from '../auth/index.ts'
import { encodeFrame } from '../log/draft.ts'
import type { Log } from '../log/log.ts'
import { hasMembers, mustBeMember } from '../log/members.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { openStream, streamOfTopic, type TopicRules } from '../protocol/topics.ts'
import type { Documents } from '../seams/documents.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import type { WillRequest } from './engine.ts'
import type { Ephemerals } from './ephemerals.ts'

const collection = 'wills'

export interface Will {
  readonly stream: string
  readonly topic: string
  readonly payload: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly id: string
  readonly client: string
  readonly principal: Omit<Principal, 'grants'> & { readonly grants: readonly string[] }
  /** The node whose connection it belongs to, where there are several. */
  readonly node?: string
}

export interface WillsParts {
  readonly log: Log
  readonly authority: Authority
  readonly rules: TopicRules
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly ephemerals: Ephemerals
  /** The name of this node, where others serve the same store. */
  readonly node: (() => string) | undefined
}

export class Wills {
  readonly #parts: WillsParts
  readonly #documents: Documents
  /** Wills that the store did not take yet, by their names. */
  readonly #due = new Map<string, () => Promise<boolean>>()

  constructor(parts: WillsParts) {
    this.#parts = parts
    this.#documents = parts.log.documents
  }

  /** Publishes what was left behind by nodes that ended without saying so; rejects if any is still due. Wills of a store for one process name none. */
  async publishLeft(isOver: (node: string | undefined) => boolean): Promise<void> {
    let due = 0
    for (let after = ''; ;) {
      const left = await this.#documents.list(collection, { after, limit: 100 })
      for (const { key, value } of left) {
        const will = value as Will
        if (isOver(will.node) && !(await this.publish(key.slice(0, key.lastIndexOf('/')), will))) due++
      }
      if (left.length === 0) break
      after = left.at(-1)?.key ?? after
    }
    if (due > 0) throw new SyncError('store-unavailable', `${due} wills could not be published`)
  }

  /** Judges a will [P-4.28]; throws what is wrong with it. */
  judge(will: WillRequest, principal: Principal, client: string): Will {
    const { topic, payload, qos, retain } = will
    const { rules } = this.#parts
    const stream = streamOfTopic(topic, rules)
    checkPublishGrant(principal.grants, stream, topic)
    const { payloadBytesMax } = this.#parts.log.limits
    if (payload.length > payloadBytesMax) {
      throw new SyncError('payload-too-large', `a will of ${payload.length} bytes for ${topic}, at most ${payloadBytesMax}`)
    }
    const { uid, expiresAtMs, issuedAtMs, jti, kind, client: bound, grants } = principal
    const left = { uid, expiresAtMs, issuedAtMs, jti, kind, client: bound, grants: grants.texts }
    const node = this.#parts.node && { node: this.#parts.node() }
    return { stream, topic, payload: payload.toString('base64'), qos, retain, id: `will-${randomUUID()}`, client, principal: left, ...node }
  }

  /** Durable when it resolves. */
  async arm(key: string, will: Will): Promise<void> {
    if (isDurable(will)) await this.#documents.put(collection, nameOf(key, will), will)
  }

  /** The connection was ended by a DISCONNECT [MQTT-3.14.4-3]. */
  async disarm(key: string, will: Will): Promise<void> {
    if (isDurable(will)) await this.#documents.remove(collection, nameOf(key, will))
  }

  /** Publishes what the store did not take at first. */
  publishDue(): void {
    for (const [name, publish] of this.#due) {
      this.#due.delete(name)
      void publish()
    }
  }

  /**
   * Publishes a will whose connection is over, unless its author may no longer; then it is forgotten. `now` is the author as
   * last renewed. False where the store did not take it: it stays stored, and is tried again.
   */
  async publish(key: string, will: Will, now?: Principal, again = false): Promise<boolean> {
    const name = nameOf(key, will)
    try {
      // This node may have been taken for dead, and its wills be published.
      if (will.node !== undefined && isDurable(will) && !(await this.#documents.get(collection, name))) return true
      await this.#publish(key, will, now)
      if (isDurable(will)) await this.#documents.remove(collection, name)
      return true
    } catch (error) {
      if (!again) this.#parts.logger.warn({ error, session: key, topic: will.topic }, 'a will could not be published; it is tried again')
      this.#due.set(name, () => this.publish(key, will, now, true))
      return false
    }
  }

  /** Rejects where it is to be tried again. */
  async #publish(key: string, will: Will, now?: Principal): Promise<void> {
    const { stream, topic, qos, retain, id, client } = will
    const { log, logger, telemetry } = this.#parts
    const payload = Buffer.from(will.payload, 'base64')
    const principal: Principal = now ?? { ...will.principal, grants: Grants.parse(will.principal.grants) }
    try {
      checkPublishGrant(principal.grants, stream, topic)
      if (this.#parts.authority.isRevoked(principal)) throw new SyncError('forbidden', 'its author was revoked')
      if (!isDurable(will)) return await this.#publishLive(will, payload, principal)
      const mayDeleteAny = mayDelete(principal.grants, stream, topic)
      await log.relay.publish(stream, {
        topic,
        ...encodeFrame(topic, payload),
        qos,
        retain,
        from: principal.uid,
        client,
        id,
        mayDeleteAny,
        ...(hasMembers(stream) && { issuedAtMs: principal.issuedAtMs }),
        receivedMs: log.clock.now(),
      })
    } catch (error) {
      const { code, message, meaning } = asSyncError(error)
      if (meaning.retry === 'yes') throw error
      logger.warn({ session: key, topic, code }, `a will was not published: ${message}`)
      telemetry.refused('will', code)
    }
  }

  async #publishLive({ stream, topic, client }: Will, payload: Buffer, author: Principal): Promise<void> {
    const { uid: from } = author
    await mustBeMember(this.#parts.log, stream, author)
    const places = (await this.#parts.log.relay.ephemeral(stream, topic)) ?? [{ stream, topic }]
    for (const place of places) this.#parts.ephemerals.publish({ stream: place.stream, topic: place.topic, payload, from, client })
  }
}

/** Under a name of its own, so that removing it never meets the will of a later connection. */
function nameOf(key: string, { id }: Will): string {
  return `${key}/${id}`
}

function isDurable({ qos, retain }: Will): boolean {
  return qos > 0 || retain
}

/** Throws `forbidden` where no grant to publish covers the topic. The open stream needs none beyond its own. */
export function checkPublishGrant(grants: Grants, stream: string, topic: string): void {
  const asked = stream === openStream ? `${openStream}/${topic}` : topic
  if (!grants.allows('publish', asked)) throw new SyncError('forbidden', `${topic}: no grant to publish covers it`)
}

/** Whether a retained topic may be deleted whoever created it [P-9.3]. */
export function mayDelete(grants: Grants, stream: string, topic: string): boolean {
  return !stream.startsWith('spaces/') || grants.allows('own', topic)
}
