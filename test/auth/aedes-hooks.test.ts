import { once, type EventEmitter } from 'node:events'
import { expect } from 'chai'
import { connectAsync, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { aedesHooks } from '../../auth/index.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { openStockAedes } from '../support/stock-aedes.ts'
import { closeAll, developmentSetting, later, ManualClock, mint, open, RecordingLogger, type Opened } from './support.ts'

/** Real time, because the client library and aedes keep real time too. */
class RealClock extends ManualClock {
  override now(): number {
    return Date.now()
  }
}

interface Broker extends Opened {
  readonly port: number
  /** A token of this user from now, by the real clock. */
  token(name: string, more?: Parameters<typeof mint>[2]): Promise<string>
  readonly hookLog: RecordingLogger
}

async function start(config: { anonymous?: boolean; openEnabled?: boolean } = {}): Promise<Broker> {
  const { setting, key } = await developmentSetting(config)
  const opened = await open({ ...setting, clock: new RealClock(), limits: { revocationPollMs: 1_000 } })
  const hookLog = new RecordingLogger()
  const limits = { ...defaultLimits }
  const hooks = aedesHooks(opened.authority, { limits, openEnabled: config.openEnabled ?? false, clock: opened.clock, logger: hookLog })
  const { port, close } = await openStockAedes(hooks)
  later(close)
  const token = (name: string, more = {}) => mint(key, name, { now: Date.now(), ...more })
  return { ...opened, port, token, hookLog }
}

async function connect(broker: Broker, password: string | undefined, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
    reconnectPeriod: 0,
    connectTimeout: 5_000,
    username: 'anything',
    ...(password === undefined ? {} : { password }),
    ...options,
  })
  client.on('error', () => {})
  later(() => client.endAsync(true))
  return client
}

const connectAs = async (broker: Broker, name: string, options: IClientOptions = {}) => connect(broker, await broker.token(name), options)

const ownWill = { topic: 'users/alice/gone', payload: Buffer.from('1'), qos: 1, retain: false } as const

/** The library types its own events, which `once` of Node cannot read. */
const onceOf = (client: MqttClient, event: 'message' | 'close') => once(client as unknown as EventEmitter, event)

/** The return code of the CONNACK that refuses. */
async function refusedWith(work: Promise<MqttClient>): Promise<unknown> {
  return work.then(
    () => 'connected',
    (error: unknown) => (error as { code: unknown }).code,
  )
}

async function subscribed(client: MqttClient, topic: string): Promise<number | undefined> {
  const granted = await client.subscribeAsync(topic, { qos: 1 }).catch(() => [{ qos: 128 }])
  return granted[0]?.qos
}

const nextMessage = async (client: MqttClient): Promise<string> => {
  const [topic, payload] = (await onceOf(client, 'message')) as [string, Buffer, IPublishPacket]
  return `${topic} ${payload.toString()}`
}

/** Publishes, and tells whether it was acknowledged or the connection closed. */
async function published(client: MqttClient, topic: string, options: { retain?: boolean } = {}): Promise<'acknowledged' | 'closed'> {
  const closed = onceOf(client, 'close').then(() => 'closed' as const)
  const acknowledged = client.publishAsync(topic, 'x', { qos: 1, ...options }).then(
    () => 'acknowledged' as const,
    () => closed,
  )
  return Promise.race([acknowledged, closed])
}

