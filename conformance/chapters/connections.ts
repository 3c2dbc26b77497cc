/** Chapter 7, connections. */
import { connect as connectTcp } from 'node:net'
import { generate, type Packet } from 'mqtt-packet'
import type { Attempt } from '../attempt.ts'
import { check, must, NotApplicable, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { connectPacket } from '../connect-packet.ts'

export const connections: readonly Check[] = [
  check('P-7.11', 'a connection that does not begin with CONNECT is closed', ['mqtt'], async ({ me }) => {
    const wire = await me.dial()
    wire.send({ cmd: 'pingreq' })
    await wire.mustClose('after PINGREQ as the first packet', 'pingresp')
    return 'PINGREQ as the first packet: closed'
  }),
  check('P-7.11', 'a second CONNECT closes the connection', ['mqtt'], async ({ me }) => {
    const wire = await me.connect()
    wire.send(connectPacket({ clientId: wire.clientId, token: me.token }))
    await wire.mustClose('after a second CONNECT', 'connack')
    return 'closed, without another CONNACK'
  }),
  check('P-7.11', 'a malformed packet closes the connection', ['mqtt'], async ({ me }) => {
    for (const [bytes, what] of [
      [[0x32, 0xff, 0xff, 0xff, 0xff, 0xff], 'a length of five bytes'],
      [[0x36, 5, 0, 1, 0x78, 0, 1], 'QoS 3'],
      [[0x80, 2, 0, 1], 'a SUBSCRIBE with wrong flags'],
      [[0x82, 2, 0, 1], 'a SUBSCRIBE without filters'],
    ] as const) {
      const wire = await me.connect()
      wire.sendBytes(Buffer.from(bytes), what)
      await wire.mustClose(`after ${what}`)
    }
    return 'a length of five bytes, QoS 3, wrong flags, no filters: closed each time'
  }),
  check(
    'P-7.12',
    'another protocol level gets return code 1, level 3 is served',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.dial()
      const packet = generate(connectPacket({ clientId: me.newClientId(), token: me.token }))
      const level = packet.indexOf('MQTT') + 4
      packet[level] = 6
      wire.sendBytes(packet, 'CONNECT of level 6')
      same((await wire.connack()).returnCode, 1, 'CONNACK of level 6')
      same((await me.knock({ protocolVersion: 3, clientId: me.newClientId().slice(-23) })).returnCode, 0, 'CONNACK of level 3')
      return 'level 6: CONNACK 1, level 3: CONNACK 0'
    },
    onAws.connect,
  ),
  check(
    'P-7.14',
    'an empty client id with clean=0, or a long one, gets return code 2',
    ['mqtt'],
    async ({ me, limits }) => {
      const empty = await me.dial()
      const packet = generate(connectPacket({ clientId: '', token: me.token }))
      // The flags follow the level; packet generators make no CONNECT of this kind.
      const flags = packet.indexOf('MQTT') + 5
      packet[flags] = (packet[flags] ?? 0) & ~2
      empty.sendBytes(packet, 'CONNECT "" clean=0')
      same((await empty.connack()).returnCode, 2, 'CONNACK of an empty one with clean=0')
      const { returnCode } = await me.knock({ clientId: 'x'.repeat(limits.clientIdBytesMax + 1) })
      same(returnCode, 2, `CONNACK of ${limits.clientIdBytesMax + 1} bytes`)
      same((await me.knock({ clientId: 'x'.repeat(limits.clientIdBytesMax) })).returnCode, 0, `CONNACK of ${limits.clientIdBytesMax} bytes`)
      return `empty and ${limits.clientIdBytesMax + 1} bytes: CONNACK 2; ${limits.clientIdBytesMax} bytes: 0`
    },
    onAws.connect,
  ),
  check(
    'P-7.18',
    'an empty client id with clean=1 is served',
    ['mqtt'],
    async ({ me }) => {
      const wire = await (await me.connect({ clientId: '' })).follow(`${me.place}/#`)
      await wire.publish(`${me.place}/x`, 'x')
      await wire.message(`${me.place}/x`)
      return 'CONNACK 0, and it publishes and hears'
    },
    onAws.connect,
  ),
  check(
    'P-7.16 P-12.10',
    'a token that is none gets return code 4',
    ['mqtt'],
    async ({ me }) => {
      for (const token of ['nonsense', `${me.token}x`]) same((await me.knock({ token })).returnCode, 4, 'CONNACK')
      return 'a word and a spoilt token: CONNACK 4'
    },
    onAws.connect,
  ),
  check(
    'P-7.16',
    'no token gets return code 4',
    ['mqtt'],
    async ({ me }) => {
      const { returnCode, wire } = await me.knock({ token: null })
      if (returnCode === 0) {
        const [code] = await wire.subscribe(`${me.place}/#`)
        same(code, 0x80, 'SUBACK of a client without credentials')
        throw new NotApplicable('clients without credentials are admitted here, to open only')
      }
      same(returnCode, 4, 'CONNACK')
      return 'CONNACK 4'
    },
    onAws.connect,
  ),
  check(
    'P-7.17 P-10.22',
    'a token that is bound to a client id is valid for that one only',
    ['mqtt', 'http'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const token = await me.brokerToken({ client_id: clientId })
      same((await me.knock({ clientId, token })).returnCode, 0, 'CONNACK of its own client id')
      same((await me.knock({ clientId: me.newClientId(), token })).returnCode, 5, 'CONNACK of another client id')
      return 'its own client id: CONNACK 0, another: CONNACK 5'
    },
    onAws.connect,
  ),
  check(
    'P-7.19',
    'a connection that is silent for one and a half times its keep-alive is closed',
    ['mqtt'],
    async (attempt) => {
      const wire = await attempt.me.connect({ keepalive: 1 })
      const beganMs = Date.now()
      await wire.mustClose('for its keep-alive')
      const tookMs = Date.now() - beganMs
      must(tookMs >= 1_000, `it was closed after ${tookMs} ms, before its keep-alive had passed`)
      return `keep-alive 1 s: closed after ${(tookMs / 1_000).toFixed(1)} s`
    },
    onAws.keepAlive,
  ),
  check(
    'P-7.20',
    'packets sent together with CONNECT take effect in order',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.dial()
      const connect = connectPacket({ clientId: me.newClientId(), token: me.token })
      const subscribe: Packet = { cmd: 'subscribe', messageId: 77, subscriptions: [{ topic: `${me.place}/#`, qos: 1 }] }
      wire.sendTogether(connect, subscribe, wire.publishPacket(`${me.place}/x`, 'together', { messageId: 78 }))
      same((await wire.connack()).returnCode, 0, 'CONNACK')
      same((await wire.message()).text, 'together', 'the message')
      return 'CONNECT, SUBSCRIBE and PUBLISH in one write: the message comes back'
    },
    onAws.connect,
  ),
  check(
    'P-7.13',
    'the user name may be anything',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.dial()
      const connack = await wire.connect({ ...connectPacket({ clientId: me.newClientId(), token: me.token }), username: 'somebody else' })
      same(connack.returnCode, 0, 'CONNACK')
      await wire.publish(`${me.place}/x`, 'x')
      return 'another user name: CONNACK 0, and the token counts'
    },
    onAws.connect,
  ),
  check(
    'P-7.11 P-12.27',
    'garbage on a connection harms no other one',
    ['tcp'],
    async (attempt) => {
      const { me, deployment } = attempt
      const neighbour = await me.connect()
      await spill(attempt, new URL(deployment.tcp ?? ''))
      await neighbour.publish(`${me.place}/x`, 'x')
      return 'an HTTP request to the MQTT port is cut off, and a neighbour goes on'
    },
    onAws.webSocket,
  ),
]

/** Speaks HTTP to a port of MQTT, until that closes the connection. */
async function spill({ timeoutMs }: Attempt, { hostname, port, protocol }: URL): Promise<void> {
  if (protocol !== 'mqtt:') throw new NotApplicable('MQTT goes over TLS here')
  const socket = connectTcp({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 1883) })
  const closed = new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs)
    socket.on('error', () => {})
    socket.on('close', () => (clearTimeout(timer), resolve(true)))
  })
  socket.resume()
  socket.write('GET / HTTP/1.1\r\nHost: mqtt\r\n\r\n')
  const ended = await closed
  socket.destroy()
  must(ended, 'an HTTP request to the MQTT port keeps its connection')
}
