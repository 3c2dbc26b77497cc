/** The WebSocket of a page, for mqtt.js. */

/** Undefined in Node, and in Electron's pages that have Node, where mqtt.js opens a socket of its own kind. */
export const pageSocket = hasNode(globalThis) ? undefined : openPageSocket

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
