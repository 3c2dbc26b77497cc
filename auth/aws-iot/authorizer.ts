/**
 * The custom authorizer of AWS IoT Core: from what it is told about a CONNECT to who that is and may do what, by the same
 * compile as the session policy. Pure but for the time it is given, so that it is tested where it is written.
 */
import type { KeyObject } from 'node:crypto'
import { asSyncError } from '../../protocol/errors.ts'
import { encodeName } from '../../protocol/names.ts'
import { awsConnectionSecondsMax, awsConnectionSecondsMin, defaultLimits } from '../../seams/limits.ts'
import { readOutside, refused } from '../jwt.ts'
import type { Principal } from '../principal.ts'
import { verifyBrokerToken } from '../tokens.ts'
import { authorizerTokenKeyDefault, type AwsPlace } from './config.ts'
import { isClientIdOf, principalIdOf } from './names.ts'
import { authorizerPolicies, type PolicyDocument } from './policy.ts'

/** What AWS IoT Core sends; every member may be missing. */
export interface AuthorizerEvent {
  /** The value of the authorizer's token key: a broker token without its signature. */
  readonly token?: string
  readonly protocolData?: {
    readonly http?: { readonly queryString?: string }
    readonly mqtt?: { readonly username?: string; readonly password?: string; readonly clientId?: string }
  }
}

export interface AuthorizerAnswer {
  readonly isAuthenticated: boolean
  readonly principalId: string
  readonly policyDocuments: readonly PolicyDocument[]
  readonly disconnectAfterInSeconds: number
  readonly refreshAfterInSeconds: number
}

export interface AuthorizerOptions extends AwsPlace {
  /** Of the server whose tokens these are: its `publicHttpUrl`. */
  readonly issuer: string
  readonly audience: string
  /** The server's public keys by kid. */
  readonly keys: ReadonlyMap<string, KeyObject>
  /** Default `token`. */
  readonly tokenKey?: string
}

/** Never throws: `refusal` says why nobody was let in, without anything of the token. */
export async function authorize(
  event: AuthorizerEvent,
  options: AuthorizerOptions,
  nowMs: number,
): Promise<{ answer: AuthorizerAnswer; refusal?: string }> {
  try {
    const principal = await verified(event, options, nowMs)
    const clientId = event.protocolData?.mqtt?.clientId
    return { answer: admitted(principal, clientIdOf(principal, clientId, options), options, nowMs) }
  } catch (error) {
    return { answer: denied, refusal: asSyncError(error).message }
  }
}

const denied: AuthorizerAnswer = {
  isAuthenticated: false,
  principalId: 'denied',
  policyDocuments: [],
  disconnectAfterInSeconds: awsConnectionSecondsMin,
  refreshAfterInSeconds: awsConnectionSecondsMin,
}

function admitted(principal: Principal, clientId: string, place: AwsPlace, nowMs: number): AuthorizerAnswer {
  const { uid, grants, expiresAtMs } = principal
  const leftS = Math.floor((expiresAtMs - nowMs) / 1000)
  const seconds = Math.min(Math.max(leftS, awsConnectionSecondsMin), awsConnectionSecondsMax)
  // AWS keeps a connection for five minutes at least; the policy ends with the token.
  const options = leftS < seconds ? { deadlineMs: expiresAtMs } : {}
  return {
    isAuthenticated: true,
    principalId: principalIdOf(uid),
    policyDocuments: authorizerPolicies(place, { grants, clientId, client: encodeName(clientId) }, options),
    disconnectAfterInSeconds: seconds,
    // Asked again it would be shown the same token, and say the same.
    refreshAfterInSeconds: seconds,
  }
}

async function verified(
  event: AuthorizerEvent,
  { keys, issuer, audience, tokenKey }: AuthorizerOptions,
  nowMs: number,
): Promise<Principal> {
  const outside = readOutside(tokenOf(event, tokenKey ?? authorizerTokenKeyDefault), defaultLimits.tokenBytesMax)
  const key = outside.kid === undefined ? undefined : keys.get(outside.kid)
  if (!key) throw refused('the token was signed with a key that this authorizer does not have, or no longer (kid)')
  return await verifyBrokerToken(outside, key, { issuer, audience, nowMs })
}

/** The client that connects must be the one that the token is bound to, and of its user. */
function clientIdOf({ uid, client }: Principal, clientId: string | undefined, { root }: AwsPlace): string {
  if (clientId === undefined) throw refused('there is no MQTT client id: only CONNECT is admitted')
  if (client === undefined) throw refused('the token is bound to no client')
  if (client !== encodeName(clientId)) throw refused('the token is bound to another client id')
  if (!isClientIdOf(root, uid, clientId)) throw refused(`the client id does not begin with ${root}, the user and a dot`)
  return clientId
}

const signatureKey = 'x-amz-customauthorizer-signature'

/**
 * The whole token: the MQTT password, or what AWS was given in two parts, whose signature it hands on in the query or the user
 * name. AWS has checked that signature by then; it is checked again, so that nobody who can call the function can make one up.
 */
function tokenOf({ token, protocolData }: AuthorizerEvent, tokenKey: string): string {
  const { username = '', password } = protocolData?.mqtt ?? {}
  const given = password === undefined ? '' : Buffer.from(password, 'base64').toString()
  if (given.split('.').length === 3) return given
  for (const text of [protocolData?.http?.queryString ?? '', username]) {
    const query = new URLSearchParams(text.slice(text.indexOf('?') + 1))
    const signature = query.get(signatureKey)
    const signed = token ?? query.get(tokenKey)
    // In a query a + that was not escaped is read as a space; base64 has none.
    if (signature !== null && signed !== null) return `${signed}.${base64url(signature.replaceAll(' ', '+'))}`
  }
  throw refused('there is no token with its signature')
}

function base64url(base64: string): string {
  return Buffer.from(base64, 'base64').toString('base64url')
}
