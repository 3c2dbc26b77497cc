/** An old browser client: websocket-stream 5 and mqtt-packet, MQTT 3.1 and 3.1.1. */
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import { expect } from 'chai'
import { generate } from 'mqtt-packet'
import { connectPacket, destroyRawClients, RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'

// It has no types.
const websocketStream = createRequire(import.meta.url)('websocket-stream') as (url: string, protocols: string[]) => Duplex

describe('websocket-stream with mqtt-packet', function () {
  this.timeout(60_000)
  let server: TestServer
  let password: string

  before(async () => {
    server = await testServer()
    password = await server.token('alice')
  })
  afterEach(destroyRawClients)
  after(() => server.stop())

  const open = async (protocol: string): Promise<RawClient> => {
    const stream = websocketStream(server.urls.ws, [protocol])
    await within(new Promise((resolve) => stream.once('connect', resolve)), 'the WebSocket')
    return new RawClient(stream)
  }

  for (const [name, protocol, version] of [
    ['MQTT 3.1.1', 'mqtt', { protocolId: 'MQTT', protocolVersion: 4 }],
    ['MQTT 3.1', 'mqttv3.1', { protocolId: 'MQIsdp', protocolVersion: 3 }],
  ] as const) {
    it(`[P-7.12, P-7.21] speaks ${name}: publishes at every QoS, receives, comes back`, async () => {
      const clientId = `old-${protocol.replace('.', '')}`
      const first = await open(protocol)
      expect(await first.connect({ ...version, clientId, clean: false, password })).to.include({ returnCode: 0, sessionPresent: false })
      expect(await first.subscribe('users/alice/#', 2)).to.deep.equal([1])
      for (const qos of [0, 1, 2] as const) await first.publish(`users/alice/${qos}`, `at ${qos}`, { qos })
      expect((await first.messages(3)).map(({ text, qos }) => `${text} ${qos}`)).to.deep.equal(['at 0 0', 'at 1 1', 'at 2 1'])
      await first.ping()
      await first.disconnect()

      const other = await open(protocol)
      await other.connect({ ...version, clientId: `other-${clientId}`, password })
      await other.publish('users/alice/x', 'missed')
      const second = await open(protocol)
      const connack = await second.connect({ ...version, clientId, clean: false, password })
      expect(connack).to.include({ returnCode: 0, sessionPresent: true })
      expect((await second.message()).text).to.equal('missed')
    })
  }

  it('[P-7.21] splits packets over frames, and puts many into one', async () => {
    const client = await open('mqtt')
    for (const byte of generate(connectPacket({ clientId: 'splitter', password }))) client.bytes(Buffer.from([byte]))
    expect(await client.expect(({ cmd }) => cmd === 'connack', 'CONNACK')).to.include({ returnCode: 0 })
    await client.subscribe('users/alice/#')
    const packets = Array.from({ length: 50 }, (_, at) =>
      generate({ cmd: 'publish', topic: 'users/alice/many', payload: `${at}`, qos: 1, messageId: at + 100, retain: false, dup: false }),
    )
    client.bytes(Buffer.concat(packets))
    expect((await client.messages(50)).map(({ text }) => Number(text))).to.deep.equal(Array.from({ length: 50 }, (_, at) => at))
  })
})
