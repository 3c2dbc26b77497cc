/** Garbage on every listener; afterwards the server is as well as before. */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { connectAsync } from 'mqtt'
import { amount } from '../support/amount.ts'
import { childServer, freePorts, type ChildServer } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'
import { within } from '../support/waiting.ts'
import { tcpWire, tlsWire, webSocketWire, type GarbageWire, type OpenWire } from './garbage-wires.ts'
import { Dice, PacketMill, type MillUser } from './packet-mill.ts'

const packetsPerListener = amount(100_000, 20_000)
const workers = 12
/** What one connection is told at most. */
const packetsPerConnectionMax = 120
/** The heap the server may have, so that it dies of what it keeps, and garbage not collected yet is not taken for a leak. */
const heap = '--max-old-space-size=96 --max-semi-space-size=8'
/** Memory may grow by that heap and by caches beside it, and not by the packets. */
const residentGrowthBytesMax = 160 * 1024 * 1024

const pingreq = Buffer.from([0xc0, 0])

const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31))

describe(`garbage (TIDEMARK_TEST_SEED=${seed})`, function () {
  this.timeout(600_000)
  let server: ChildServer
  let mqttsPort: number | undefined
  let users: MillUser[]

  before(async () => {
    const tls = await certificate()
    if (tls) [mqttsPort] = await freePorts(1)
    server = await childServer({
      env: { NODE_OPTIONS: heap },
      settings: {
        logLevel: 'error',
        limits: { lingerMs: 500, tailCacheBytesMax: 8 * 1024 * 1024 },
        ...tls,
        ...(mqttsPort === undefined ? {} : { mqttsPort }),
      },
    })
    users = await Promise.all(
      Array.from({ length: workers }, async (_, at) => ({
        uid: `fuzz-${at}`,
        client: `client-${at}`,
        token: await server.token(`fuzz-${at}`),
      })),
    )
  })
  after(() => server.kill('SIGKILL'))

  afterEach(async () => {
    expect(errorsOf(server), 'errors in the log').to.deep.equal([])
    expect(await Promise.race([server.exited, Promise.resolve('running')]), 'the server').to.equal('running')
    for (const url of urlsOf(server, mqttsPort)) await publishAndReceive(url, await server.token('afterwards'))
  })

  it('[P-7.11, P-12.27] TCP: the server stays well, and its memory bounded', () => flood(server, users, tcpWire(server.ports.mqtt), 'tcp'))

  it('[P-7.21, P-12.27] WebSocket: the server stays well, and its memory bounded', () =>
    flood(server, users, webSocketWire(server.ports.http), 'websocket'))

  it('[P-7.11, P-12.27] TLS: the server stays well, and its memory bounded', async function () {
    if (mqttsPort === undefined) {
      if (process.env['CI']) throw new Error('openssl is needed to make a certificate')
      console.log('      SKIPPED: no openssl here to make a certificate')
      this.skip()
    }
    await flood(server, users, tlsWire(mqttsPort), 'tls')
  })

  it('[P-7.21, P-7.22] upgrades nobody can answer: odd paths, broken headers, and peers that are gone', async () => {
    const dice = new Dice(seed + 1)
    const paths = [
      '//',
      '/mqtt',
      '///mqtt',
      '/mqtt?x=//',
      'http://[::/mqtt',
      '*',
      '/%',
      '/\\',
      '/mqtt/../mqtt',
      'x',
      '?',
      '/'.repeat(5_000),
    ]
    const origins = ['', 'Origin: https://evil.test\r\n', 'Origin: ://\r\n', 'Origin: null\r\n', 'Host: evil.test\r\n']
    for (let round = 0; round < 600; round++) {
      const socket = connect({ port: server.ports.http, host: '127.0.0.1' })
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.write(
        `GET ${dice.of(paths)} HTTP/1.1\r\nHost: localhost\r\n${dice.of(origins)}Upgrade: ${dice.of(['websocket', 'h2c', ''])}\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Version: ${dice.of(['13', '8', 'x'])}\r\nSec-WebSocket-Key: ${dice.of(['dGhlIHNhbXBsZSBub25jZQ==', 'x'])}\r\n\r\n`,
      )
      // Half of the peers are gone, by RST, when they are answered.
      if (dice.chance(0.5)) socket.resetAndDestroy()
      else await within(Promise.race([once(socket, 'data'), once(socket.resume(), 'close')]), 'an answer')
      socket.destroy()
    }
    expect((await fetch(`${server.urls.http}/healthz`)).status).to.equal(200)
  })
})

