/** The token: what it says of itself, what the server makes of it, and what it allows. */
import { decodeJwt } from 'jose'
import { exchangeGrantType, Grants, jwtTokenType, type ExchangeResponse } from '../../auth/index.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { askHttp, jsonOf, words } from './http-checks.ts'
import { Trouble, type Found } from './report.ts'

const fresh = 'get a fresh one from your token service; in development mode `tidemark token NAME` prints one'

/** Read, not verified: only the server can. */
export function checkToken(token: string, nowMs: number): Found<undefined> {
  const claims = claimsOf(token)
  const { exp, nbf, sub, aud } = claims
  if (exp === undefined) throw new Trouble('the token never expires (no exp), and such tokens are refused', fresh)
  const leftMs = exp * 1_000 - nowMs
  if (leftMs <= 0) throw new Trouble(`the token expired ${words(-leftMs)} ago`, fresh)
  if (nbf !== undefined && nbf * 1_000 > nowMs)
    throw new Trouble(`the token is not valid before ${words(nbf * 1_000 - nowMs)} from now`, fresh)
  const audience = [aud ?? []].flat().join(', ')
  return { said: `of ${sub ?? 'nobody'}, for the audience ${audience || '(none)'}, good for ${words(leftMs)}`, value: undefined }
}

/** What a client does first: the exchange [P-10.18]. */
export async function checkExchange(url: string, token: string): Promise<Found<ExchangeResponse>> {
  const form = { grant_type: exchangeGrantType, subject_token: token, subject_token_type: jwtTokenType }
  const at = `${url}/v1/token`
  const response = await askHttp(at, { method: 'POST', body: new URLSearchParams(form) })
  const body = await jsonOf(response, at)
  if (response.status !== 200) {
    const reason = String(body['error_description'] ?? body['detail'] ?? body['error'])
    const { iss, aud } = claimsOf(token)
    throw new Trouble(
      `the server refuses the token: ${reason}`,
      `it says iss ${JSON.stringify(iss)} and aud ${JSON.stringify(aud)}: compare with issuers, their keys and audience in the server's configuration`,
    )
  }
  const { expires_in: left, mqtt_url: mqttUrl } = body
  if (typeof body['access_token'] !== 'string' || typeof left !== 'number' || typeof mqttUrl !== 'string') {
    throw new Trouble(`${at} answers JSON that is no token exchange`, 'something else stands at this path: correct --url')
  }
  return { said: `the server takes the token, and tells clients ${mqttUrl}`, value: body as unknown as ExchangeResponse }
}

export interface Place {
  readonly topic: string
  /** As grants, the sync door and HTTP call it. */
  readonly granted: string
}

/** Whether the topic may be published and read. */
export function checkGrants({ scope }: ExchangeResponse, { granted }: Place): Found<undefined> {
  const texts = scope.split(' ').filter((text) => text !== '')
  const grants = Grants.parse(texts)
  const missing = (['publish', 'subscribe'] as const).filter((verb) => !grants.allows(verb, granted))
  if (missing.length > 0) {
    throw new Trouble(
      `the token has no grant to ${missing.join(' or to ')} ${granted}; it grants ${texts.join(' ') || 'nothing'}`,
      'choose another topic with --topic, or let your token service give more: docs/PROTOCOL.md chapter 10',
    )
  }
  return { said: `${granted} may be published and read`, value: undefined }
}

export function checkLimits({ limits }: ExchangeResponse): Found<undefined> {
  const names = Object.keys(limits) as (keyof typeof limits & keyof Limits)[]
  const moved = names.filter((name) => limits[name] !== defaultLimits[name]).map((name) => `${name} ${limits[name]}`)
  const { payloadBytesMax, subscriptionsPerConnectionMax } = limits
  const most = `payloads of ${payloadBytesMax} bytes, ${subscriptionsPerConnectionMax} filters per connection`
  return { said: `${most}${moved.length > 0 ? `; not as by default: ${moved.join(', ')}` : ', as by default'}`, value: undefined }
}

/** The uid as the server writes it. */
export function uidOf({ access_token: token }: ExchangeResponse): string {
  return claimsOf(token).sub ?? ''
}

function claimsOf(token: string): ReturnType<typeof decodeJwt> {
  try {
    return decodeJwt(token)
  } catch (error) {
    throw new Trouble(
      'the token is no JWT: three parts of base64url with dots between',
      `look for line breaks, quotes or the word Bearer in it, or ${fresh}`,
      error,
    )
  }
}
