/** The WebSocket that a page gives mqtt.js, beside one that a test moves. */
import { expect } from 'chai'
import { openPageSocket } from '../../client/transport/mqtt-js.ts'

describe('the socket of a page', () => {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket')

  class Moved {
    static readonly OPEN = 1
    readyState = 1
    readonly sent: unknown[] = []

    /** As browsers have it: what was not sent when it closed is counted for ever. */
    get bufferedAmount(): number {
      return 700_000
    }

    send(data: unknown): void {
      this.sent.push(data)
    }
  }

  beforeEach(() => void Object.defineProperty(globalThis, 'WebSocket', { value: Moved, configurable: true, writable: true }))
  afterEach(() => {
    if (own) Object.defineProperty(globalThis, 'WebSocket', own)
    else Reflect.deleteProperty(globalThis, 'WebSocket')
  })

  it('[P-8.8] sends nothing once it closes, and has nothing left to send, for which mqtt.js would wait', () => {
    const socket = openPageSocket('ws://127.0.0.1/mqtt', ['mqtt'])
    const { sent } = socket as unknown as Moved
    socket.send('first')
    expect([sent, socket.bufferedAmount]).to.deep.equal([['first'], 700_000])
    Object.assign(socket, { readyState: 2 })
    socket.send('second')
    expect([sent, socket.bufferedAmount]).to.deep.equal([['first'], 0])
  })
})