/** Sends the packets over connections that are used until they are closed, and looks at the memory before and after. */
async function flood(server: ChildServer, users: readonly MillUser[], open: OpenWire, door: string): Promise<void> {
  const startedMs = Date.now()
  const residentBefore = await metric(server, 'process_resident_memory_bytes')
  const refusedBefore = await refusals(server, door)
  const counts = { sent: 0, mutated: 0, connections: 0, early: 0 }
  await Promise.all(
    users.map(async (user, worker) => {
      const dice = new Dice(seed + worker * 7_919)
      const mill = new PacketMill(dice, user)
      while (counts.sent < packetsPerListener) {
        const wire = await open(dice)
        counts.connections++
        const isEarly = dice.chance(0.15)
        if (isEarly) counts.early++
        else wire.write(mill.connect())
        const said = await speak(wire, dice, () => (isEarly ? mill.early() : mill.late()))
        counts.sent += said
        wire.end()
      }
      counts.mutated += mill.mutated
    }),
  )
  const refused = (await refusals(server, door)) - refusedBefore
  const grown = (await metric(server, 'process_resident_memory_bytes')) - residentBefore
  console.log(
    `      ${counts.sent} packets (${counts.mutated} mutated) on ${counts.connections} connections (${counts.early} before CONNECT), ` +
      `${refused} refused, ${Math.round(grown / 1_048_576)} MiB more, ${Math.round((Date.now() - startedMs) / 1_000)} s`,
  )
  expect(counts.sent).to.be.at.least(packetsPerListener)
  expect(counts.mutated, 'mutated packets').to.be.at.least(packetsPerListener / 2)
  expect(counts.early, 'connections that were broken before their CONNECT').to.be.at.least(packetsPerListener / 500)
  expect(refused, 'refusals that the server counted').to.be.at.least(packetsPerListener / 50)
  expect(grown, 'bytes of resident memory').to.be.below(residentGrowthBytesMax)
}

/** Packets in bursts, cut at random places; returns how many were written before the server closed. */
async function speak(wire: GarbageWire, dice: Dice, next: () => Buffer): Promise<number> {
  let count = 0
  while (!wire.closed && count < packetsPerConnectionMax) {
    const burst = Array.from({ length: 1 + dice.upTo(5) }, next)
    count += burst.length
    // The answer to it says that the burst was read, unless something in it swallowed it.
    let rest = Buffer.concat([...burst, pingreq])
    while (rest.length > 0 && !wire.closed) {
      const take = dice.chance(0.5) ? rest.length : 1 + dice.upTo(rest.length)
      wire.write(rest.subarray(0, take))
      rest = rest.subarray(take)
      if (rest.length > 0) await new Promise((resolve) => setImmediate(resolve))
    }
    if (!wire.closed) await wire.heard()
  }
  return count
}

async function publishAndReceive(url: string, token: string): Promise<void> {
  const client = await connectAsync(url, { username: 'x', password: token, rejectUnauthorized: false, reconnectPeriod: 0 })
  const got = new Promise<string>((resolve) => client.once('message', (_topic, payload) => resolve(payload.toString())))
  await client.subscribeAsync('users/afterwards/#', { qos: 1 })
  await client.publishAsync('users/afterwards/x', 'still here', { qos: 1 })
  expect(await within(got, `a message over ${url}`)).to.equal('still here')
  await client.endAsync()
}

function urlsOf(server: ChildServer, mqttsPort: number | undefined): string[] {
  return [server.urls.mqtt, server.urls.ws, ...(mqttsPort === undefined ? [] : [`mqtts://127.0.0.1:${mqttsPort}`])]
}

function errorsOf(server: ChildServer): string[] {
  return server.stderr.split('\n').filter((line) => /"level":(50|60)|Error|Exception|Warning/.test(line))
}

async function metrics(server: ChildServer): Promise<string[]> {
  return (await (await fetch(`${server.urls.http}/metrics`)).text()).split('\n')
}

async function metric(server: ChildServer, name: string): Promise<number> {
  return Number((await metrics(server)).find((line) => line.startsWith(`${name} `))?.split(' ')[1])
}

async function refusals(server: ChildServer, door: string): Promise<number> {
  const counted = (await metrics(server)).filter((line) => line.startsWith('tidemark_refusals_total{') && line.includes(`door="${door}"`))
  return counted.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** A certificate of this test's own; undefined without openssl. */
async function certificate(): Promise<{ certFile: string; keyFile: string } | undefined> {
  const folder = await tempFolder()
  const certFile = join(folder, 'cert.pem')
  const keyFile = join(folder, 'key.pem')
  const words = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/CN=localhost',
  ]
  try {
    execFileSync('openssl', [...words, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
    return { certFile, keyFile }
  } catch {
    return undefined
  }
}
