/** Chapter 7, MQTT over WebSocket. */
import { generate } from 'mqtt-packet'
import type { WebSocket } from 'ws'
import type { Attempt } from '../attempt.ts'
import { Broken, check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { connectPacket } from '../connect-packet.ts'
import { openWebSocket } from '../dial.ts'
import { reasonOf } from '../http.ts'

export const webSocket: readonly Check[] = [
  check(
    'P-7.21',
    'WebSocket is at /mqtt with the subprotocol mqtt; packets may be split over frames',
    ['ws'],
    async (attempt) => {
      const { me, timeoutMs } = attempt
      const socket = await opened(attempt)
      same(socket.protocol, 'mqtt', 'the subprotocol')
      const answered = new Promise<Buffer>((resolve) => {
        socket.on('message', (data: Buffer) => resolve(data))
        socket.on('close', () => resolve(Buffer.alloc(0)))
      })
      for (const byte of generate(connectPacket({ clientId: me.newClientId(), token: me.token }))) socket.send(Buffer.from([byte]))
      const timer = setTimeout(() => socket.terminate(), timeoutMs)
      const connack = await answered
      clearTimeout(timer)
      socket.terminate()
      same([...connack], [0x20, 2, 0, 0], 'what came on a CONNECT of one byte per frame')
      return 'CONNECT with one byte per frame: CONNACK 0'
    },
    onAws.webSocket,
  ),
  check(
    'P-7.21',
    'a text frame closes with 1003',
    ['ws'],
    async (attempt) => {
      const socket = await opened(attempt)
      const closed = new Promise<number>((resolve) => void socket.on('close', resolve))
      const timer = setTimeout(() => socket.terminate(), attempt.timeoutMs)
      socket.send('text')
      const code = await closed
      clearTimeout(timer)
      same(code, 1003, 'the close code')
      return 'closed with 1003'
    },
    onAws.webSocket,
  ),
  check(
    'P-7.21 P-8.10',
    'what is published over one door is read over the other',
    ['tcp', 'ws'],
    async ({ me, deployment }) => {
      const reader = await me.dial(deployment.ws)
      same((await reader.connect(connectPacket({ clientId: me.newClientId(), token: me.token }))).returnCode, 0, 'CONNACK over WebSocket')
      await reader.follow(`${me.place}/#`)
      const tcp = await me.dial(deployment.tcp)
      same((await tcp.connect(connectPacket({ clientId: me.newClientId(), token: me.token }))).returnCode, 0, 'CONNACK over TCP')
      await tcp.publish(`${me.place}/x`, 'across')
      same((await reader.message()).text, 'across', 'the message')
      return 'published over TCP, delivered over WebSocket'
    },
    onAws.webSocket,
  ),
  check(
    'P-7.22 P-10.28',
    'an upgrade from a foreign web page is refused with 403',
    ['ws'],
    async ({ deployment, timeoutMs }) => {
      const foreign = openWebSocket(deployment.ws ?? '', timeoutMs, { origin: 'https://conformance.invalid' })
      const said = await foreign.then(
        (socket) => (socket.terminate(), 'it was opened'),
        (error: unknown) => reasonOf(error),
      )
      must(said.includes('403'), `the upgrade from https://conformance.invalid: ${said}`)
      return 'Origin https://conformance.invalid: 403'
    },
    onAws.webSocket,
  ),
]

async function opened({ deployment, timeoutMs }: Attempt): Promise<WebSocket> {
  return await openWebSocket(deployment.ws ?? '', timeoutMs).catch((error: unknown) => {
    throw new Broken(`${deployment.ws} cannot be opened: ${reasonOf(error)}`, { cause: error })
  })
}
