/** The app's token, exchanged for one of the server's: fetched once for all who need it, never in a loop. */
import type { Address } from './address.ts'
import { asClientError, ClientError, errorOf, type ClientErrorCode } from './errors.ts'
import { ask, objectIn, within, type Surroundings } from './request.ts'
import type { AwsCredential, Credential } from './transport/transport.ts'

export interface CredentialsParts extends Surroundings {
  readonly address: Address
  readonly getToken: () => Promise<string> | string
  /** Bound to the token; characters `[A-Za-z0-9_-]`. */
  readonly clientId: string
}

interface Held {
  readonly credential: Credential
  readonly sinceMs: number
  readonly renewAtMs: number
  readonly endsAtMs: number
}

/** A token that grows shorter with every exchange must not be asked for faster and faster. */
const renewNotBeforeMs = 1_000

/** The words of RFC 6749 section 5.2 that mean the client's own fault; others count by their status. */
const refusals: Readonly<Record<string, ClientErrorCode>> = {
  invalid_grant: 'unauthorized',
  invalid_client: 'unauthorized',
  unauthorized_client: 'forbidden',
  invalid_scope: 'forbidden',
  invalid_request: 'bad-request',
  unsupported_grant_type: 'bad-request',
  temporarily_unavailable: 'store-unavailable',
}

/** All times are `timers.now()`: the local wall clock is never asked, and neither is the token. */
export class Credentials {
  readonly #parts: CredentialsParts
  readonly #closing = new AbortController()
  #held: Held | undefined
  #underWay: Promise<Credential> | undefined
  #failed: { readonly error: ClientError; readonly untilMs: number } | undefined

  constructor(parts: CredentialsParts) {
    this.#parts = parts
  }

  /** The one in hand, unless it has ended. */
  get present(): Credential | undefined {
    return this.#held && this.#parts.timers.now() < this.#held.endsAtMs ? this.#held.credential : undefined
  }

  /** When a fresh one should be fetched; long ago if there is none. */
  get renewAtMs(): number {
    return this.#held?.renewAtMs ?? -Infinity
  }

