/** mqtt.js, loaded when the first connection is opened, and what it must be told wherever it connects to. */
import type { IClientOptions, MqttClient } from 'mqtt'
import { joined } from '../bytes.ts'
import { ClientError } from '../errors.ts'

/** Rejects with `network` where mqtt.js cannot be loaded. What it resolves with opens a connection, whose options are these and ours. */
export async function loadMqtt(): Promise<(url: string, options: IClientOptions) => MqttClient> {
  try {
    // The file for browsers has no other export than the default one.
    const { connect } = (await import('mqtt')).default
    return (url, options) => inMessages(connect(url, { ...mqttOptions, ...options }))
  } catch (thrown) {
    throw new ClientError('network', 'mqtt.js could not be loaded', {}, thrown)
  }
}

/** What a WebSocket message gathers; the server reads each whole, and takes no endless ones [P-7.21]. */
const messageBytes = 64 * 1024

/**
 * mqtt.js writes a packet in pieces, five for a publish. Of the pieces of one turn Node makes a WebSocket message each, with a system call
 * of its own, and a page makes one of all, however many megabytes.
 */
function inMessages(client: MqttClient): MqttClient {
  const { stream } = client
  const utf8 = new TextEncoder()
  stream._writev = (pieces: readonly { readonly chunk: Uint8Array | string }[], done: (error?: Error | null) => void): void => {
    // The streams of pages leave texts as they are.
    const messages = gathered(pieces.map(({ chunk }) => (typeof chunk === 'string' ? utf8.encode(chunk) : chunk)))
    const next = (error?: Error | null): void => {
      const message = error ? undefined : messages.shift()
      if (message) stream._write(joined(message), 'buffer' as BufferEncoding, next)
      else done(error)
    }
    next()
  }
  return client
}

function gathered(pieces: readonly Uint8Array[]): Uint8Array[][] {
  const messages: Uint8Array[][] = []
  let room = 0
  for (const piece of pieces) {
    if (piece.length > room) {
      messages.push([])
      room = messageBytes
    }
    messages.at(-1)?.push(piece)
    room -= piece.length
  }
  return messages
}

/** For every connection. The link connects again, with fresh credentials if need be, and the readers subscribe again. */
const mqttOptions: IClientOptions = {
  protocolVersion: 4,
  clean: true,
  reconnectPeriod: 0,
  // A denied filter that mqtt.js subscribed to again would end every connection to AWS.
  resubscribe: false,
  // Timers of pages in the background run once a minute, and the server waits one and a half times this long. Silence is noticed
  // sooner by who follows something: it hears `at` every 30 s. AWS takes up to 1,200.
  keepalive: 120,
  // The other kind runs in a worker made of a blob, which strict pages forbid.
  timerVariant: 'native',
  // The bytes of all 65,536 packet ids, made at the first packet: 37 ms and 7.6 MB, to save half a microsecond a publish.
  writeCache: false,
  // A page with half a megabyte unsent looks again so soon; after a second, as by default, a fast network has long been idle.
  browserBufferTimeout: 50,
  // In Node, and in Electron's pages that have Node, mqtt.js opens a socket of its own kind.
  ...(hasNode(globalThis) ? {} : { createWebsocket: openPageSocket }),
}

/**
 * mqtt.js writes to a socket until it hears that it is closed. What is sent while it closes is lost, and browsers log each
 * such call as an error (WHATWG WebSockets, `send`): of what the client has in hand, a page would be told as of a fault. And as long
 * as half a megabyte is unsent it looks again and again, without end where the socket is closed, which never sends it.
 */
export function openPageSocket(url: string, protocols: string[]): WebSocket {
  const socket = new WebSocket(url, protocols)
  const send = socket.send.bind(socket)
  socket.send = (data) => {
    if (socket.readyState === WebSocket.OPEN) send(data)
  }
  Object.defineProperty(socket, 'bufferedAmount', {
    get: () => (socket.readyState === WebSocket.OPEN ? Reflect.get(WebSocket.prototype, 'bufferedAmount', socket) : 0),
  })
  return socket
}

function hasNode({ process }: { readonly process?: { readonly versions?: { readonly node?: string } } }): boolean {
  return process?.versions?.node !== undefined
}
