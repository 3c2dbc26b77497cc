/**
 * A stand-in for the door of AWS IoT Core's device gateway: the WebSocket upgrade with a signed URL. What is spoken behind
 * it: device-gateway.ts.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { admitBy, authorizerNameOf, signedToken, type Authorizer } from './authorizers.ts'
import { isSame, queryOf, signatureOf, timeOf } from './sigv4.ts'
import { isAllowed } from './iam.ts'
import { account, region, type Session, type StsStandIn } from './sts.ts'

const skewMs = 300_000
const expiresSecondsMax = 604_800

export class GatewayStandIn {
  /** Why upgrades were answered 403, in order; clients never hear it. */
  readonly refusals: string[] = []
  /** By name. */
  readonly authorizers = new Map<string, Authorizer>()
  readonly #sts: StsStandIn
  readonly #server: Server
  /** Takes what came through the door. */
  admitted: (socket: WebSocket, session: Session) => void = () => {}
  /** Ends the connection of a client; false where there is none. What throws is AWS's own failure. */
  deleted: (clientId: string) => boolean = () => false
  readonly #sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => ['mqtt', 'mqttv3.1'].find((name) => offered.has(name)) ?? false,
  })

  static async start(sts: StsStandIn): Promise<GatewayStandIn> {
    const gateway = new GatewayStandIn(sts)
    gateway.#server.listen(0, '127.0.0.1')
    await once(gateway.#server, 'listening')
    return gateway
  }

  private constructor(sts: StsStandIn) {
    this.#sts = sts
    this.#server = createServer((request, response) => {
      const { status, code } = this.#delete(request)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ message: code }))
    })
    this.#server.on('upgrade', (request: IncomingMessage, socket, head: Buffer) => {
      let admit: (accepted: WebSocket) => void
      try {
        admit = this.#admission(request)
      } catch (error) {
        this.refusals.push(error instanceof Error ? error.message : String(error))
        socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
        return
      }
      this.#sockets.handleUpgrade(request, socket, head, admit)
    })
  }

  /** With its port, which must be signed. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** How many connections are open. */
  get open(): number {
    return this.#sockets.clients.size
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  /** `DeleteConnection`, by whoever may. */
  #delete(request: IncomingMessage): { readonly status: number; readonly code: string } {
    const [, name] = /^\/connections\/([^/?]+)$/.exec(request.url ?? '') ?? []
    if (request.method !== 'DELETE' || name === undefined) return { status: 404, code: 'not offered here' }
    const clientId = decodeURIComponent(name)
    try {
      const { policies = [] } = this.#sts.callerOf(request, Buffer.alloc(0), 'iotdata')
      const resource = `arn:aws:iot:${region}:${account}:client/${clientId}`
      if (!isAllowed([policies], { action: 'iot:DeleteConnection', resource })) throw new Error('not authorized')
    } catch (error) {
      this.refusals.push(error instanceof Error ? error.message : String(error))
      return { status: 403, code: 'ForbiddenException' }
    }
    try {
      return this.deleted(clientId) ? { status: 200, code: 'gone' } : { status: 404, code: 'ResourceNotFoundException' }
    } catch {
      return { status: 500, code: 'InternalFailureException' }
    }
  }

  /** What becomes of the connection; throws why there is none. */
  #admission(request: IncomingMessage): (accepted: WebSocket) => void {
    const query = (request.url ?? '').split('?')[1] ?? ''
    const name = authorizerNameOf(query)
    if (name === undefined) {
      const session = this.verify(request)
      return (accepted) => this.admitted(accepted, session)
    }
    const authorizer = this.authorizers.get(name)
    if (!authorizer) throw new Error('authorizer')
    const parts = { token: signedToken(authorizer, query), query, now: () => this.#sts.now() }
    return (socket) => admitBy(authorizer, { ...parts, socket }, (accepted, session) => this.admitted(accepted, session))
  }

  /** Whose session it is; throws why not. */
  verify(request: Pick<IncomingMessage, 'url' | 'headers'>): Session {
    const [path, text = ''] = (request.url ?? '').split('?')
    if (path !== '/mqtt') throw new Error('path')
    if (request.headers['sec-websocket-protocol'] === undefined) throw new Error('subprotocol')
    const pairs = queryOf(text)
    const query = new Map(pairs)
    if (query.size !== pairs.length) throw new Error('a parameter comes twice')
    const get = (name: string): string => query.get(`X-Amz-${name}`) ?? ''
    if (get('Algorithm') !== 'AWS4-HMAC-SHA256') throw new Error('algorithm')
    const [accessKeyId = '', ...scope] = get('Credential').split('/')
    const time = get('Date')
    if (scope.join('/') !== `${time.slice(0, 8)}/${region}/iotdevicegateway/aws4_request`) throw new Error('scope')
    if (!get('SignedHeaders').split(';').includes('host')) throw new Error('host is not signed')
    const expires = query.get('X-Amz-Expires')
    if (expires !== undefined && !(Number(expires) >= 1 && Number(expires) <= expiresSecondsMax)) throw new Error('expires')
    const [signedMs, nowMs] = [timeOf(time), this.#sts.now()]
    const untilMs = signedMs + (expires === undefined ? skewMs : Number(expires) * 1000)
    if (!(signedMs - skewMs <= nowMs && nowMs <= untilMs)) throw new Error('time')
    const session = this.#sts.sessions.get(accessKeyId)
    if (!session) throw new Error('access key')
    if (!isSame(session.token, get('Security-Token'))) throw new Error('security token')
    if (session.expiresAtMs <= nowMs) throw new Error('expired credentials')
    const signed = pairs.filter(([name]) => name !== 'X-Amz-Signature' && name !== 'X-Amz-Security-Token')
    const host = String(request.headers.host).toLowerCase()
    // Clients of AWS sign the host with or without its port.
    const isSigned = [host, host.replace(/:\d+$/, '')].some((name) => {
      const headers = { ...(request.headers as Record<string, string>), host: name }
      const wanted = {
        method: 'GET',
        path,
        query: signed,
        headers,
        signedHeaders: get('SignedHeaders'),
        payload: '',
        time,
        scope: scope.join('/'),
      }
      return isSame(signatureOf(session.secret, wanted), get('Signature'))
    })
    if (!isSigned) throw new Error('signature')
    return session
  }
}