  /** The one in hand or a fresh one; for a while after a failure only what is in hand, or that failure. */
  async get(): Promise<Credential> {
    const { present } = this
    if (present) return present
    if (!this.#underWay && this.#failed && this.#parts.timers.now() < this.#failed.untilMs) throw this.#failed.error
    return this.fetch()
  }

  /** After a 401 on `used`: another one. A fresh one that is refused is not exchanged for the next. */
  async after(used: Credential): Promise<Credential> {
    const held = this.#held
    const isFresh = held !== undefined && this.#parts.timers.now() - held.sinceMs < this.#parts.bounds.refusedRetryMs
    if (this.present === used && isFresh) throw new ClientError('unauthorized', 'the server refuses the token it has just given')
    this.drop(used)
    return this.get()
  }

  /** Asks the app and the server for a fresh one now; whoever asks meanwhile gets the same. */
  fetch(): Promise<Credential> {
    this.#underWay ??= this.#fetch().finally(() => void (this.#underWay = undefined))
    return this.#underWay
  }

  /** It is good for nothing. Others stay. */
  drop(credential: Credential | undefined): void {
    if (this.#held?.credential === credential) this.#held = undefined
  }

  /** Who asks by `get` hears this for a while. */
  refused(error: ClientError): void {
    const { timers, bounds } = this.#parts
    this.#failed = { error, untilMs: timers.now() + (error.retry === 'yes' ? bounds.retryFirstMs : bounds.refusedRetryMs) }
  }

  close(): void {
    this.#closing.abort(new ClientError('closed'))
    this.#held = undefined
  }

  async #fetch(): Promise<Credential> {
    const { timers, bounds } = this.#parts
    const late = (): ClientError => new ClientError('token-source', `no token from getToken() within ${bounds.tokenTimeoutMs} ms`)
    try {
      const token = await within(timers, bounds.tokenTimeoutMs, late, () => this.#appToken(), this.#closing.signal)
      this.#held = await this.#exchange(token)
      this.#failed = undefined
      return this.#held.credential
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      this.refused(error)
      throw error
    }
  }

  async #appToken(): Promise<string> {
    let token: unknown
    try {
      token = await this.#parts.getToken()
    } catch (thrown) {
      throw new ClientError('token-source', `getToken() failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {}, thrown)
    }
    if (typeof token !== 'string' || token === '') throw new ClientError('token-source', 'getToken() gave no text')
    return token
  }

  /** RFC 8693 [P-10.18]. */
  async #exchange(token: string): Promise<Held> {
    const { address, clientId, timers, bounds } = this.#parts
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      client_id: clientId,
    }
    const url = `${address.httpUrl}/v1/token`
    const { status, body } = await ask(this.#parts, url, { method: 'POST', body: new URLSearchParams(form) }, this.#closing.signal)
    const { error, error_description: reason, access_token: given, expires_in: lifeS, client_id: client, mqtt_url: mqttUrl } = body
    if (typeof error === 'string') throw refusalOf(error, status, reason)
    const limits = (body['limits'] ?? {}) as Record<string, number>
    if (typeof given !== 'string' || typeof lifeS !== 'number' || typeof client !== 'string') {
      throw new ClientError('not-tidemark', `${url} answers, status ${status}, but not with a token`)
    }
    const sinceMs = timers.now()
    const lifeMs = lifeS * 1000
    return {
      credential: {
        token: given,
        clientId: client,
        uid: uidOf(given),
        // Where the app found the exchange it finds the rest. MQTT may be elsewhere, if it speaks WebSocket there.
        httpUrl: address.httpUrl,
        mqttUrl: typeof mqttUrl === 'string' && /^wss?:/.test(mqttUrl) ? mqttUrl : address.mqttUrl,
        packetBytesMax: limits['packetBytesMax'] ?? 131_072,
        topicBytesMax: limits['topicBytesMax'] ?? 256,
        topicLevelsMax: limits['topicLevelsMax'] ?? 8,
        filtersMax: limits['subscriptionsPerConnectionMax'] ?? 50,
        ...awsOf(body, sinceMs),
      },
      sinceMs,
      renewAtMs: sinceMs + Math.max(lifeMs - Math.min(bounds.renewAheadMs, lifeMs / 2), renewNotBeforeMs),
      endsAtMs: sinceMs + lifeMs,
    }
  }
}

function refusalOf(error: string, status: number, reason: unknown): ClientError {
  const message = typeof reason === 'string' ? reason : error
  const code = refusals[error]
  return code ? new ClientError(code, message, { oauth: error }) : errorOf(undefined, status, message, { oauth: error })
}

/** Of an engine that is not known here nothing is taken: its URL fails, and HTTP is left. */
function awsOf({ mqtt, scope }: Readonly<Record<string, unknown>>, sinceMs: number): { readonly aws?: AwsCredential } {
  const { engine, client_id: clientId, root, url_expires_in: lifeS } = (mqtt ?? {}) as Readonly<Record<string, unknown>>
  if (engine !== 'aws-iot' || typeof clientId !== 'string' || typeof root !== 'string') return {}
  const texts = typeof scope === 'string' ? scope.split(' ') : []
  return { aws: { clientId, root, scope: texts, urlEndsAtMs: sinceMs + (typeof lifeS === 'number' ? lifeS : 0) * 1000 } }
}

/** Whom the server takes us for, as its token says; undefined where that cannot be read. */
function uidOf(token: string): string | undefined {
  const payload = token.split('.')[1]?.replaceAll('-', '+').replaceAll('_', '/') ?? ''
  const sub = /^[A-Za-z0-9+/]+$/.test(payload) && payload.length % 4 !== 1 ? objectIn(atob(payload))?.['sub'] : undefined
  return typeof sub === 'string' ? sub : undefined
}
