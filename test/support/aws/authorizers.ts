/**
 * Custom authorizers at the door of AWS's stand-in: what AWS itself does of them. It checks the signature of the token before it asks
 * anybody, asks when CONNECT is there, and closes when the answer says so.
 */
import { verify, type KeyObject } from 'node:crypto'
import mqttPacket from 'mqtt-packet'
import type { IConnectPacket } from 'mqtt-packet'
import type { RawData, WebSocket } from 'ws'
import type { IamDocument } from './iam.ts'
import type { Session } from './sts.ts'

export interface AuthorizerEvent {
  readonly token: string
  readonly signatureVerified: true
  readonly protocols: readonly string[]
  readonly protocolData: {
    readonly http: { readonly queryString: string }
    readonly mqtt: { readonly clientId: string; readonly username?: string; readonly password?: string }
  }
}

export interface AuthorizerAnswer {
  readonly isAuthenticated: boolean
  readonly principalId: string
  readonly policyDocuments: readonly IamDocument[]
  readonly disconnectAfterInSeconds: number
}

export interface Authorizer {
  readonly tokenKeyName: string
  readonly signingKeys: readonly KeyObject[]
  readonly ask: (event: AuthorizerEvent) => Promise<AuthorizerAnswer>
}

const nameKey = 'x-amz-customauthorizer-name'
const signatureKey = 'x-amz-customauthorizer-signature'

/** The name of the authorizer that a query means. */
export function authorizerNameOf(query: string): string | undefined {
  return new URLSearchParams(query).get(nameKey) ?? undefined
}

/** The token that it brings; throws where the signature is not its own. */
export function signedToken({ tokenKeyName, signingKeys }: Authorizer, query: string): string {
  const given = new URLSearchParams(query)
  const token = given.get(tokenKeyName)
  const signature = Buffer.from(given.get(signatureKey) ?? '', 'base64')
  if (token === null) throw new Error('token')
  if (!signingKeys.some((key) => verify('RSA-SHA256', Buffer.from(token), key, signature))) throw new Error('token signature')
  return token
}

/** Waits for CONNECT, asks, and hands on the connection as it was before; closes it where it is not let in. */
export function admitBy(
  authorizer: Authorizer,
  { token, query, socket, now }: { token: string; query: string; socket: WebSocket; now: () => number },
  admitted: (socket: WebSocket, session: Session) => void,
): void {
  const parser = mqttPacket.parser({ protocolVersion: 4 })
  const frames: RawData[] = []
  const hold = (data: RawData): void => {
    frames.push(data)
    parser.parse(data as Buffer)
  }
  const ask = async ({ clientId, username, password }: IConnectPacket): Promise<void> => {
    const mqtt = { clientId, ...(username ? { username } : {}), ...(password ? { password: password.toString('base64') } : {}) }
    const event = {
      token,
      signatureVerified: true,
      protocols: ['http', 'mqtt'],
      protocolData: { http: { queryString: `?${query}` }, mqtt },
    } as const
    const answer = await authorizer.ask(event)
    if (!answer.isAuthenticated) return socket.terminate()
    const seconds = answer.disconnectAfterInSeconds
    const timer = setTimeout(() => socket.terminate(), seconds * 1000)
    socket.once('close', () => clearTimeout(timer))
    admitted(socket, {
      accessKeyId: '',
      secret: '',
      token: '',
      name: answer.principalId,
      expiresAtMs: now() + seconds * 1000,
      rolePolicies: answer.policyDocuments,
      policyText: undefined,
    })
    for (const frame of frames) socket.emit('message', frame)
  }
  parser.once('packet', (packet) => {
    socket.off('message', hold)
    // Nobody sends before CONNACK.
    if (packet.cmd === 'connect') void ask(packet).catch(() => socket.terminate())
    else socket.terminate()
  })
  parser.once('error', () => socket.terminate())
  socket.on('error', () => {}) // `close` comes behind it.
  socket.on('message', hold)
}
