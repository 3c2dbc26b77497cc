/** Ports that nobody listens on. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Below those the system gives to outgoing connections, so that a server that starts again finds its port. */
const lowest = 10_000
const highest = 30_000

export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    const server = createServer()
    try {
      server.listen({ port, host: '127.0.0.1' })
      await once(server, 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}

export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
