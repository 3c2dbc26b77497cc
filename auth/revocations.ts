/** Revocations: documents that every node reads every second, and a node that cannot read them knows it is blind [P-10.25]. */
import { randomUUID } from 'node:crypto'
import { SyncError } from '../protocol/errors.ts'
import type { Clock } from '../seams/clock.ts'
import type { Documents } from '../seams/documents.ts'
import { noHints, type Hints } from '../seams/hints.ts'
import type { Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import { documentsPageMax, revocationsFullReadMs, revocationsMax } from '../seams/limits.ts'
import { parseRevocation, Revoked, revocationKey, type Revocable, type Revocation, type RevocationRequest } from './revocation.ts'

export interface RevocationParts {
  readonly documents: Documents
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: Limits
  readonly hints?: Hints | undefined
  /** How long the longest token lives: a revocation is kept until nothing it could match is alive. */
  readonly tokenAgeMaxMs: number
}

const collection = 'revocations'
/** Revocations of every form begin with this; the record beside them says that something changed. */
const prefix = 'r/'
const changedKey = 'changed'

export class Revocations {
  readonly #parts: RevocationParts
  readonly #hints: Hints
  readonly #listeners = new Set<() => void>()
  #entries: ReadonlyMap<string, Revocation> = new Map()
  #revoked = new Revoked([])
  #changed: unknown
  #readAtMs = 0
  #fullReadAtMs = 0
  #wasBlind = false
  #reading: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #stopListening = () => {}

  /** Reads what is in force, then goes on reading every `revocationPollMs`. Throws if the first read fails. */
  static async open(parts: RevocationParts): Promise<Revocations> {
    const revocations = new Revocations(parts)
    await revocations.#readAll()
    revocations.#start()
    return revocations
  }

  private constructor(parts: RevocationParts) {
    this.#parts = parts
    this.#hints = parts.hints ?? noHints
  }

  /** True while the last successful read is older than `revocationBlindMs`: deliver nothing [P-10.26]. */
  get blind(): boolean {
    const elapsedMs = this.#parts.clock.now() - this.#readAtMs
    // After a clock was set back nobody can say how old the last read is.
    return elapsedMs < 0 || elapsedMs > this.#parts.limits.revocationBlindMs
  }

  isRevoked(principal: Revocable): boolean {
    return this.#revoked.matches(principal)
  }

  /**
   * In force on this node, and stored, when it resolves; on the others within their next poll, or hint. `iat` has whole seconds,
   * so a token issued in the second of `before` counts as issued before it: revoked. Throws `bad-request` or `too-many-requests`.
   */
  async revoke(request: RevocationRequest): Promise<void> {
    const { documents, clock, tokenAgeMaxMs } = this.#parts
    const entry = parseRevocation(request, clock.now(), tokenAgeMaxMs)
    if (this.#entries.size >= revocationsMax) throw new SyncError('too-many-requests', `there are ${revocationsMax} revocations in force`)
    await documents.put(collection, prefix + revocationKey(entry), entry)
    this.#replace(new Map(this.#entries).set(prefix + revocationKey(entry), entry))
    // After the entry: who sees the new value and then reads, reads the entry too.
    await documents.put(collection, changedKey, randomUUID())
    this.#hints.send({ type: 'revoked' })
  }

  /** Calls the listener after every change of what is in force, and when blindness begins or ends. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopListening()
    this.#listeners.clear()
    await this.#reading
  }

  #start(): void {
    this.#timer = setInterval(() => this.#poll(), this.#parts.limits.revocationPollMs)
    this.#timer.unref()
    this.#stopListening = this.#hints.listen((hint) => {
      if (hint.type === 'revoked') this.#poll()
    })
  }

  #poll(): void {
    this.#noticeBlindness()
    this.#reading ??= this.#read()
      .catch((error: unknown) => this.#parts.logger.error({ err: error }, 'the revocations cannot be read'))
      .finally(() => {
        this.#reading = undefined
        this.#noticeBlindness()
      })
  }

  async #read(): Promise<void> {
    const { documents, clock } = this.#parts
    const startedAtMs = clock.now()
    const elapsedMs = startedAtMs - this.#fullReadAtMs
    // The record of changes is missing where a node died between its two writes.
    if (elapsedMs < 0 || elapsedMs >= revocationsFullReadMs) return this.#readAll()
    const changed = (await documents.get(collection, changedKey))?.value
    if (changed !== this.#changed) return this.#readAll()
    this.#readAtMs = startedAtMs
  }

  async #readAll(): Promise<void> {
    const { documents, clock } = this.#parts
    const startedAtMs = clock.now()
    const known = this.#entries
    const changed = (await documents.get(collection, changedKey))?.value
    const entries = new Map<string, Revocation>()
    for (let after = prefix; ;) {
      const page = await documents.list(collection, { prefix, after, limit: documentsPageMax })
      for (const { key, value } of page) {
        const entry = value as Revocation
        if (entry.untilMs > startedAtMs) entries.set(key, entry)
        else await documents.remove(collection, key)
        after = key
      }
      if (page.length < documentsPageMax) break
    }
    // What this node stored while the pages were read may lie behind the reader.
    for (const [key, entry] of this.#entries) if (!known.has(key)) entries.set(key, entry)
    this.#changed = changed
    this.#readAtMs = startedAtMs
    this.#fullReadAtMs = startedAtMs
    this.#replace(entries)
  }

  #replace(entries: ReadonlyMap<string, Revocation>): void {
    const isSame = entries.size === this.#entries.size && [...entries.keys()].every((key) => this.#entries.has(key))
    this.#entries = entries
    if (isSame) return
    this.#revoked = new Revoked(entries.values())
    this.#tell()
  }

  #noticeBlindness(): void {
    const { blind } = this
    if (blind === this.#wasBlind) return
    this.#wasBlind = blind
    if (blind) this.#parts.logger.error({}, 'revocations could not be read for too long: nothing is delivered until they can be')
    else this.#parts.logger.info({}, 'revocations can be read again')
    this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}
