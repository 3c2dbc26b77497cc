/** Where an issuer's keys come from: a secret, a PEM file, a JWKS file or a JWKS URL. */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { JWTVerifyGetKey } from 'jose'
import type { Clock } from '../seams/clock.ts'
import type { Logger } from '../seams/logger.ts'
import { jwksRefetchMs, jwksRetryMs } from '../seams/limits.ts'
import { badConfig, type Algorithm, type IssuerConfig } from './config.ts'
import { fetchKeySet, KeySet, readKeySet } from './jwks.ts'

export interface KeySource {
  readonly key: KeyObject | JWTVerifyGetKey
  /** The allow-list, without what the key cannot verify. */
  readonly algorithms: readonly Algorithm[]
  /** Looks for a newer key after a signature that did not match; true if there is one. */
  renewed(): Promise<boolean>
}

/** Opens the source. Files are read at once, and a file that cannot serve throws `bad-request`; a URL is first asked when needed. */
export async function openKeySource(config: IssuerConfig, parts: { clock: Clock; logger: Logger }): Promise<KeySource> {
  if (config.secret !== undefined) {
    return { key: createSecretKey(config.secret, 'utf8'), algorithms: config.algorithms, renewed: () => Promise.resolve(false) }
  }
  if (config.publicKeyFile !== undefined) return PemFile.open(config, config.publicKeyFile, parts)
  if (config.jwksFile !== undefined) {
    const file = config.jwksFile
    const set = new KeySet({ ...parts, name: config.issuer, refetchMs: jwksRetryMs, load: () => readKeySet(file) })
    if (!(await set.load())) throw badConfig(`${config.issuer}: ${file} cannot be read as a JSON Web Key Set`)
    return fromSet(config, set)
  }
  const url = new URL(config.jwksUrl as string)
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    parts.logger.warn({ issuer: config.issuer }, 'keys are fetched without TLS: whoever is on the way can replace them')
  }
  return fromSet(config, new KeySet({ ...parts, name: config.issuer, refetchMs: jwksRefetchMs, load: () => fetchKeySet(url) }))
}

function fromSet(config: IssuerConfig, set: KeySet): KeySource {
  return { key: (header, token) => set.find(header, token), algorithms: config.algorithms, renewed: () => Promise.resolve(false) }
}

/** A PEM has no kid, so that a new one is noticed by a signature that does not match the old one. */
class PemFile implements KeySource {
  key: KeyObject
  algorithms: readonly Algorithm[]
  readonly #config: IssuerConfig
  readonly #file: string
  readonly #parts: { clock: Clock; logger: Logger }
  #readAtMs: number

  static async open(config: IssuerConfig, file: string, parts: { clock: Clock; logger: Logger }): Promise<PemFile> {
    try {
      return new PemFile(config, file, parts, await readPem(file))
    } catch (error) {
      throw badConfig(`${config.issuer}: ${file}: ${error instanceof Error ? error.message : String(error)}`, error)
    }
  }

  private constructor(config: IssuerConfig, file: string, parts: { clock: Clock; logger: Logger }, key: KeyObject) {
    this.#config = config
    this.#file = file
    this.#parts = parts
    this.#readAtMs = parts.clock.now()
    this.key = key
    this.algorithms = fitting(config, key)
  }

  async renewed(): Promise<boolean> {
    const now = this.#parts.clock.now()
    if (now >= this.#readAtMs && now - this.#readAtMs < jwksRetryMs) return false
    this.#readAtMs = now
    try {
      const key = await readPem(this.#file)
      if (key.equals(this.key)) return false
      this.algorithms = fitting(this.#config, key)
      this.key = key
      return true
    } catch (error) {
      this.#parts.logger.warn({ err: error, issuer: this.#config.issuer }, 'the key file cannot be read again; the last good key stays')
      return false
    }
  }
}

async function readPem(file: string): Promise<KeyObject> {
  const pem = await readFile(file, 'utf8')
  if (pem.includes('PRIVATE KEY')) throw new Error('holds a private key; only the public one belongs here')
  return createPublicKey(pem)
}

function fitting(config: IssuerConfig, key: KeyObject): readonly Algorithm[] {
  const own = algorithmOf(key)
  if (own === undefined || !config.algorithms.includes(own)) {
    throw new Error(`the key (${key.asymmetricKeyType ?? 'symmetric'}) fits none of ${config.algorithms.join(', ')}`)
  }
  return [own]
}

function algorithmOf(key: KeyObject): Algorithm | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa') return (details?.modulusLength ?? 0) >= 2048 ? 'RS256' : undefined
  if (type === 'ec') return details?.namedCurve === 'prime256v1' ? 'ES256' : undefined
  return type === 'ed25519' ? 'EdDSA' : undefined
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host.startsWith('127.')
}
