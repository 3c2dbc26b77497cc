/** MQTT over WebSocket. */
import { expect } from 'chai'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connectAsync } from 'mqtt'
import { generate, parser, type Packet } from 'mqtt-packet'
import { WebSocket } from 'ws'
import { closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import { connectPacket } from '../support/raw-mqtt.ts'
import { Inbox, within } from '../support/waiting.ts'

describe('The WebSocket door', () => {
  afterEach(closeAll)

  interface Socket {
    readonly ws: WebSocket
    readonly inbox: Inbox<Packet>
  }

  async function open(it: TestBroker, options: { protocols?: string[]; headers?: Record<string, string> } = {}): Promise<Socket> {
    const { protocols = ['mqtt'], headers = {} } = options
    const ws = new WebSocket(it.wsUrl, protocols, { headers, perMessageDeflate: false })
    const inbox = new Inbox<Packet>()
    const packets = parser()
    packets.on('packet', (packet: Packet) => inbox.add(packet))
    ws.on('message', (data: Buffer) => packets.parse(data))
    await within(once(ws, 'open'), 'the WebSocket to open')
    return { ws, inbox }
  }

  const closing = async (ws: WebSocket): Promise<number> => ((await within(once(ws, 'close'), 'the WebSocket to close')) as [number])[0]

  /** The status line of the answer to a raw upgrade. */
  async function upgrade(it: TestBroker, target: string, headers: Record<string, string> = {}): Promise<string> {
    const socket = connectTcp(it.httpPort, '127.0.0.1')
    const all = {
      Host: 'localhost',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol': 'mqtt',
      ...headers,
    }
    socket.write(
      `GET ${target} HTTP/1.1\r\n${Object.entries(all)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n`,
    )
    const [data] = (await within(once(socket, 'data'), `the answer to an upgrade of ${target}`)) as [Buffer]
    socket.destroy()
    return data.toString().split('\r\n')[0] ?? ''
  }

  it('[P-7.21] serves mqtt.js', async () => {
    const it = await testBroker()
    const client = await connectAsync(it.wsUrl, {
      username: 'alice',
      password: await it.token('alice'),
      clientId: 'js',
      reconnectPeriod: 0,
    })
    const got = new Promise<[string, Buffer]>((resolve) => client.once('message', (topic, payload) => resolve([topic, payload])))
    await client.subscribeAsync('users/alice/#', { qos: 1 })
    await client.publishAsync('users/alice/a', 'over', { qos: 1 })
    const [topic, payload] = await within(got, 'a message')
    expect([topic, payload.toString()]).to.deep.equal(['users/alice/a', 'over'])
    await client.endAsync(true)
  })

  it('[P-7.21] takes packets split over frames and several in one frame', async () => {
    const it = await testBroker()
    const { ws, inbox } = await open(it)
    expect(ws.protocol).to.equal('mqtt')
    const bytes = Buffer.concat([
      generate(connectPacket({ clientId: 'ws', password: await it.token('alice') })),
      generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'users/alice/#', qos: 1 }] }),
      generate({ cmd: 'publish', topic: 'users/alice/a', payload: 'one', qos: 1, messageId: 2, retain: false, dup: false }),
    ])
    for (const byte of bytes) ws.send(Buffer.from([byte]))
    await inbox.take(({ cmd }) => cmd === 'puback', 'PUBACK')
    ws.send(Buffer.concat([generate({ cmd: 'pingreq' }), generate({ cmd: 'pingreq' })]))
    await inbox.take(({ cmd }) => cmd === 'pingresp', 'PINGRESP')
    await inbox.take(({ cmd }) => cmd === 'pingresp', 'the second PINGRESP')
    ws.send(generate({ cmd: 'disconnect' }))
    expect(await closing(ws)).to.equal(1000)
  })

  async function connected(it: TestBroker): Promise<Socket> {
    const socket = await open(it)
    socket.ws.send(generate(connectPacket({ clientId: 'ws', password: await it.token('alice') })))
    await socket.inbox.take(({ cmd }) => cmd === 'connack', 'CONNACK')
    return socket
  }

  const publishes = (count: number, bytes: number): Buffer => {
    const payload = Buffer.alloc(bytes, 'x')
    const packet = { cmd: 'publish', topic: 'users/alice/a', payload, qos: 1, retain: false, dup: false } as const
    return Buffer.concat(Array.from({ length: count }, (_, at) => generate({ ...packet, messageId: at + 1 })))
  }

  it('[P-7.21] [P-13.49] takes all packets of a message of megabytes, which is what a page sends that has much ready at once', async () => {
    const it = await testBroker()
    const { ws, inbox } = await connected(it)
    for (const [count, bytes] of [
      [40, 90_000],
      [6_000, 10],
    ] as const) {
      ws.send(publishes(count, bytes))
      await inbox.until(() => inbox.all.at(-1)?.messageId === count, `PUBACK ${count}`)
    }
    ws.close()
  })

  it('[P-7.21] [P-13.49] closes a larger message with 1009, and says which limit it was', async () => {
    const it = await testBroker({ limits: { webSocketMessageBytesMax: 700_000 } })
    const { ws } = await connected(it)
    ws.send(publishes(8, 90_000))
    expect(await closing(ws)).to.equal(1009)
    await it.lines.take(({ message }) => message.includes('700000 bytes (webSocketMessageBytesMax)'), 'the limit in the log')
  })

  it('[P-7.21] [P-13.6] takes the largest packet in one message, also where messages shall be smaller', async () => {
    const it = await testBroker({ limits: { packetBytesMax: 600_000, payloadBytesMax: 600_000, webSocketMessageBytesMax: 1 } })
    const { ws, inbox } = await connected(it)
    ws.send(publishes(1, 600_000))
    await inbox.take(({ cmd }) => cmd === 'puback', 'PUBACK')
    ws.close()
  })

  it('[P-7.21] gathers less of a peer that has no CONNACK', async () => {
    const it = await testBroker()
    const { ws } = await open(it)
    ws.send(Buffer.alloc(1_000_000))
    expect(await closing(ws)).to.equal(1009)
    await it.lines.until(() => it.broker.stats().connections === 0, 'the connection to be over')
  })

  it('[P-7.21] closes a text frame with 1003', async () => {
    const it = await testBroker()
    const { ws } = await open(it)
    ws.send('text')
    expect(await closing(ws)).to.equal(1003)
    await it.lines.until(() => it.broker.stats().connections === 0, 'the connection to be over')
  })

  it('[P-7.22] refuses an Origin that is not the own one', async () => {
    const it = await testBroker()
    expect(await upgrade(it, '/mqtt', { Origin: 'https://evil.example' })).to.contain(' 403 ')
    expect(await upgrade(it, '/mqtt', { Origin: 'null' })).to.contain(' 403 ')
    expect(await upgrade(it, '/mqtt', { Host: 'evil.example' })).to.contain(' 403 ')
    expect(await upgrade(it, '/mqtt', { Host: 'localhost:1', Origin: 'http://localhost:1' })).to.contain(' 101 ')
    expect(await upgrade(it, '/mqtt')).to.contain(' 101 ')
    expect(it.refusals.filter((refusal) => refusal === 'websocket forbidden')).to.have.length(3)
  })

  it('[P-12.27] survives upgrades of any path, and peers that are gone before the answer', async () => {
    const it = await testBroker()
    for (const target of ['/other', '//', '/\\', 'http://[', '*', '/%', '/mqtt/x'])
      expect(await upgrade(it, target), target).to.match(/ 40[034] /)
    for (let at = 0; at < 20; at++) {
      const socket = connectTcp(it.httpPort, '127.0.0.1')
      socket.on('error', () => {})
      await within(once(socket, 'connect'), 'a connection')
      socket.write('GET /other HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
      socket.resetAndDestroy()
    }
    const client = await it.client('alice')
    await client.ping()
  })

  it('[P-13.6] closes on a frame beyond any packet', async () => {
    const it = await testBroker()
    const { ws } = await open(it)
    ws.on('error', () => {})
    ws.send(generate(connectPacket({ clientId: 'ws', password: await it.token('alice') })))
    ws.send(Buffer.alloc(1_000_000, 0x30))
    expect(await closing(ws)).to.be.greaterThan(999)
    await (await it.client('alice')).ping()
  })
})