describe('the hooks on a stock aedes', () => {
  afterEach(closeAll)

  it('let a user publish and subscribe what is theirs, on all their devices', async () => {
    const broker = await start()
    const phone = await connectAs(broker, 'alice', { clientId: 'phone' })
    const laptop = await connectAs(broker, 'alice', { clientId: 'laptop' })
    expect(await subscribed(phone, 'users/alice/#')).to.equal(1)
    const message = nextMessage(phone)
    await laptop.publishAsync('users/alice/notes/1', 'hello', { qos: 1 })
    expect(await message).to.equal('users/alice/notes/1 hello')
  })

  it('share a space by its levels', async () => {
    const broker = await start()
    const writer = await connect(broker, await broker.token('alice', { spaces: { b: 'write' } }))
    const reader = await connect(broker, await broker.token('bob', { spaces: { b: 'read' } }))
    expect(await subscribed(reader, 'spaces/b/#')).to.equal(1)
    const message = nextMessage(reader)
    await writer.publishAsync('spaces/b/x', '1', { qos: 1 })
    expect(await message).to.equal('spaces/b/x 1')
    expect(await published(reader, 'spaces/b/x')).to.equal('closed')
  })

  for (const topic of [
    'users/bob/x',
    'users/alicea/x',
    'users/al/x',
    'users/alice',
    'spaces/b/x',
    'outbox/alice/bob/x',
    'free/topic',
    '$SYS/x',
    'users/alice/$x',
    'reply/x/y',
    'put/users/bob/x',
  ]) {
    it(`close a publisher to ${topic} unacknowledged`, async () => {
      const broker = await start()
      const alice = await connectAs(broker, 'alice')
      expect(await published(alice, topic)).to.equal('closed')
      expect(broker.hookLog.audits('refused')).to.have.lengthOf(1)
    })
  }

  for (const filter of [
    'users/bob/#',
    'users/+/x',
    '#',
    '+/bob/#',
    '+/+/+',
    'users/#',
    'spaces/b/#',
    'inbox/bob/#',
    '$SYS/#',
    '$share/g/users/bob/#',
    'sync/users/bob/#',
    'sync/users/alice/#',
    'reply/x/#',
    'open/-/#',
  ]) {
    it(`refuse the filter ${filter} with 0x80`, async () => {
      const broker = await start()
      const alice = await connectAs(broker, 'alice')
      expect(await subscribed(alice, filter)).to.equal(128)
      expect(await subscribed(alice, 'users/alice/#')).to.equal(1)
    })
  }

  it('give filters across users to tap alone', async () => {
    const broker = await start()
    const operator = await connect(broker, await broker.token('operator', { tap: true }))
    expect(await subscribed(operator, 'users/+/x')).to.equal(1)
    const message = nextMessage(operator)
    const alice = await connectAs(broker, 'alice')
    await alice.publishAsync('users/alice/x', '1', { qos: 1 })
    expect(await message).to.equal('users/alice/x 1')
  })

  it('keep a will off the topics of others, and let it reach its own', async () => {
    const broker = await start()
    const bob = await connectAs(broker, 'bob')
    await subscribed(bob, 'users/bob/#')
    const received: string[] = []
    bob.on('message', (topic) => received.push(topic))
    const attacker = await connectAs(broker, 'alice', {
      will: { topic: 'users/bob/x', payload: Buffer.from('evil'), qos: 1, retain: true },
    })
    attacker.stream.destroy()
    // A second will, which is allowed, shows that the first has had its time.
    const honest = await connectAs(broker, 'bob', {
      clientId: 'second',
      will: { topic: 'users/bob/gone', payload: Buffer.from('1'), qos: 1, retain: false },
    })
    const message = nextMessage(bob)
    honest.stream.destroy()
    expect(await message).to.equal('users/bob/gone 1')
    expect(received).to.deep.equal(['users/bob/gone'])
    expect(broker.hookLog.audits('refused')).to.have.lengthOf(1)
    const again = await connectAs(broker, 'bob', { clientId: 'third' })
    const retained: string[] = []
    again.on('message', (topic) => retained.push(topic))
    await subscribed(again, 'users/bob/x')
    await again.publishAsync('users/bob/end', 'x', { qos: 1 })
    expect(retained).to.deep.equal([])
  })

  it('keep retained messages of others unread, and unwritten', async () => {
    const broker = await start()
    const bob = await connectAs(broker, 'bob')
    await bob.publishAsync('users/bob/secret', 'x', { qos: 1, retain: true })
    const alice = await connectAs(broker, 'alice')
    const seen: string[] = []
    alice.on('message', (topic) => seen.push(topic))
    for (const filter of ['users/bob/secret', 'users/+/secret', '#']) expect(await subscribed(alice, filter)).to.equal(128)
    await subscribed(alice, 'users/alice/#')
    const own = nextMessage(alice)
    await alice.publishAsync('users/alice/x', '1', { qos: 1 })
    await own
    expect(seen).to.deep.equal(['users/alice/x'])
    expect(await published(alice, 'users/bob/secret', { retain: true })).to.equal('closed')
  })

  it('never let two users with one client id meet: no take-over, no session of the other [P-4.16]', async () => {
    const broker = await start()
    const bob = await connectAs(broker, 'bob', { clientId: 'phone', clean: false })
    await subscribed(bob, 'users/bob/#')
    let closed = false
    bob.on('close', () => (closed = true))
    const connack = new Promise<boolean>((resolve) => {
      void connectAs(broker, 'alice', { clientId: 'phone', clean: false }).then((alice) => resolve(alice.connected))
    })
    expect(await connack).to.equal(true)
    const message = nextMessage(bob)
    await bob.publishAsync('users/bob/x', '1', { qos: 1 })
    expect(await message).to.equal('users/bob/x 1')
    expect(closed).to.equal(false)
  })

  it('hold back what a stored session may no longer see', async () => {
    const broker = await start()
    const withSpace = await broker.token('alice', { spaces: { b: 'read' } })
    const first = await connect(broker, withSpace, { clientId: 'phone', clean: false })
    expect(await subscribed(first, 'spaces/b/#')).to.equal(1)
    expect(await subscribed(first, 'users/alice/#')).to.equal(1)
    await first.endAsync()
    const writer = await connect(broker, await broker.token('bob', { spaces: { b: 'write' } }))
    await writer.publishAsync('spaces/b/x', 'queued', { qos: 1 })
    const seen: string[] = []
    const phone = await connectAs(broker, 'alice', { clientId: 'phone', clean: false })
    phone.on('message', (topic) => seen.push(topic))
    await writer.publishAsync('spaces/b/x', 'live', { qos: 1 })
    await phone.publishAsync('users/alice/end', 'x', { qos: 1 })
    if (seen.length === 0) await nextMessage(phone)
    expect(seen).to.deep.equal(['users/alice/end'])
  })

  it('refuse a missing, a forged and an expired token with return code 4, and another client with 5', async () => {
    const broker = await start()
    expect(await refusedWith(connect(broker, undefined))).to.equal(4)
    expect(await refusedWith(connect(broker, 'hunter2'))).to.equal(4)
    expect(await refusedWith(connect(broker, await broker.token('alice', { now: Date.now() - 7_200_000 })))).to.equal(4)
    const { access_token } = await broker.authority.exchange({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: await broker.token('alice'),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      client_id: 'phone',
    })
    expect(await refusedWith(connect(broker, access_token, { clientId: 'laptop' }))).to.equal(5)
    expect((await connect(broker, access_token, { clientId: 'phone' })).connected).to.equal(true)
  })

  it('close a connection at the exp of its token, and keep its will back', async () => {
    const broker = await start()
    const token = await broker.token('alice', { ttlMs: 2_000 })
    const client = await connect(broker, token, { will: ownWill })
    const { exp } = JSON.parse(Buffer.from(String(token.split('.')[1]), 'base64url').toString()) as { exp: number }
    await onceOf(client, 'close')
    // A timer may fire within the millisecond before.
    expect(Date.now()).to.be.at.least(exp * 1000 - 1)
    expect(await refusedWith(connect(broker, token))).to.equal(4)
    expect(await broker.hookLog.audit('refused')).to.include({ code: 'token-expired' })
  })

  it('close the connections of a revoked user at once, and keep their wills back', async () => {
    const broker = await start()
    const alice = await connectAs(broker, 'alice', { will: ownWill })
    const bob = await connectAs(broker, 'bob')
    const admin = await broker.authority.authenticate(await broker.token('admin', { grants: ['ops:revoke'] }), undefined)
    const closed = onceOf(alice, 'close')
    await broker.authority.revoke(admin, { uid: 'alice' })
    await closed
    expect(bob.connected).to.equal(true)
    expect(await broker.hookLog.audit('refused')).to.include({ code: 'unauthorized', reason: 'the token was revoked' })
  })

  it('admit anonymous clients to open topics alone', async () => {
    const broker = await start({ anonymous: true, openEnabled: true })
    const lamp = await connect(broker, undefined, { username: '' })
    expect(await subscribed(lamp, '#')).to.equal(1)
    expect(await subscribed(lamp, 'users/alice/#')).to.equal(128)
    const alice = await connectAs(broker, 'alice')
    const seen: string[] = []
    lamp.on('message', (topic) => seen.push(topic))
    // A filter that begins with a wildcard means the open stream: the users' topics stay out.
    await alice.publishAsync('users/alice/private', 'x', { qos: 1 })
    await alice.publishAsync('home/lamp', 'on', { qos: 1 })
    if (seen.length === 0) await nextMessage(lamp)
    expect(seen).to.deep.equal(['home/lamp'])
    expect(await published(lamp, 'users/alice/x')).to.equal('closed')
  })
})
