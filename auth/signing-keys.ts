/** The keys that sign broker tokens: documents that every node reads, newest first in use. */
import { createPrivateKey, createPublicKey, generateKeyPair, type JsonWebKey, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint } from 'jose'
import { SyncError } from '../protocol/errors.ts'
import type { Clock } from '../seams/clock.ts'
import type { Documents, StoredDocument } from '../seams/documents.ts'
import type { Logger } from '../seams/logger.ts'
import { keyGraceMs, keysMax, keysRereadMs, tokenLifetimeMs } from '../seams/limits.ts'

const collection = 'keys'
const generate = promisify(generateKeyPair)

export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
}

export class SigningKeys {
  readonly #documents: Documents
  readonly #clock: Clock
  readonly #logger: Logger
  #keys: ReadonlyMap<string, StoredKey> = new Map()
  #readAtMs = 0
  #reading: Promise<void> | undefined

  /** Reads the keys, and makes the first one where there is none. */
  static async open(documents: Documents, clock: Clock, logger: Logger): Promise<SigningKeys> {
    const keys = new SigningKeys(documents, clock, logger)
    await keys.#read()
    if (!keys.#newest()) await keys.#add()
    return keys
  }

  private constructor(documents: Documents, clock: Clock, logger: Logger) {
    this.#documents = documents
    this.#clock = clock
    this.#logger = logger
  }

  /** The key to sign with. Never one that another node retired more than a second ago. */
  async current(): Promise<SigningKey> {
    await this.#readIfOld()
    const newest = this.#newest() ?? (await this.#add())
    return { kid: newest.kid, privateKey: newest.privateKey as KeyObject }
  }

  /** The public key of a kid, also one that another node has just made; undefined if there is none. */
  async find(kid: string): Promise<KeyObject | undefined> {
    if (!this.#keys.has(kid)) await this.#readIfOld()
    const key = this.#keys.get(kid)
    return key && !this.#isOver(key) ? key.publicKey : undefined
  }

  /** RFC 7517. Holds what this node knows; what it has not read for a while is read again for the next caller. */
  jwks(): { keys: object[] } {
    this.#readIfOld().catch((error: unknown) => this.#logger.warn({ err: error }, 'the signing keys cannot be read again'))
    const valid = [...this.#keys.values()].filter((key) => !this.#isOver(key))
    return { keys: valid.map((key) => ({ ...key.jwk, kid: key.kid, alg: 'RS256', use: 'sig' })) }
  }

  /** A new key signs from now on; the old ones only verify, until their last token is over, and forget their private half. */
  async rotate(): Promise<void> {
    await this.#read()
    if (this.#keys.size >= keysMax)
      throw new SyncError('too-many-requests', `there are ${keysMax} keys already; wait until tokens have ended`)
    const old = [...this.#keys.values()].filter((key) => key.privateKey !== undefined)
    await this.#add()
    const overAtMs = this.#clock.now() + tokenLifetimeMs + keyGraceMs
    for (const key of old) await this.#documents.put(collection, key.kid, { createdAtMs: key.createdAtMs, jwk: key.jwk, overAtMs })
    await this.#read()
  }

  #newest(): StoredKey | undefined {
    const usable = [...this.#keys.values()].filter((key) => key.privateKey !== undefined)
    return usable.sort((a, b) => b.createdAtMs - a.createdAtMs || (a.kid < b.kid ? 1 : -1))[0]
  }

  async #add(): Promise<StoredKey> {
    const { privateKey, publicKey } = await generate('rsa', { modulusLength: 2048 })
    const { kty, n, e } = publicKey.export({ format: 'jwk' })
    const jwk: JsonWebKey = { kty: String(kty), n: String(n), e: String(e) }
    const kid = await calculateJwkThumbprint({ kty: String(kty), n: String(n), e: String(e) })
    const createdAtMs = this.#clock.now()
    await this.#documents.put(collection, kid, { createdAtMs, jwk, pem: privateKey.export({ type: 'pkcs8', format: 'pem' }) })
    const key = { kid, createdAtMs, jwk, publicKey, privateKey, overAtMs: undefined }
    this.#keys = new Map(this.#keys).set(kid, key)
    this.#logger.info({ kid }, 'a new key signs broker tokens')
    return key
  }

  async #readIfOld(): Promise<void> {
    const elapsedMs = this.#clock.now() - this.#readAtMs
    if (elapsedMs < 0 || elapsedMs >= keysRereadMs) await this.#read()
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readAll().finally(() => (this.#reading = undefined))
    return this.#reading
  }

  async #readAll(): Promise<void> {
    const readAtMs = this.#clock.now()
    // Nodes that rotate at once may pass keysMax by a few.
    const documents = await this.#documents.list(collection, { limit: 2 * keysMax })
    const keys = documents.map(readKey)
    for (const key of keys) if (this.#isOver(key)) await this.#documents.remove(collection, key.kid)
    this.#keys = new Map(keys.filter((key) => !this.#isOver(key)).map((key) => [key.kid, key]))
    this.#readAtMs = readAtMs
  }

  #isOver(key: StoredKey): boolean {
    return key.overAtMs !== undefined && key.overAtMs <= this.#clock.now()
  }
}

interface StoredKey {
  readonly kid: string
  readonly createdAtMs: number
  readonly jwk: JsonWebKey
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject | undefined
  /** When the last token signed with it has ended; undefined while it signs. */
  readonly overAtMs: number | undefined
}

function readKey({ key: kid, value }: StoredDocument): StoredKey {
  const { createdAtMs, jwk, pem, overAtMs } = value as { createdAtMs: number; jwk: JsonWebKey; pem?: string; overAtMs?: number }
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
  return { kid, createdAtMs, jwk, publicKey, privateKey: pem === undefined ? undefined : createPrivateKey(pem), overAtMs }
}
