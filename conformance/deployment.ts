/** The deployment that is looked at: where it is, who may use it, and what it says of itself. */
import { Trace, withoutTokens } from './arrivals.ts'
import type { Admission } from './below-root.ts'
import { short, type Engine } from './check.ts'
import { dial } from './dial.ts'
import { Http, reasonOf } from './http.ts'
import { connectPacket } from './connect-packet.ts'
import { Wire, objectOf, type Json } from './wire.ts'

export type Door = 'tcp' | 'ws' | 'http'

export interface DeploymentOptions {
  /** The base URL of HTTP; without it what needs HTTP is not tried. */
  readonly http: string | undefined
  /** MQTT over TCP or TLS; without it as the exchange tells clients. */
  readonly tcp: string | undefined
  readonly ws: string | undefined
  /** The way that the checks go; without it MQTT over TCP, where there is some. */
  readonly door: Door | undefined
  /** How long each step of a check may take. */
  readonly timeoutMs: number
  readonly user: string
  readonly second: string | undefined
  /** A space that both users may write to. */
  readonly space: string | undefined
  readonly token: (user: string) => Promise<string>
  /** A token that expires within seconds. */
  readonly shortToken: ((user: string) => Promise<string>) | undefined
}

export interface User {
  readonly name: string
  readonly uid: string
  readonly token: string
  /** As the exchange tells it; empty where it was not asked. */
  readonly scope: readonly string[]
}

/** The deployment cannot be looked at, and why. */
export class Unusable extends Error {
  override readonly name = 'Unusable'
}

/** Those that the exchange tells, with the defaults of chapter 13. */
const defaultLimits = {
  streamTopicLevelsMax: 7,
  streamTopicBytesMax: 220,
  topicLevelsMax: 8,
  topicBytesMax: 256,
  packetBytesMax: 131_072,
  payloadBytesMax: 94_208,
  filtersPerSubscribeMax: 8,
  subscriptionsPerConnectionMax: 50,
  clientIdBytesMax: 128,
}

export type Limits = typeof defaultLimits

export interface Deployment {
  readonly options: DeploymentOptions
  /** What carries the connections, as the exchange tells it. */
  readonly engine: Engine
  readonly http: Http | undefined
  readonly tcp: string | undefined
  readonly ws: string | undefined
  /** Where MQTT goes. */
  readonly mqtt: string | undefined
  readonly first: User
  readonly second: User | undefined
  readonly limits: Limits
  /** The level below which everything happens. */
  readonly root: string
  /** Retained topics that were made, and by whom. */
  readonly retained: Map<string, Set<string>>
}

/** Finds out who and where. Throws `Unusable` where nothing can be looked at. */
export async function survey(options: DeploymentOptions, root: string): Promise<Deployment> {
  const { timeoutMs, door } = options
  const http = options.http === undefined ? undefined : new Http(options.http, timeoutMs)
  if (http) await mustBeReady(http)
  const first = await userOf(options.user, options, http)
  const second = options.second === undefined ? undefined : await userOf(options.second, options, http)
  if (second?.user.uid === first.user.uid) throw new Unusable(`${options.user} and ${options.second} are the same user, ${first.user.uid}`)
  if (engineOf(first.exchanged) === 'aws-iot') return await atAws(options, { root, http, first, second: second?.user })
  const told = first.exchanged?.['mqtt_url']
  const tcp = options.tcp ?? (typeof told === 'string' ? told : undefined)
  const ws = options.ws ?? (options.http === undefined ? undefined : `${options.http.replace(/^http/, 'ws')}/mqtt`)
  const mqtt = door === 'http' ? undefined : door === 'ws' ? ws : (tcp ?? ws)
  if (door === 'tcp' && tcp === undefined) throw new Unusable('nobody says where MQTT over TCP is; name it with --mqtt-url')
  if (door === 'ws' && ws === undefined) throw new Unusable('nobody says where MQTT over WebSocket is; name it with --ws-url')
  if (door === 'http' && !http) throw new Unusable('nobody says where HTTP is; name it with --http-url')
  if (mqtt !== undefined) await mustTake(mqtt, first.user, timeoutMs)
  return {
    options,
    engine: 'self-hosted',
    http,
    tcp,
    ws,
    mqtt,
    first: first.user,
    second: second?.user,
    limits: limitsOf(first.exchanged),
    root,
    retained: new Map(),
  }
}

/** MQTT is where the signed URL of each client leads [P-10.30]. */
async function atAws(
  options: DeploymentOptions,
  parts: { root: string; http: Http | undefined; first: Exchanged; second: User | undefined },
): Promise<Deployment> {
  const { root, http, first, second } = parts
  const { door, timeoutMs } = options
  if (door === 'tcp') throw new Unusable('AWS IoT Core carries the connections here, over WebSocket only')
  if (options.tcp !== undefined || options.ws !== undefined)
    throw new Unusable('AWS IoT Core carries the connections here: token exchange says where, for each client')
  const admission = admissionOf(first.exchanged)
  if (!admission) throw new Unusable('token exchange names AWS IoT Core, and does not say how to get in')
  const mqtt = door === 'http' ? undefined : new URL(admission.url).origin
  if (mqtt !== undefined) await mustLetIn(admission, timeoutMs)
  const limits = limitsOf(first.exchanged)
  return { options, engine: 'aws-iot', http, tcp: undefined, ws: mqtt, mqtt, first: first.user, second, limits, root, retained: new Map() }
}

