/** Connections for MQTT, over TCP, TLS or WebSocket. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'
import { within } from './arrivals.ts'

/** Opens `mqtt:`, `mqtts:`, `ws:` or `wss:`. Rejects with what the system says, or after the time. */
export async function dial(url: string, timeoutMs: number): Promise<Duplex> {
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  if (protocol.startsWith('ws')) {
    const socket = await openWebSocket(url, timeoutMs)
    return createWebSocketStream(socket)
  }
  const isTls = protocol === 'mqtts:'
  const options = { host, port: port === '' ? (isTls ? 8883 : 1883) : Number(port) }
  const socket = isTls ? connectTls({ ...options, servername: host }) : connect({ ...options, noDelay: true })
  try {
    await within(once(socket, isTls ? 'secureConnect' : 'connect'), timeoutMs, `no connection to ${url}`)
  } catch (error) {
    socket.destroy()
    throw error
  }
  return socket
}

export async function openWebSocket(url: string, timeoutMs: number, headers: Record<string, string> = {}): Promise<WebSocket> {
  const socket = new WebSocket(url, 'mqtt', { handshakeTimeout: timeoutMs, headers })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  return socket
}
