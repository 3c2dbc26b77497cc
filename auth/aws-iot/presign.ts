/** URLs that open one kind of connection: signed by SigV4, or for the custom authorizer [P-10.30]. */
import { encoded, scopeOf, signatureOf, signingTime } from './sigv4.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly expiresAtMs: number
}

export interface PresignOptions {
  /** As configured: the host, with its port where it is not 443, or a stand-in. */
  readonly endpoint: string
  readonly region: string
  readonly credentials: Pick<AwsCredentials, 'accessKeyId' | 'secretAccessKey' | 'sessionToken'>
  readonly nowMs: number
  readonly expiresInS: number
}

const service = 'iotdevicegateway'

/**
 * The `wss` URL that AWS IoT Core admits with these credentials until it expires. The session token is appended unsigned:
 * unlike every other service this one refuses it in the canonical query.
 */
export function presignedUrl({ endpoint, region, credentials, nowMs, expiresInS }: PresignOptions): string {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  const { scheme, host } = addressOf(endpoint)
  const signing = { region, service, time: signingTime(nowMs) }
  const query = [
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encoded(`${accessKeyId}/${scopeOf(signing)}`)}`,
    `X-Amz-Date=${signing.time}`,
    `X-Amz-Expires=${expiresInS}`,
    'X-Amz-SignedHeaders=host',
  ].join('&')
  const signature = signatureOf(secretAccessKey, signing, ['GET', '/mqtt', query, `host:${host.toLowerCase()}`, '', 'host'])
  return `${scheme}://${host}/mqtt?${query}&X-Amz-Signature=${signature}&X-Amz-Security-Token=${encoded(sessionToken)}`
}

export interface AuthorizerUrlOptions {
  readonly endpoint: string
  readonly authorizer: string
  readonly tokenKey: string
  /** A broker token: its own signature is the one that AWS checks before it asks the authorizer. */
  readonly token: string
}

/** The `wss` URL that the custom authorizer admits for as long as the token is good. */
export function authorizerUrl({ endpoint, authorizer, tokenKey, token }: AuthorizerUrlOptions): string {
  const last = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(last + 1), 'base64url').toString('base64')
  const query = [
    `x-amz-customauthorizer-name=${encoded(authorizer)}`,
    `${tokenKey}=${token.slice(0, last)}`,
    `x-amz-customauthorizer-signature=${encoded(signature)}`,
  ]
  const { scheme, host } = addressOf(endpoint)
  return `${scheme}://${host}/mqtt?${query.join('&')}`
}

/** Only a stand-in is reached without TLS: the configuration sees to that. */
export function addressOf(endpoint: string): { readonly scheme: 'ws' | 'wss'; readonly host: string } {
  const plain = /^ws:\/\/(.+)$/.exec(endpoint)?.[1]
  return plain === undefined ? { scheme: 'wss', host: endpoint } : { scheme: 'ws', host: plain }
}
