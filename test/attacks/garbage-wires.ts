/** Byte streams to each listener, made by hand where that is what makes them fast and free to be wrong. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Dice } from './packet-mill.ts'

/** A connection that takes garbage until the server has had enough. */
export interface GarbageWire {
  readonly closed: boolean
  write(bytes: Buffer): void
  /** Resolves when something was answered or the connection ended; after a moment in any case, for what is never answered. */
  heard(): Promise<void>
  end(): void
}

/** How long a burst may go unanswered. */
const silenceMsMax = 10

export type OpenWire = (dice: Dice) => Promise<GarbageWire>

export function tcpWire(port: number): OpenWire {
  return async () => over(await opened(connect({ port, host: '127.0.0.1', noDelay: true })))
}

export function tlsWire(port: number): OpenWire {
  return async () => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    socket.on('error', () => {})
    await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')])
    return over(socket)
  }
}

/** Frames are written by hand, with a mask of zeroes; now and then a frame itself is broken. */
export function webSocketWire(port: number): OpenWire {
  return async (dice) => {
    const socket = await opened(connect({ port, host: '127.0.0.1', noDelay: true }))
    socket.write(upgradeRequest)
    await Promise.race([once(socket, 'data'), once(socket, 'close')])
    // A server that has had enough says so in a frame, and waits for ours.
    const wire = over(socket, (chunk) => chunk.includes(closeFrame))
    return {
      get closed() {
        return wire.closed
      },
      write: (bytes) => wire.write(frame(bytes, dice)),
      heard: () => wire.heard(),
      end: () => wire.end(),
    }
  }
}

/** The beginning of an unmasked close frame with a code of 1000 and some. */
const closeFrame = Buffer.from([0x88, 2, 3])

const upgradeRequest =
  'GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n'

function frame(bytes: Buffer, dice: Dice): Buffer {
  const isBroken = dice.chance(0.003)
  const first = isBroken ? dice.upTo(256) : 0x82
  const mask = isBroken && dice.chance(0.5) ? 0 : 0x80
  const length =
    bytes.length < 126
      ? [mask | bytes.length]
      : bytes.length < 65_536
        ? [mask | 126, bytes.length >> 8, bytes.length & 255]
        : [mask | 127, 0, 0, 0, 0, 0, bytes.length >> 16, (bytes.length >> 8) & 255, bytes.length & 255]
  return Buffer.concat([Buffer.from([first, ...length]), Buffer.alloc(mask === 0 ? 0 : 4), bytes])
}

async function opened(socket: Socket): Promise<Socket> {
  socket.on('error', () => {})
  await Promise.race([once(socket, 'connect'), once(socket, 'close')])
  return socket
}

function over(socket: Socket, isEnd: (chunk: Buffer) => boolean = () => false): GarbageWire {
  let closed = socket.destroyed
  let wake = (): void => {}
  const ended = (): void => {
    closed = true
    socket.destroy()
    wake()
  }
  socket.on('close', ended)
  socket.on('end', ended)
  socket.on('data', (chunk: Buffer) => (isEnd(chunk) ? ended() : wake()))
  return {
    get closed() {
      return closed
    },
    write: (bytes) => void (closed || socket.write(bytes)),
    heard: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve(), closed ? 0 : silenceMsMax)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      }),
    end: () => socket.destroy(),
  }
}
