/** What broker/engine.ts relies on in aedes: each of these promises is in the code of 1.2.0 and in nobody's documentation. */
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Client } from 'aedes'
import { expect } from 'chai'
import { generate, type Packet } from 'mqtt-packet'
import { ConnectRefusal, Engine, type ConnectRequest, type EnginePeer } from '../../broker/engine.ts'
import { Pipe, type PipeEnd } from '../../broker/pipe.ts'
import { closeAll, testBroker } from '../support/broker.ts'
import { connectPacket, destroyRawClients, RawClient, type ConnectOptions } from '../support/raw-mqtt.ts'
import { openStockAedes, type StockAedes } from '../support/stock-aedes.ts'
import { Inbox, within } from '../support/waiting.ts'

const root = new URL('../../', import.meta.url)
const closing: (() => Promise<void>)[] = []

/** A connection in memory: what the link is to the engine, as far as the engine can tell. */
class Peer implements EnginePeer, PipeEnd {
  readonly pipe = new Pipe(this)
  /** What happened, in order; acknowledgements by their type and packet id. */
  readonly events = new Inbox<string>()
  request: ConnectRequest | undefined = undefined
  /** Authenticates: what the session is called. */
  name: () => Promise<string> = async () => 'alice/phone'
  /** Looked at when the engine says that an UNSUBSCRIBE is done. */
  whenUnsubscribed: () => void = () => {}

  constructor(engine: Engine) {
    engine.attach(this, this.pipe)
  }

  send(packet: Packet): void {
    this.pipe.push(generate(packet))
  }

  /** Connects under this name and waits until the engine is ready. */
  async connected(name: string, options: ConnectOptions = {}): Promise<this> {
    this.name = async () => name
    this.send(connectPacket({ clientId: 'raw', ...options }))
    await this.events.take((event) => event === 'ready', `${name} to be ready`)
    return this
  }

  async subscribed(): Promise<this> {
    this.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '0', qos: 1 }] })
    await this.events.take((event) => event === 'suback', 'SUBACK')
    return this
  }

  get closed(): boolean {
    return this.events.all.includes('closed')
  }

  /** aedes' own idea of this connection. */
  get client(): AedesClient {
    return (this.pipe as unknown as { client: AedesClient }).client
  }

  connect(request: ConnectRequest): Promise<string> {
    this.request = request
    this.events.add('connect')
    return this.name()
  }
  ready(): void {
    this.events.add('ready')
  }
  async subscribe(): Promise<boolean> {
    return true
  }
  async saved(): Promise<void> {}
  unsubscribed(): void {
    this.whenUnsubscribed()
    this.events.add('unsubscribed')
  }
  fromEngine(packets: Buffer, written: () => void): void {
    this.events.add(
      ({ 0x20: `connack ${packets[3]}`, 0x90: 'suback', 0xb0: 'unsuback' } as Record<number, string>)[packets[0] as number] ?? 'other',
    )
    written()
  }
  engineReads(): void {}
  engineClosed(): void {
    this.events.add('closed')
  }
}

interface AedesClient extends Client {
  readonly will: unknown
  readonly subscriptions: object
}

async function openEngine(): Promise<{ engine: Engine; errors: Error[] }> {
  const errors: Error[] = []
  const engine = await Engine.open((error) => errors.push(error))
  closing.push(() => engine.close())
  return { engine, errors }
}

async function openStock(...options: Parameters<typeof openStockAedes>): Promise<StockAedes> {
  const stock = await openStockAedes(...options)
  closing.push(() => stock.close())
  return stock
}

async function stockClient(port: number, options: ConnectOptions): Promise<RawClient> {
  const client = await RawClient.open(port)
  expect((await client.connect(options)).returnCode).to.equal(0)
  return client
}

const keepAliveTimer = (client: AedesClient): unknown => Reflect.get(client, '_keepaliveTimer')

