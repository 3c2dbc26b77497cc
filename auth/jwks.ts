/** A JSON Web Key Set that is kept, asked for again when a key is missing, and never lost to a failure [P-10.7]. */
import { readFile, stat } from 'node:fs/promises'
import {
  createLocalJWKSet,
  errors,
  type CompactJWSHeaderParameters,
  type CryptoKey,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type LocalJWKSet,
} from 'jose'
import type { Clock } from '../seams/clock.ts'
import type { Logger } from '../seams/logger.ts'
import { jwksAgeMaxMs, jwksBytesMax, jwksRetryMs, jwksTimeoutMs } from '../seams/limits.ts'
import { refused } from './jwt.ts'

export interface KeySetParts {
  /** Named in refusals and log lines. */
  readonly name: string
  readonly clock: Clock
  readonly logger: Logger
  /** How often the set is asked for again at most, in ms. */
  readonly refetchMs: number
  load(): Promise<unknown>
}

export class KeySet {
  readonly #parts: KeySetParts
  #set: LocalJWKSet | undefined
  #setAtMs = 0
  #askedAtMs: number | undefined
  #asking: Promise<boolean> | undefined

  constructor(parts: KeySetParts) {
    this.#parts = parts
  }

  /** The key for a token's header. Symmetric keys in a set are never used. Throws `unauthorized` while no set could be had. */
  async find(header: CompactJWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    if (this.#isOld() && this.#mayAsk()) await this.load()
    try {
      return await this.#current()(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await this.#askAgain())) throw error
      return this.#current()(header, token)
    }
  }

  /** Asks for the set now; whoever else asks meanwhile waits for the same answer. False, and a log line, on a failure. */
  load(): Promise<boolean> {
    this.#asking ??= this.#load().finally(() => (this.#asking = undefined))
    return this.#asking
  }

  async #load(): Promise<boolean> {
    this.#askedAtMs = this.#parts.clock.now()
    try {
      this.#set = createLocalJWKSet((await this.#parts.load()) as JSONWebKeySet)
      this.#setAtMs = this.#askedAtMs
      return true
    } catch (error) {
      const last = this.#set ? 'the last good set stays in use' : 'there is none yet'
      this.#parts.logger.warn({ err: error, issuer: this.#parts.name }, `the key set cannot be had; ${last}`)
      return false
    }
  }

  async #askAgain(): Promise<boolean> {
    return this.#mayAsk() && this.load()
  }

  #current(): LocalJWKSet {
    if (!this.#set) throw refused(`the keys of ${this.#parts.name} cannot be had at the moment`)
    return this.#set
  }

  #isOld(): boolean {
    return this.#set === undefined || this.#isOver(this.#setAtMs, jwksAgeMaxMs)
  }

  #mayAsk(): boolean {
    if (this.#asking || this.#askedAtMs === undefined) return true
    return this.#isOver(this.#askedAtMs, this.#set ? this.#parts.refetchMs : jwksRetryMs)
  }

  /** A clock that was set back makes everything over, rather than lasting for ever. */
  #isOver(sinceMs: number, lastsMs: number): boolean {
    const elapsedMs = this.#parts.clock.now() - sinceMs
    return elapsedMs < 0 || elapsedMs >= lastsMs
  }
}

/** Fetches a set: no redirects, bounded in time and bytes. */
export async function fetchKeySet(url: URL): Promise<unknown> {
  const response = await fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(jwksTimeoutMs),
    headers: { accept: 'application/json' },
  })
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > jwksBytesMax) throw new Error(`more than ${jwksBytesMax} bytes`)
    chunks.push(chunk)
  }
  if (!response.ok) throw new Error(`HTTP status ${response.status}`)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

export async function readKeySet(file: string): Promise<unknown> {
  if ((await stat(file)).size > jwksBytesMax) throw new Error(`${file}: more than ${jwksBytesMax} bytes`)
  return JSON.parse(await readFile(file, 'utf8'))
}
