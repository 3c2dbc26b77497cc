/** One connection of the bridge to AWS IoT Core, against a door that does what the test says. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { generate, parser, type Packet } from 'mqtt-packet'
import { WebSocketServer, type WebSocket } from 'ws'
import { AwsConnection, type ConnectionEvents, type ConnectionParts } from '../../../bridge/aws-iot/connection.ts'
import { Worker } from '../../../bridge/aws-iot/worker.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { Inbox, within } from '../../support/waiting.ts'

describe('a connection of the bridge', function () {
  this.timeout(30_000)
  let door: WebSocketServer
  /** Every packet that came, with its connection. */
  let came: Inbox<{ readonly packet: Packet; readonly socket: WebSocket }>
  let answer: (packet: Packet, socket: WebSocket) => void

  beforeEach(async () => {
    came = new Inbox()
    answer = ({ cmd }, socket) => void (cmd === 'connect' && send(socket, accepted))
    door = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    door.on('connection', (socket) => {
      const packets = parser({ protocolVersion: 4 })
      socket.on('message', (bytes: Buffer) => packets.parse(bytes))
      packets.on('packet', (packet: Packet) => {
        came.add({ packet, socket })
        answer(packet, socket)
      })
    })
    await once(door, 'listening')
  })
  afterEach(async () => {
    for (const socket of door.clients) socket.terminate()
    door.close()
    await once(door, 'close')
  })

  const connected = (): Promise<{ readonly socket: WebSocket }> => came.take(({ packet }) => packet.cmd === 'connect', 'CONNECT')

  function parts(): ConnectionParts {
    const url = `ws://127.0.0.1:${(door.address() as AddressInfo).port}/mqtt`
    return { clientId: 'svc.acme.bridge-out-1', clean: true, logger: silentLogger, url: () => Promise.resolve(url) }
  }

  it('[P-20.11] that ends while what is under way is finished is made again', async () => {
    const leaving = new Inbox<'leaving'>()
    const isLost = new Inbox<'lost'>()
    const events: ConnectionEvents = {
      opened: () => Promise.resolve(),
      received: () => {},
      // As a lane, which is done when all is acknowledged.
      leaving: () => {
        leaving.add('leaving')
        return isLost.take(() => true, 'the end', 20_000).then(() => {})
      },
      lost: () => isLost.add('lost'),
    }
    const connection = new AwsConnection({ ...parts(), connectionMs: 20 }, events)
    connection.start()
    const { socket } = await connected()
    await leaving.take(() => true, 'the planned change')
    socket.terminate()
    await connected()
    const closed = connection.close()
    for (const other of door.clients) other.terminate()
    await within(closed, 'the end')
  })

  it('[P-20.11] whose SUBSCRIBE has no answer is given up, and made again', async () => {
    const intake = { take: () => Promise.reject(new Error('nothing comes')) }
    const worker = new Worker('acme', intake as never, { ...parts(), connectMs: 1_000 })
    worker.start()
    await connected()
    await came.take(({ packet }) => packet.cmd === 'subscribe', 'SUBSCRIBE')
    await connected()
    await came.take(({ packet }) => packet.cmd === 'subscribe', 'the next SUBSCRIBE')
    await within(worker.close(), 'the end')
  })

  it('[P-20.11] is closed at once while STS is asked for its URL', async () => {
    const asked = new Inbox<'asked'>()
    const url = (): Promise<string> => {
      asked.add('asked')
      return new Promise(() => {})
    }
    const events: ConnectionEvents = {
      opened: () => Promise.resolve(),
      received: () => {},
      leaving: () => Promise.resolve(),
      lost: () => {},
    }
    const connection = new AwsConnection({ ...parts(), url }, events)
    connection.start()
    await asked.take(() => true, 'the question')
    await within(connection.close(), 'the end')
  })

  it('[P-20.2] is closed in time though its message cannot be appended', async () => {
    answer = ({ cmd, ...rest }, socket) => {
      if (cmd === 'connect') send(socket, accepted)
      if (cmd !== 'subscribe') return
      send(socket, { cmd: 'suback', messageId: (rest as { messageId: number }).messageId, granted: [1, 1, 1, 1] })
      send(socket, { cmd: 'publish', messageId: 7, qos: 1, retain: false, dup: false, topic: 'acme/users/alice/x', payload: 'x' })
    }
    const taken = new Inbox<AbortSignal>()
    const intake = {
      take: (_message: object, signal: AbortSignal) => {
        taken.add(signal)
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('given up'))))
      },
    }
    const worker = new Worker('acme', intake as never, parts())
    worker.start()
    await taken.take(() => true, 'the message')
    await within(worker.close(), 'the end')
    expect(came.all.filter(({ packet }) => packet.cmd === 'puback')).to.deep.equal([])
  })
})

const accepted = { cmd: 'connack', returnCode: 0, sessionPresent: false } as const

function send(socket: WebSocket, packet: Packet): void {
  socket.send(generate(packet))
}