/** A promise that the test keeps. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

const prototypeNames = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf']

describe('Engine', () => {
  afterEach(async () => {
    destroyRawClients()
    await Promise.all(closing.splice(0).map((close) => within(close(), 'a broker to close')))
    await closeAll()
  })

  describe('stands on one version of aedes', () => {
    const json = async (path: string): Promise<Record<string, Record<string, unknown>>> =>
      JSON.parse(await readFile(new URL(path, root), 'utf8')) as Record<string, Record<string, unknown>>

    it('package.json names it exactly, and it is what is installed', async () => {
      const { dependencies } = await json('package.json')
      expect(dependencies?.['aedes']).to.equal('1.2.0')
      expect(await json('node_modules/aedes/package.json')).to.include({ name: 'aedes', version: '1.2.0' })
      const { packages = {} } = await json('package-lock.json')
      const copies = Object.keys(packages).filter((path) => path.endsWith('node_modules/aedes'))
      expect(copies).to.deep.equal(['node_modules/aedes'])
      expect(packages['node_modules/aedes']).to.include({ version: '1.2.0' })
    })

    it('one file of the broker knows it, and the hooks for a plain one', async () => {
      const parts = ['auth', 'bridge', 'broker', 'cli', 'client', 'log', 'protocol', 'seams', 'bin']
      const files = ['index.ts']
      for (const part of parts) {
        const names = await readdir(new URL(part, root), { recursive: true }).catch(() => [])
        files.push(...names.filter((name) => /\.[jt]s$/.test(name)).map((name) => `${part}/${name}`))
      }
      expect(files.length).to.be.greaterThan(80)
      const importing: string[] = []
      for (const file of files) {
        const text = await readFile(new URL(file, root), 'utf8')
        if (/(?:from|import|require)\s*\(?\s*['"](?:aedes|mqemitter|aedes-[a-z]+)(?:\/[^'"]*)?['"]/.test(text)) importing.push(file)
      }
      expect(importing.sort()).to.deep.equal(['auth/aedes-hooks.ts', 'broker/engine.ts'])
    })
  })

  it('[P-7.19] takes keep-alive and will out of the CONNECT, and aedes goes on without them', async () => {
    const { engine } = await openEngine()
    const will = { topic: 'users/alice/gone', payload: Buffer.from('bye'), qos: 1 as const, retain: true }
    const peer = await new Peer(engine).connected('alice/phone', { clientId: 'phone', keepalive: 7, will, clean: false, password: 'token' })
    expect(peer.request).to.deep.include({ clientId: 'phone', clean: false, keepAliveS: 7, username: 'user', will })
    expect(peer.request?.password?.toString()).to.equal('token')
    expect(keepAliveTimer(peer.client)).to.equal(null)
    expect(peer.client.will ?? undefined).to.equal(undefined)

    // Nothing of this holds where nobody takes them.
    const { aedes, port } = await openStock()
    const joined = once(aedes, 'clientReady')
    await stockClient(port, { clientId: 'phone', keepalive: 7, will })
    const [client] = (await joined) as [AedesClient]
    expect(keepAliveTimer(client)).to.not.equal(null)
    expect(client.will).to.deep.include({ topic: will.topic })
  })

  describe('[P-4.16] knows a connection by the name that authentication gave it', () => {
    it('which keeps apart what has one client id', async () => {
      const { engine } = await openEngine()
      const alice = await new Peer(engine).connected('alice/phone', { clientId: 'phone' })
      const bob = await new Peer(engine).connected('bob/phone', { clientId: 'phone' })
      expect([alice.client.id, bob.client.id]).to.deep.equal(['alice/phone', 'bob/phone'])
      expect([alice.closed, bob.closed, engine.connections]).to.deep.equal([false, false, 2])
    })

    it('[P-4.26] and by which it is taken over, whatever the client id on the wire', async () => {
      const { engine } = await openEngine()
      const old = await (await new Peer(engine).connected('alice/phone', { clientId: 'one' })).subscribed()
      const newer = await new Peer(engine).connected('alice/phone', { clientId: 'another' })
      await old.events.until(() => old.closed, 'the older connection to be closed')
      expect([newer.closed, engine.connections]).to.deep.equal([false, 1])
    })

    it('and a client id beyond the 23 bytes of MQTT 3.1 is not refused', async () => {
      const { engine } = await openEngine()
      await new Peer(engine).connected('alice/phone', { clientId: 'x'.repeat(128), protocolId: 'MQIsdp', protocolVersion: 3 })
    })
  })

  it('[P-7.16] writes the return code of a refusal before it closes', async () => {
    const { engine } = await openEngine()
    for (const [error, returnCode] of [
      [new ConnectRefusal(2, 'no such id'), 2],
      [new ConnectRefusal(4, 'no such token'), 4],
      [new ConnectRefusal(5, 'not allowed'), 5],
      [new Error('what nobody expected'), 3],
    ] as const) {
      const peer = new Peer(engine)
      peer.name = () => Promise.reject(error)
      peer.send(connectPacket({ clientId: 'phone' }))
      await peer.events.until(() => peer.closed, 'the end of the connection')
      expect(peer.events.all).to.deep.equal(['connect', `connack ${returnCode}`, 'closed'])
    }
    expect(engine.connections).to.equal(0)
  })

  describe('[P-7.20] hears of the end of an exchange', () => {
    it('when the filters of an UNSUBSCRIBE are gone', async () => {
      const { engine } = await openEngine()
      const peer = await (await new Peer(engine).connected('alice/phone')).subscribed()
      expect(Object.keys(peer.client.subscriptions)).to.deep.equal(['0'])
      let left: string[] | undefined
      peer.whenUnsubscribed = () => (left = Object.keys(peer.client.subscriptions))
      peer.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['0'] })
      await peer.events.take((event) => event === 'unsubscribed', 'the end of the UNSUBSCRIBE')
      await peer.events.take((event) => event === 'unsuback', 'UNSUBACK')
      expect(left).to.deep.equal([])
    })

    it('when an UNSUBSCRIBE names what was never subscribed', async () => {
      const { engine } = await openEngine()
      const peer = await new Peer(engine).connected('alice/phone')
      peer.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['0'] })
      await peer.events.take((event) => event === 'unsubscribed', 'the end of the UNSUBSCRIBE')
      await peer.events.take((event) => event === 'unsuback', 'UNSUBACK')
    })

    for (const clean of [true, false]) {
      it(`after the acknowledgement was written: what is written at the event stands behind it, clean=${clean}`, async () => {
        const { aedes, port } = await openStock()
        const client = await stockClient(port, { clientId: 'phone', clean })
        const mark =
          (messageId: number) =>
          (_filters: unknown, { conn }: Client) =>
            conn.write(generate({ cmd: 'puback', messageId }))
        aedes.on('subscribe', mark(7))
        aedes.on('unsubscribe', mark(8))
        await client.subscribe(['a', 'b/#'])
        await client.unsubscribe(['a', 'b/#'])
        await client.ping()
        const order = client.inbox.all.map(({ cmd, messageId }) => (cmd === 'puback' ? `mark ${messageId}` : cmd))
        expect(order).to.deep.equal(['connack', 'suback', 'mark 7', 'unsuback', 'mark 8', 'pingresp'])
      })
    }
  })

  describe('[P-4.26] of 50 connections with one name, authenticated at once', () => {
    it('leaves exactly one alive, and forgets all when it ends', async () => {
      const { engine, errors } = await openEngine()
      for (let round = 0; round < 5; round++) {
        const old = await (await new Peer(engine).connected('alice/phone')).subscribed()
        const { opened, open } = gate()
        const peers = Array.from({ length: 50 }, () => {
          const peer = new Peer(engine)
          peer.name = () => opened.then(() => 'alice/phone')
          peer.send(connectPacket({ clientId: 'phone', clean: round % 2 === 0 }))
          return peer
        })
        for (const peer of peers) await peer.events.take((event) => event === 'connect', 'the authentication to begin')
        open()
        for (const peer of peers) {
          await peer.events.until(
            () => peer.closed || peer.events.all.includes('ready'),
            'each CONNECT to be answered, or its connection to be closed',
          )
        }
        expect(old.closed).to.equal(true)
        const alive = peers.filter(({ closed }) => !closed)
        expect([alive.length, engine.connections]).to.deep.equal([1, 1])
        // The one that is left works.
        await (alive[0] as Peer).subscribed()
        for (const { pipe } of peers) pipe.destroy()
        for (const peer of peers) await peer.events.until(() => peer.closed, 'the end')
        // aedes hears of it in one of the next turns.
        for (let turn = 0; turn < 100 && engine.connections > 0; turn++) await nextTurn()
        expect(engine.connections).to.equal(0)
      }
      expect(errors).to.deep.equal([])
    })

    it('aedes leaves more than one if its emitter answers later than in the call', async () => {
      let survivorsMost = 0
      for (let round = 0; round < 5 && survivorsMost < 2; round++) {
        const { opened, open } = gate()
        let waiting = 0
        let allWait = (): void => {}
        const everybody = new Promise<void>((resolve) => (allWait = resolve))
        const { port } = await openStock({
          authenticate: (_client, username, _password, done) => {
            if (username !== 'contender') return done(null, true)
            if (++waiting === 50) allWait()
            void opened.then(() => done(null, true))
          },
        })
        const old = await stockClient(port, { clientId: 'phone' })
        await old.subscribe('a')
        const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(port)))
        const answered = clients.map((client) => client.connect({ clientId: 'phone', username: 'contender' }).catch(() => {}))
        await within(everybody, 'all to authenticate')
        open()
        await Promise.all(answered)
        const pings = await Promise.allSettled(clients.map((client) => client.ping()))
        survivorsMost = Math.max(survivorsMost, pings.filter(({ status }) => status === 'fulfilled').length)
      }
      expect(survivorsMost).to.be.greaterThan(1)
    })
  })

  describe('is not hurt by what crashed older versions of aedes', () => {
    const brokers = {
      'this broker': async () => {
        const it = await testBroker({ openEnabled: true, limits: { qos2OpenMax: 1_000 } })
        return (options: ConnectOptions = {}) => it.client('alice', options)
      },
      'aedes 1.2.0': async () => {
        const { port } = await openStock()
        return (options: ConnectOptions = {}) => stockClient(port, { clientId: 'alice', ...options })
      },
    }

    for (const [name, open] of Object.entries(brokers)) {
      it(`${name}: client ids named like members of every object`, async () => {
        const client = await open()
        for (const clientId of prototypeNames) {
          for (const clean of [true, false]) {
            const first = await client({ clientId, clean })
            const second = await client({ clientId, clean })
            await first.gone(`a newer connection is called ${clientId}, too`)
            await second.ping()
            await second.disconnect()
          }
        }
      })

      it(`${name}: filters and topics named like members of every object`, async () => {
        const client = await open()
        for (const clean of [true, false]) {
          const alice = await client({ clientId: 'phone', clean })
          for (const topic of prototypeNames) {
            await alice.unsubscribe(topic)
            expect(await alice.subscribe(topic)).to.deep.equal([1])
            await alice.publish(topic, `for ${topic}`, { retain: true })
            expect((await alice.message(topic)).text).to.equal(`for ${topic}`)
          }
          await alice.unsubscribe(prototypeNames)
          await alice.disconnect()
        }
      })

      it(`${name}: two PUBRELs in one chunk`, async () => {
        const client = await open()
        for (const clean of [true, false]) {
          const alice = await client({ clientId: 'phone', clean })
          alice.publishNow('open/one', 'once', { qos: 2, messageId: 9 })
          await alice.expect(({ cmd }) => cmd === 'pubrec', 'PUBREC')
          const pubrel = generate({ cmd: 'pubrel', messageId: 9 })
          alice.bytes(Buffer.concat([pubrel, pubrel]))
          for (let at = 0; at < 2; at++) await alice.expect(({ cmd, messageId }) => cmd === 'pubcomp' && messageId === 9, 'PUBCOMP')
          await alice.disconnect()
        }
      })

      it(`${name}: QoS 2 publishes without end whose PUBREL never comes are cut at a thousand`, async () => {
        const client = await open()
        const flood = await client({ clientId: 'flood' })
        for (let messageId = 1; messageId <= 3_000; messageId++) flood.publishNow('open/flood', 'x', { qos: 2, messageId })
        await flood.gone('too many publishes are open')
        expect(flood.inbox.all.filter(({ cmd }) => cmd === 'pubrec').length).to.be.at.most(1_000)
        await (await client({ clientId: 'next' })).publish('open/next', 'served')
      })
    }
  })
})
