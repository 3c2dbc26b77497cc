/**
 * End-to-end encryption as a codec, by Web Crypto: `connect({ codec: await encryption({ keys, topicKey }) })`.
 *
 * The server sees who publishes when, how much, whether it is retained or deletes, and which levels of a stream's topics
 * are equal; neither their names nor what is published. A payload is AES-256-GCM with a random nonce; stream and topic
 * are bound to it, so that it cannot be moved elsewhere. Each topic level is an HMAC-SHA-256, so filters and prefixes work.
 * A deletion has no payload: its topic can be told only where this codec has met it before, and stays blinded otherwise.
 * As the bytes differ each time, publishing one id again by a new call is `id-reused`; the outbox repeats the same bytes.
 */
import { base64UrlOf } from './base64.ts'
import { joined } from './bytes.ts'
import type { Clear, Codec } from './codec.ts'
import { ClientError } from './errors.ts'

export interface EncryptionOptions {
  /** The first one encrypts; all decrypt. To rotate, put a new one in front, and keep the others as long as there is anything to read. */
  readonly keys: readonly ContentKey[]
  /** Blinds topics. It stays the same when keys are rotated, or what is retained would be found no more. */
  readonly topicKey: CryptoKey
}

export interface ContentKey {
  /** 1 to 255 bytes; stands beside each payload, readable. */
  readonly id: string
  readonly key: CryptoKey
}

/** Guesses at a passphrase cost its attacker as many rounds each (OWASP's advice of 2023 for PBKDF2 with SHA-256). */
export const passphraseIterations = 600_000

/** A key from 32 random bytes. */
export function keyFromBytes(bytes: Uint8Array): Promise<CryptoKey> {
  if (bytes.length !== 32) return Promise.reject(new ClientError('bad-value', `a key has 32 bytes, not ${bytes.length}`))
  return crypto.subtle.importKey('raw', new Uint8Array(bytes), 'HKDF', false, ['deriveKey'])
}

/** A key from a passphrase by PBKDF2 with SHA-256. `salt` is no secret, at least 16 random bytes, the same on all devices. */
export async function keyFromPassphrase(passphrase: string, salt: Uint8Array, iterations = passphraseIterations): Promise<CryptoKey> {
  if (salt.length < 16) throw new ClientError('bad-value', `a salt has at least 16 bytes, not ${salt.length}`)
  const base = await crypto.subtle.importKey('raw', utf8.encode(passphrase.normalize('NFKC')), 'PBKDF2', false, ['deriveBits'])
  const bits = await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(salt), iterations }, base, 256)
  return await keyFromBytes(new Uint8Array(bits))
}

/** Keys are those of `keyFromBytes` and `keyFromPassphrase`, or CryptoKeys of your own: AES-GCM for content, HMAC with SHA-256 for topics. */
export async function encryption({ keys, topicKey }: EncryptionOptions): Promise<Codec> {
  const contentKeys = new Map<string, CryptoKey>()
  for (const { id, key } of keys) {
    const { length } = utf8.encode(id)
    if (length < 1 || length > 255 || contentKeys.has(id)) throw new ClientError('bad-value', `key id ${JSON.stringify(id)}`)
    contentKeys.set(id, await derived(key, { name: 'AES-GCM', length: 256 }, 'tidemark content', ['encrypt', 'decrypt']))
  }
  const [first] = keys
  if (!first) throw new ClientError('bad-value', 'encryption needs a key')
  const blinder = new Blinder(await derived(topicKey, { name: 'HMAC', hash: 'SHA-256', length: 256 }, 'tidemark topics', ['sign']))
  return new Encryption(contentKeys, first.id, blinder)
}

