/** Tidemark's identity and grants on a plain aedes broker, which has no log, no doors and no positions. */
import type { Aedes, Client } from 'aedes'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { parseFilter } from '../protocol/filters.ts'
import { encodeName } from '../protocol/names.ts'
import { openStream, streamOfTopic, type TopicRules } from '../protocol/topics.ts'
import { systemClock, type Clock } from '../seams/clock.ts'
import { silentLogger, type Logger } from '../seams/logger.ts'
import type { Authority } from './authority.ts'
import { defaultLimits, timerMsMax, type Limits } from '../seams/limits.ts'
import type { Principal } from './principal.ts'

export interface AedesHookOptions {
  /** Default: Tidemark's own. */
  readonly limits?: Limits
  /** Whether topics outside `users/` and `spaces/` may be used; as in the authority's configuration. */
  readonly openEnabled: boolean
  /** Default: the system's. */
  readonly clock?: Clock
  readonly logger?: Logger
}

export type AedesHooks = Pick<Aedes, 'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward'>

/**
 * The four hooks for `Aedes.createBroker(aedesHooks(authority, options))`. The password is the token. A client is known to the
 * broker as `{uid}/{client id}`, so that users with one client id never meet, and is closed when its token expires or is revoked.
 * Deleting a retained message needs `publish` only: a plain broker does not know who created it.
 */
export function aedesHooks(authority: Authority, options: AedesHookOptions): AedesHooks {
  const { limits = defaultLimits, openEnabled, clock = systemClock, logger = silentLogger } = options
  const rules: TopicRules = { openEnabled, ...limits }
  const connections = new Connections(authority, clock)

  function refusal(client: Client | null, what: string, thrown: unknown): SyncError {
    const error = asSyncError(thrown)
    logger.warn({ audit: 'refused', client: client?.id, code: error.code, reason: error.message }, `${what} refused: ${error.message}`)
    return error
  }

  return {
    authenticate(client, _username, password, done) {
      const name = encodeName(client.id)
      const timeout = new SyncError('unauthorized', 'the token could not be verified in time')
      within(limits.authTimeoutMs, timeout, authority.authenticate(password?.toString('utf8'), name)).then(
        (principal) => {
          client.id = `${principal.uid}/${name}`
          connections.add(client, principal)
          done(null, true)
        },
        (thrown: unknown) => {
          const error = asSyncError(thrown)
          done(Object.assign(error, { returnCode: returnCodeOf(error) }), false)
        },
      )
    },

    authorizePublish(client, packet, done) {
      try {
        const principal = connections.get(client)
        const stream = streamOfTopic(packet.topic, rules)
        if (/^(?:outbox|inbox)\//.test(stream)) throw new SyncError('forbidden', 'this broker carries no messages between users')
        const topic = stream === openStream ? `${openStream}/${packet.topic}` : packet.topic
        if (!principal.grants.allows('publish', topic)) throw new SyncError('forbidden', 'no grant to publish there')
        done(null)
      } catch (thrown) {
        done(refusal(client, 'publish', thrown))
      }
    },

    authorizeSubscribe(client, subscription, done) {
      try {
        const { grants } = connections.get(client)
        const asked = parseFilter(subscription.topic, rules)
        if (asked.door === 'sync' || asked.door === 'reply') throw new SyncError('bad-filter', `this broker has no ${asked.door} door`)
        const filter = asked.door === 'plain' && asked.stream === openStream ? `${openStream}/${asked.filter}` : asked.filter
        const allowed = asked.door === 'tap' ? grants.has('tap') : grants.covers('subscribe', filter)
        if (!allowed) throw new SyncError('forbidden', 'no grant to subscribe there')
        done(null, subscription)
      } catch (thrown) {
        refusal(client, 'subscribe', thrown)
        done(null, null)
      }
    },

    /** Judged again for every message: a stored session may hold filters that today's token does not cover. */
    authorizeForward(client, packet) {
      try {
        const { grants } = connections.get(client)
        if (authority.blind) return null
        if (grants.has('tap')) return packet
        const topic = streamOfTopic(packet.topic, rules) === openStream ? `${openStream}/${packet.topic}` : packet.topic
        return grants.allows('subscribe', topic) ? packet : null
      } catch (thrown) {
        logger.debug({ client: client.id, err: thrown }, 'a message was held back')
        return null
      }
    },
  }
}

/** Live clients with their principals; closes those whose token ends. */
class Connections {
  readonly #authority: Authority
  readonly #clock: Clock
  readonly #principals = new WeakMap<Client, Principal>()
  readonly #live = new Map<Client, Principal>()

  constructor(authority: Authority, clock: Clock) {
    this.#authority = authority
    this.#clock = clock
    authority.onChange(() => {
      for (const [client, principal] of this.#live) if (authority.isRevoked(principal)) client.close()
    })
  }

  add(client: Client, principal: Principal): void {
    if (client.closed || client.conn.destroyed) return
    this.#principals.set(client, principal)
    this.#live.set(client, principal)
    let timer: NodeJS.Timeout | undefined
    const arm = () => {
      const leftMs = principal.expiresAtMs - this.#clock.now()
      if (leftMs <= 0) client.close()
      else timer = setTimeout(arm, Math.min(leftMs, timerMsMax)).unref()
    }
    client.conn.once('close', () => {
      clearTimeout(timer)
      this.#live.delete(client)
    })
    arm()
  }

  /** Also after the connection closed, when its will is judged: an expired or revoked token publishes nothing. */
  get(client: Client | null): Principal {
    const principal = client && this.#principals.get(client)
    if (!principal) throw new SyncError('unauthorized', 'there is no token to judge this by')
    if (principal.expiresAtMs <= this.#clock.now()) throw new SyncError('token-expired', 'the token has expired')
    if (this.#authority.isRevoked(principal)) throw new SyncError('unauthorized', 'the token was revoked')
    return principal
  }
}

/** CONNACK codes 4 and 5 [P-7.16]; 3 where it is not the client's fault. */
function returnCodeOf(error: SyncError): number {
  if (error.code === 'forbidden') return 5
  return error.meaning.status < 500 ? 4 : 3
}

async function within<T>(ms: number, otherwise: Error, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(otherwise), ms)
    timer.unref()
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
