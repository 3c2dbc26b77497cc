/** Token exchange by RFC 8693: a token in, a broker token of the same user out, the same or narrower [P-10.18]. */
import { SyncError } from '../protocol/errors.ts'
import { encodeName } from '../protocol/names.ts'
import type { Limits } from '../seams/limits.ts'
import type { AwsIotConnection, AwsIotEngine } from './aws-iot/engine.ts'
import type { Grants } from './grants.ts'
import type { Principal } from './principal.ts'
import type { BrokerTokens } from './tokens.ts'

/** The decoded form fields; an empty one counts as left out (RFC 6749 section 3.2). */
export interface ExchangeRequest {
  readonly grant_type?: string
  readonly subject_token?: string
  readonly subject_token_type?: string
  /** Grant texts separated by spaces; default all that the subject has. */
  readonly scope?: string
  /** The MQTT client id the token shall be bound to, as the client will send it. */
  readonly client_id?: string
}

/** RFC 8693 section 2.2.1, and where to go with the token [P-10.19]. */
export interface ExchangeResponse {
  readonly access_token: string
  readonly issued_token_type: string
  readonly token_type: 'Bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly scope: string
  /** Encoded; present where the token is bound. */
  readonly client_id?: string
  readonly mqtt_url: string
  readonly http_url: string
  readonly limits: PortableLimits
  /** Present where another engine than this server carries the connections. */
  readonly mqtt?: AwsIotConnection
}

export type PortableLimits = Pick<Limits, (typeof portable)[number]>

const portable = [
  'streamTopicLevelsMax',
  'streamTopicBytesMax',
  'topicLevelsMax',
  'topicBytesMax',
  'packetBytesMax',
  'payloadBytesMax',
  'filtersPerSubscribeMax',
  'subscriptionsPerConnectionMax',
  'clientIdBytesMax',
] as const satisfies readonly (keyof Limits)[]

export const exchangeGrantType = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const jwtTokenType = 'urn:ietf:params:oauth:token-type:jwt'
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'

/** The subject token of a well-formed request. Throws `bad-request`. */
export function subjectTokenOf(request: ExchangeRequest): string {
  if (!request.grant_type) throw invalid('invalid_request', 'grant_type is missing')
  if (request.grant_type !== exchangeGrantType) throw invalid('unsupported_grant_type', `grant_type must be ${exchangeGrantType}`)
  if (!request.subject_token) throw invalid('invalid_request', 'subject_token is missing')
  if (request.subject_token_type !== jwtTokenType) throw invalid('invalid_request', `subject_token_type must be ${jwtTokenType}`)
  return request.subject_token
}

export interface ExchangeParts {
  readonly tokens: BrokerTokens
  readonly limits: Limits
  readonly mqttUrl: string
  readonly httpUrl: string
  /** Undefined where this server is the engine. */
  readonly engine: AwsIotEngine | undefined
  readonly isMember?: IsMember | undefined
}

/** `space` as a stream, `spaces/{id}`. */
export type IsMember = (space: string, member: Pick<Principal, 'uid' | 'issuedAtMs'>) => Promise<boolean>

/** Gives a verified subject its broker token. Throws `bad-request`, `forbidden` or `token-expired`; `oauthError` knows them. */
export async function exchangeFor(
  subject: Principal,
  request: ExchangeRequest,
  parts: ExchangeParts,
): Promise<{ response: ExchangeResponse; principal: Principal; audit: Readonly<Record<string, string>> }> {
  const { tokens, limits, engine, isMember } = parts
  const checked = checkedClientId(request, limits)
  const admitted = engine?.clientOf(subject.uid, checked, subject.client)
  const client = admitted ? admitted.client : clientOf(subject, checked)
  const asked = narrowed(client === undefined ? subject.grants : subject.grants.forClient(client), request.scope)
  const grants = engine && isMember ? await withoutLeft(asked, subject, isMember) : asked
  const { token, exp, expiresInS } = await tokens.sign(subject, grants, client)
  if (token.length > limits.tokenBytesMax)
    throw invalid('invalid_scope', `the token would be longer than ${limits.tokenBytesMax} bytes; ask for less scope`)
  const admission = admitted && (await engine?.admit(admitted, grants, { token, exp, expiresInS }))
  // Somebody may have been withdrawn while STS was asked: what it gave stays here. Each time there is a space less.
  if (engine && isMember && (await withoutLeft(grants, subject, isMember)) !== grants) return await exchangeFor(subject, request, parts)
  const response = {
    access_token: token,
    issued_token_type: accessTokenType,
    token_type: 'Bearer',
    expires_in: expiresInS,
    scope: grants.texts.join(' '),
    ...(client === undefined ? {} : { client_id: client }),
    mqtt_url: admission ? admission.url : parts.mqttUrl,
    http_url: parts.httpUrl,
    limits: portableLimits(engine ? engine.limits : limits),
    ...(admission ? { mqtt: admission.mqtt } : {}),
  } as const
  const { uid, issuedAtMs, jti } = subject
  const principal = { uid, client, grants, expiresAtMs: exp * 1000, issuedAtMs, jti, kind: 'broker' } as const
  return { response, principal, audit: admission ? admission.audit : {} }
}

/** Without the spaces from which the user was withdrawn: once it is in a policy, nobody asks any more. */
async function withoutLeft(grants: Grants, subject: Principal, isMember: IsMember): Promise<Grants> {
  const spaces = new Set(grants.texts.flatMap((text) => spaceOf(text) ?? []))
  const left = new Set<string>()
  for (const space of spaces) if (!(await isMember(space, subject))) left.add(space)
  if (left.size === 0) return grants
  return grants.narrow(grants.texts.filter((text) => !left.has(spaceOf(text) ?? '')))
}

/** The space that a grant is about. */
function spaceOf(text: string): string | undefined {
  return /^[a-z]+:(spaces\/[^/#]+)\//.exec(text)?.[1]
}

function checkedClientId(request: ExchangeRequest, limits: Limits): string | undefined {
  if (!request.client_id) return undefined
  if (Buffer.byteLength(request.client_id) > limits.clientIdBytesMax) {
    throw invalid('invalid_request', `client_id has more than ${limits.clientIdBytesMax} bytes`)
  }
  if (/\p{Surrogate}/u.test(request.client_id)) throw invalid('invalid_request', 'client_id is not Unicode')
  return request.client_id
}

/** A token that is bound stays bound [P-10.22]. */
function clientOf(subject: Principal, clientId: string | undefined): string | undefined {
  if (clientId === undefined) return subject.client
  const client = encodeName(clientId)
  if (subject.client !== undefined && subject.client !== client) {
    throw new SyncError('forbidden', 'the subject token is bound to another client', { oauth: 'invalid_grant' })
  }
  return client
}

function narrowed(grants: Grants, scope: string | undefined): Grants {
  const texts = (scope ?? '').split(' ').filter((text) => text !== '')
  if (texts.length === 0) return grants
  try {
    return grants.narrow(texts)
  } catch (error) {
    if (error instanceof SyncError) throw new SyncError(error.code, error.message, { oauth: 'invalid_scope' }, error)
    throw error
  }
}

function portableLimits(limits: Limits): PortableLimits {
  return Object.fromEntries(portable.map((name) => [name, limits[name]])) as PortableLimits
}

function invalid(oauth: string, message: string): SyncError {
  return new SyncError('bad-request', message, { oauth })
}