/** No UTF-8 begins like this, so a payload is never taken for text. */
const marks = [0xff, 1] as const
const nonceBytes = 12
const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Encryption implements Codec {
  readonly #keys: ReadonlyMap<string, CryptoKey>
  readonly #present: string
  readonly #blinder: Blinder

  constructor(keys: ReadonlyMap<string, CryptoKey>, present: string, blinder: Blinder) {
    this.#keys = keys
    this.#present = present
    this.#blinder = blinder
  }

  topic(stream: string, topic: string): Promise<string> {
    return this.#blinder.blind(stream, topic)
  }

  /** mark, version, length of the key's id, key's id, nonce, ciphertext of: topic, format, line feed, data */
  async encode(stream: string, { topic, format, data }: Clear): Promise<Clear> {
    const wireTopic = await this.#blinder.blind(stream, topic)
    if (format === 'none') return { topic: wireTopic, format, data: undefined }
    const content = format === 'bytes' ? (data as Uint8Array) : utf8.encode(format === 'text' ? (data as string) : JSON.stringify(data))
    const id = utf8.encode(this.#present)
    const iv = crypto.getRandomValues(new Uint8Array(nonceBytes))
    const inner = joined([utf8.encode(`${JSON.stringify([topic.split('/').slice(clearLevels(stream)).join('/'), format])}\n`), content])
    const additionalData = placeOf(stream, wireTopic)
    const key = this.#keys.get(this.#present) as CryptoKey
    const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, key, inner)
    return { topic: wireTopic, format: 'bytes', data: joined([Uint8Array.of(...marks, id.length), id, iv, new Uint8Array(sealed)]) }
  }

  async decode(stream: string, wire: Clear): Promise<Clear> {
    // What the server itself has written is for everybody.
    if (wire.topic.startsWith('$')) return wire
    if (wire.format === 'none') return { ...wire, topic: this.#blinder.known(stream, wire.topic) ?? wire.topic }
    const bytes = wire.data
    if (!(bytes instanceof Uint8Array) || bytes[0] !== marks[0] || bytes[1] !== marks[1]) throw undecodable('it is not encrypted')
    const idEnd = 3 + (bytes[2] ?? 0)
    const id = text.decode(bytes.subarray(3, idEnd))
    const key = this.#keys.get(id)
    if (!key) throw undecodable(`there is no key ${JSON.stringify(id)}`)
    const iv = bytes.slice(idEnd, idEnd + nonceBytes)
    const additionalData = placeOf(stream, wire.topic)
    let opened: Uint8Array<ArrayBuffer>
    try {
      opened = new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, key, bytes.slice(idEnd + nonceBytes)))
    } catch (error) {
      throw undecodable('another key, another place, or changed on its way', error)
    }
    const head = opened.indexOf(0x0a)
    const [below, format] = JSON.parse(text.decode(opened.subarray(0, head))) as [string, Clear['format']]
    const content = opened.slice(head + 1)
    const data: unknown = format === 'bytes' ? content : format === 'text' ? text.decode(content) : JSON.parse(text.decode(content))
    const topic = [...wire.topic.split('/').slice(0, clearLevels(stream)), below].join('/')
    this.#blinder.remember(stream, wire.topic, topic)
    return { topic, format, data }
  }
}

/** Blinded levels have 96 bits in 16 characters: five of them fit below every stream name [P-13.2, P-13.3]. */
const levelBytes = 12
/** Levels and topics that are kept in memory, the latest. */
const rememberedMax = 10_000

class Blinder {
  readonly #key: CryptoKey
  readonly #levels = new Map<string, Promise<string>>()
  readonly #topics = new Map<string, string>()

  constructor(key: CryptoKey) {
    this.#key = key
  }

  async blind(stream: string, topic: string): Promise<string> {
    const clear = clearLevels(stream)
    const isOpen = (level: string, depth: number): boolean => depth < clear || /^[+#]?$/.test(level)
    const levels = topic.split('/').map(async (level, depth) => (isOpen(level, depth) ? level : await this.#level(stream, depth, level)))
    const blinded = (await Promise.all(levels)).join('/')
    this.remember(stream, blinded, topic)
    return blinded
  }

  known(stream: string, blinded: string): string | undefined {
    return this.#topics.get(`${stream}/${blinded}`)
  }

  remember(stream: string, blinded: string, topic: string): void {
    bounded(this.#topics).set(`${stream}/${blinded}`, topic)
  }

  #level(stream: string, depth: number, level: string): Promise<string> {
    // Both ends of a message between users name it alike.
    const scope = clearLevels(stream) > 0 ? 'messages' : stream
    const named = JSON.stringify([scope, depth, level])
    let blinded = this.#levels.get(named)
    if (!blinded) {
      blinded = crypto.subtle
        .sign('HMAC', this.#key, utf8.encode(named))
        .then((mac) => base64UrlOf(new Uint8Array(mac).subarray(0, levelBytes)))
      bounded(this.#levels).set(named, blinded)
    }
    return blinded
  }
}

/** Of a message between users the first level names the other one, to whom the server has to bring it [P-15.1]. */
function clearLevels(stream: string): number {
  return /^(?:outbox|inbox)\//.test(stream) ? 1 : 0
}

/** What a payload is bound to: the topic it is published to, also where the server shows it in an inbox. */
function placeOf(stream: string, wireTopic: string): Uint8Array<ArrayBuffer> {
  const [kind, owner] = stream.split('/')
  const [other, ...below] = wireTopic.split('/')
  return utf8.encode(kind === 'inbox' ? ['outbox', other, owner, ...below].join('/') : `${stream}/${wireTopic}`)
}

/** A key of our kind becomes one for its use; any other one is used as it is. */
function derived(key: CryptoKey, use: AesKeyGenParams | HmacKeyGenParams, info: string, usages: KeyUsage[]): Promise<CryptoKey> {
  if (key.algorithm.name !== 'HKDF') return Promise.resolve(key)
  const how = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8.encode(info) }
  return crypto.subtle.deriveKey(how, key, use, false, usages)
}

function bounded<V>(map: Map<string, V>): Map<string, V> {
  if (map.size >= rememberedMax) map.delete(map.keys().next().value as string)
  return map
}

function undecodable(reason: string, cause?: unknown): ClientError {
  return new ClientError('undecodable', reason, {}, cause)
}
