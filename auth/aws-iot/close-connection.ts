/** `DeleteConnection` of AWS IoT Core: ends the connection of one client, who may come again. */
import { SyncError } from '../../protocol/errors.ts'
import { addressOf } from './presign.ts'
import { encoded, scopeOf, signatureOf, signingTime } from './sigv4.ts'
import type { ServerCredentials } from './sts.ts'

export interface CloseRequest {
  /** As configured. */
  readonly endpoint: string
  readonly region: string
  readonly credentials: ServerCredentials
  readonly clientId: string
  readonly nowMs: number
}

/** As AWS's own clients sign it, and not `iotdevicegateway`. */
const service = 'iotdata'

/** Whether there was one. Throws `engine-refused` where the server may not, `engine-unavailable` where it may be tried again. */
export async function closeConnection(request: CloseRequest, signal: AbortSignal): Promise<boolean> {
  const { url, headers } = signedClose(request)
  const answer = await fetch(url, { method: 'DELETE', headers, signal }).catch((error: unknown) => {
    throw new SyncError('engine-unavailable', `AWS IoT Core cannot be asked to close a connection: ${String(error)}`, {}, error)
  })
  const body = await answer.text().catch(() => '') // For the words only.
  if (answer.ok) return true
  if (answer.status === 404) return false
  if (answer.status === 403) {
    const advice = 'the policy of the server must allow iot:DeleteConnection: `tidemark aws apply` makes it'
    throw new SyncError('engine-refused', `AWS does not let the server close connections (${body.slice(0, 200)}): ${advice}`)
  }
  throw new SyncError('engine-unavailable', `AWS IoT Core answers ${answer.status} to DeleteConnection`)
}

export function signedClose({ endpoint, region, credentials, clientId, nowMs }: CloseRequest): {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
} {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  const { scheme, host } = addressOf(endpoint)
  const signing = { region, service, time: signingTime(nowMs) }
  const path = `/connections/${encoded(clientId)}`
  const signed: readonly (readonly [string, string])[] = [
    ['host', host.toLowerCase()],
    ['x-amz-date', signing.time],
    ...(sessionToken === undefined ? [] : [['x-amz-security-token', sessionToken] as const]),
  ]
  const names = signed.map(([name]) => name).join(';')
  // The path is encoded once more in what is signed: only S3 does without.
  const canonical = ['DELETE', path.replaceAll('%', '%25'), '', ...signed.map((pair) => pair.join(':')), '', names]
  const signature = signatureOf(secretAccessKey, signing, canonical)
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scopeOf(signing)}, SignedHeaders=${names}, Signature=${signature}`
  // `fetch` sends the host itself.
  const headers = Object.fromEntries(signed.filter(([name]) => name !== 'host'))
  return { url: `${scheme === 'ws' ? 'http' : 'https'}://${host}${path}`, headers: { ...headers, authorization } }
}
