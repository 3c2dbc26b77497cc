/** mqtt.js, loaded when the first connection is opened, and what it must be told wherever it connects to. */
import type { connect, IClientOptions } from 'mqtt'
import { ClientError } from '../errors.ts'

export async function loadMqtt(): Promise<typeof connect> {
  try {
    // The file for browsers has no other export than the default one.
    return (await import('mqtt')).default.connect
  } catch (thrown) {
    throw new ClientError('network', 'mqtt.js could not be loaded', {}, thrown)
  }
}

/** For every connection. The link connects again, with fresh credentials if need be, and the readers subscribe again. */
export const mqttOptions: IClientOptions = {
  protocolVersion: 4,
  clean: true,
  reconnectPeriod: 0,
  resubscribe: false,
  // Timers of pages in the background run once a minute, and the server waits one and a half times this long. Silence is noticed
  // sooner by who follows something: it hears `at` every 30 s. AWS takes up to 1,200.
  keepalive: 120,
  // The other kind runs in a worker made of a blob, which strict pages forbid.
  timerVariant: 'native',
  // The bytes of all 65,536 packet ids, made at the first packet: 37 ms and 7.6 MB, to save half a microsecond a publish.
  writeCache: false,
  // In Node, and in Electron's pages that have Node, mqtt.js opens a socket of its own kind.
  ...(hasNode(globalThis) ? {} : { createWebsocket: openPageSocket }),
}

/**
 * mqtt.js writes to a socket until it hears that it is closed. What is sent while it closes is lost, and browsers log each
 * such call as an error (WHATWG WebSockets, `send`): of what the client has in hand, a page would be told as of a fault.
 */
function openPageSocket(url: string, protocols: string[]): WebSocket {
  const socket = new WebSocket(url, protocols)
  const send = socket.send.bind(socket)
  socket.send = (data) => {
    if (socket.readyState === WebSocket.OPEN) send(data)
  }
  return socket
}

function hasNode({ process }: { readonly process?: { readonly versions?: { readonly node?: string } } }): boolean {
  return process?.versions?.node !== undefined
}