async function mustLetIn(admission: Admission, timeoutMs: number): Promise<void> {
  const { origin } = new URL(admission.url)
  const socket = await dial(admission.url, timeoutMs).catch((error: unknown) => {
    throw new Unusable(`${origin} does not open the URL of token exchange: ${messageOf(error)}`, { cause: error })
  })
  const wire = new Wire(socket, { name: '', trace: new Trace(), timeoutMs, retained: () => {}, admission })
  try {
    await wire.connect(connectPacket({ clientId: admission.clientId }))
  } catch (error) {
    throw new Unusable(`${origin} closes before CONNACK: ${messageOf(error)}`, { cause: error })
  } finally {
    wire.cut()
  }
}

/** How a client gets into AWS IoT Core, by the answer of an exchange. */
export function admissionOf(exchanged: Json | undefined): Admission | undefined {
  const { mqtt_url: url, access_token: token, client_id: client, mqtt } = exchanged ?? {}
  const { client_id: clientId, root } = (mqtt ?? {}) as Json
  const texts = [url, token, client, clientId, root]
  if (!texts.every((text) => typeof text === 'string' && text !== '') || !URL.canParse(url as string)) return undefined
  return { url, token, client, clientId, root } as Admission
}

function engineOf(exchanged: Json | undefined): Engine {
  return (exchanged?.['mqtt'] as Json | undefined)?.['engine'] === 'aws-iot' ? 'aws-iot' : 'self-hosted'
}

function limitsOf(exchanged: Json | undefined): Limits {
  return { ...defaultLimits, ...(exchanged?.['limits'] as Partial<Limits> | undefined) }
}

async function mustBeReady(http: Http): Promise<void> {
  const answer = await http.ask('/readyz', {}, new Trace()).catch((error: unknown) => {
    throw new Unusable(`${http.url} cannot be reached: ${messageOf(error)}`, { cause: error })
  })
  const type = answer.headers.get('content-type')?.split(';')[0] ?? 'no content type'
  if (!/json/.test(type))
    throw new Unusable(
      `${http.url}/readyz answers ${answer.status} with ${type} where the protocol has JSON: something else stands there or in front of it`,
    )
  if (answer.status !== 200) throw new Unusable(`${http.url} is not ready: it answers ${answer.status} ${short(answer.text)}`)
}

interface Exchanged {
  readonly user: User
  /** The answer of the exchange, where it was asked. */
  readonly exchanged: Json | undefined
}

async function userOf(name: string, options: DeploymentOptions, http: Http | undefined): Promise<Exchanged> {
  const token = await options.token(name).catch((error: unknown) => {
    throw new Unusable(messageOf(error), { cause: error })
  })
  if (!http) return { user: { name, token, uid: encode(claimOf(token, 'sub') ?? name), scope: [] }, exchanged: undefined }
  const answer = await http.ask('/v1/token', { method: 'POST', body: exchangeForm(token) }, new Trace()).catch((error: unknown) => {
    throw new Unusable(messageOf(error), { cause: error })
  })
  const { access_token: exchanged, scope, error, error_description: reason } = answer.json
  if (answer.status === 400 || answer.status === 401)
    throw new Unusable(`the server refuses the token of ${name}: ${withoutTokens(JSON.stringify(reason ?? error ?? answer.status))}`)
  if (answer.status === 503)
    throw new Unusable(`${http.url}/v1/token cannot exchange now: ${withoutTokens(JSON.stringify(reason ?? error ?? answer.status))}`)
  const uid = typeof exchanged === 'string' ? claimOf(exchanged, 'sub') : undefined
  if (answer.status !== 200 || uid === undefined)
    throw new Unusable(`${http.url}/v1/token answers ${answer.status} with what is no token exchange`)
  return { user: { name, token, uid, scope: String(scope).split(' ') }, exchanged: answer.json }
}

async function mustTake(url: string, user: User, timeoutMs: number): Promise<void> {
  const socket = await dial(url, timeoutMs).catch((error: unknown) => {
    throw new Unusable(`${url} cannot be reached: ${messageOf(error)}`, { cause: error })
  })
  const wire = new Wire(socket, { name: '', trace: new Trace(), timeoutMs, retained: () => {} })
  try {
    const { returnCode } = await wire.connect(connectPacket({ clientId: `conformance-${process.pid}`, token: user.token }))
    if (returnCode !== 0) throw new Unusable(`${url} refuses the token of ${user.name}: CONNACK ${returnCode}`)
  } catch (error) {
    if (error instanceof Unusable) throw error
    throw new Unusable(`${url} does not speak MQTT 3.1.1: ${messageOf(error)}`, { cause: error })
  } finally {
    wire.cut()
  }
}

/** The form of a token exchange [P-10.18]. */
export function exchangeForm(token: string, more: Readonly<Record<string, string>> = {}): URLSearchParams {
  return new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    ...more,
  })
}

/** The JSON of one part of a JWT, which nobody verifies here; empty where it is none. */
export function partOf(token: string, part: 'header' | 'claims'): Json {
  const text = token.split('.')[part === 'header' ? 0 : 1] ?? ''
  return objectOf(Buffer.from(text, 'base64url').toString()) ?? {}
}

function claimOf(token: string, name: string): string | undefined {
  const value = partOf(token, 'claims')[name]
  return typeof value === 'string' ? value : undefined
}

/** As P-1.8 says. */
export function encode(name: string): string {
  return [...Buffer.from(name)]
    .map((byte) => {
      const character = String.fromCodePoint(byte)
      return /[\w-]/.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

function messageOf(error: unknown): string {
  return withoutTokens(reasonOf(error))
}
