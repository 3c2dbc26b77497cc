/** How a check connects. */
import type { IConnectPacket } from 'mqtt-packet'

export interface ConnectOptions {
  readonly clientId?: string
  readonly clean?: boolean
  readonly keepalive?: number
  readonly will?: NonNullable<IConnectPacket['will']>
  /** Default the user's own; null for none at all. */
  readonly token?: string | null
  readonly protocolVersion?: 3 | 4 | 5
}

/** A CONNECT with defaults: clean, MQTT 3.1.1, no keep-alive, no token. */
export function connectPacket(options: ConnectOptions & { readonly clientId: string }): IConnectPacket {
  const { token, protocolVersion = 4, clientId, clean = true, keepalive = 0, will } = options
  return {
    cmd: 'connect',
    protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion,
    clientId,
    clean,
    keepalive,
    ...(will ? { will } : {}),
    ...(typeof token === 'string' ? { username: 'conformance', password: Buffer.from(token) } : {}),
  }
}
