/**
 * Ends connections at AWS IoT Core whose token was revoked, or whose user was withdrawn from a space that the connection reaches: AWS
 * asks nobody while a connection stands. Its URL may open it again for some minutes: then it is ended again [P-20.19].
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Authority, Principal } from '../../auth/index.ts'
import type { Bucket } from '../../log/bucket.ts'
import type { Log } from '../../log/log.ts'
import { asSyncError } from '../../protocol/errors.ts'
import { decodeName } from '../../protocol/names.ts'
import {
  awsClientsMax,
  awsClosingsMax,
  awsClosingsPerSecondMax,
  awsClosingTimeoutMs,
  awsClosingTriesMax,
  awsRetryMsMax,
  awsRetryMsMin,
  awsWithdrawnMs,
} from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'

export interface EvictionParts {
  readonly authority: Pick<Authority, 'isRevoked' | 'onChange' | 'onExchange'>
  readonly log: Log
  readonly logger: Logger
  /** Whether there was a connection. Throws `engine-refused` where it need not be tried again. */
  readonly closeConnection: (clientId: string, signal: AbortSignal) => Promise<boolean>
}

/** What is remembered of a client's newest token. */
interface Known extends Pick<Principal, 'uid' | 'client' | 'jti' | 'issuedAtMs' | 'expiresAtMs'> {
  /** Filters below `spaces/` that it grants. */
  readonly spaces: readonly string[]
  /** Withdrawn from one of them. */
  isWithdrawn: boolean
}

export class Evictions {
  closed = 0
  /** Given up: they end with their token. */
  failed = 0
  readonly #parts: EvictionParts
  readonly #clients = new LRUCache<string, Known>({ max: awsClientsMax })
  /** With how often each was tried. */
  readonly #waiting = new Map<string, number>()
  readonly #closing = new AbortController()
  readonly #stops: readonly (() => void)[]
  #running: Promise<void> | undefined

  constructor(parts: EvictionParts) {
    const { authority, log } = parts
    this.#parts = parts
    this.#stops = [
      authority.onExchange((principal) => this.#admitted(principal)),
      authority.onChange(() => this.#lookAll()),
      log.observe((bucket) => this.#committed(bucket)),
    ]
  }

  /** Connections that wait to be ended. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** A client has proved with a token who it is: after a restart that is all that is known of it. */
  met(principal: Principal): void {
    const clientId = clientIdOf(principal)
    if (clientId !== undefined && !this.#clients.has(clientId)) this.#clients.set(clientId, known(principal))
  }

  /** AWS says that this client has a connection now. */
  connected(clientId: string): void {
    const client = this.#clients.get(clientId)
    if (client && this.#isBarred(client)) this.#evict(clientId)
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop()
    this.#closing.abort()
    await this.#running
  }

  #admitted(principal: Principal): void {
    const clientId = clientIdOf(principal)
    if (clientId !== undefined) this.#clients.set(clientId, known(principal))
  }

  #isBarred(client: Known): boolean {
    return client.isWithdrawn || this.#parts.authority.isRevoked(client)
  }

  #lookAll(): void {
    const nowMs = this.#parts.log.clock.now()
    for (const [clientId, client] of this.#clients.entries()) {
      if (client.expiresAtMs <= nowMs) this.#clients.delete(clientId)
      else if (this.#parts.authority.isRevoked(client)) this.#evict(clientId)
    }
  }

  #committed(bucket: Bucket): void {
    if (!bucket.hasAcl) return
    for (let index = 0; index < bucket.count; index++) {
      if (!bucket.isAcl(index)) continue
      const uid = bucket.withdrawn(index)
      const concerned: string[] = []
      for (const [clientId, client] of this.#clients.entries()) {
        const isConcerned = client.uid === uid && client.issuedAtMs <= bucket.ts
        if (!isConcerned || !client.spaces.some((filter) => reaches(filter, bucket.stream))) continue
        client.isWithdrawn = true
        concerned.push(clientId)
      }
      // Readers are told by the entry first, where it reaches them.
      if (concerned.length > 0) void this.#later(() => concerned.forEach((clientId) => this.#evict(clientId)))
    }
  }

  async #later(evict: () => void): Promise<void> {
    const { signal } = this.#closing
    await pause(awsWithdrawnMs, undefined, { signal, ref: false }).then(evict, () => {}) // Closed meanwhile.
  }

  #evict(clientId: string): void {
    if (this.#waiting.has(clientId)) return
    if (this.#waiting.size >= awsClosingsMax) {
      this.failed++
      return
    }
    this.#waiting.set(clientId, 0)
    this.#running ??= this.#run().finally(() => (this.#running = undefined))
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    let failures = 0
    for (;;) {
      const [next] = this.#waiting
      if (!next || signal.aborted) return
      const [clientId, tries] = next
      this.#waiting.delete(clientId)
      failures = (await this.#tried(clientId, tries + 1)) ? 0 : failures + 1
      const ms = failures === 0 ? 1000 / awsClosingsPerSecondMax : Math.min(awsRetryMsMax, awsRetryMsMin * 2 ** failures)
      await pause(ms, undefined, { signal }).catch(() => {}) // Closed meanwhile: the loop sees it.
    }
  }

  /** False where it should go slower. */
  async #tried(clientId: string, tries: number): Promise<boolean> {
    const { logger, closeConnection } = this.#parts
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(awsClosingTimeoutMs)])
    try {
      if (await closeConnection(clientId, signal)) {
        this.closed++
        logger.info({ audit: 'closed', clientId }, 'a connection to AWS IoT Core was closed: its token was revoked, or its user withdrawn')
      }
      return true
    } catch (thrown) {
      if (this.#closing.signal.aborted) return true
      const { code, message } = asSyncError(thrown)
      const isOver = code === 'engine-refused' || tries >= awsClosingTriesMax
      if (isOver) this.failed++
      else this.#waiting.set(clientId, tries)
      logger.warn({ clientId, code, reason: message, tries }, `${message}${isOver ? ': the connection stays until its token ends' : ''}`)
      return false
    }
  }
}

/** Undefined for a client whose name is not in what its token is bound to. */
function clientIdOf({ client }: Principal): string | undefined {
  return client === undefined ? undefined : decodeName(client)
}

function known({ uid, client, jti, issuedAtMs, expiresAtMs, grants }: Principal): Known {
  const filters = [...grants.filters('subscribe'), ...grants.filters('publish')]
  const spaces = [...new Set(filters.filter((filter) => filter.startsWith('spaces/')))]
  return { uid, client, jti, issuedAtMs, expiresAtMs, spaces, isWithdrawn: false }
}

function reaches(filter: string, space: string): boolean {
  return filter === 'spaces/#' || filter.startsWith(`${space}/`)
}
