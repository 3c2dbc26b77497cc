/** More connections than a listener serves. */
import { expect } from 'chai'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { testServer, type TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'

describe('[P-13.42] a listener that serves as many connections as it may', () => {
  let server: TestServer
  const sockets: Socket[] = []

  beforeEach(async () => {
    server = await testServer({ settings: { limits: { connectionsPerListenerMax: 2 } } })
  })
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await server.stop()
  })

  async function open(port: number): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port })
    sockets.push(socket)
    socket.on('error', () => {}) // It may be reset.
    await once(socket, 'connect')
    return socket
  }

  async function metrics(): Promise<string> {
    for (;;) {
      const response = await fetch(`${server.urls.http}/metrics`).catch(() => undefined)
      if (response) return await response.text()
    }
  }

  for (const [door, portOf] of [
    ['tcp', (ports: TestServer['ports']) => ports.mqtt],
    ['http', (ports: TestServer['ports']) => ports.http],
  ] as const) {
    it(`closes one more by ${door}, counts it, and serves the next when others have left`, async () => {
      const port = portOf(server.ports)
      const served = [await open(port), await open(port)]
      const third = await open(port)
      await within(once(third.resume(), 'close'), 'the third to be closed')
      for (const socket of served) {
        expect(socket.destroyed).to.equal(false)
        socket.destroy()
      }
      const counted = new RegExp(`tidemark_refusals_total\\{door="${door}",code="too-many-requests"\\} [1-9]`)
      expect(await within(metrics(), 'an answer once there is room')).to.match(counted)
    })
  }
})
