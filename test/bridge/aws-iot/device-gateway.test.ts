/** The stand-in of AWS IoT Core's broker itself, by cases of what AWS says of it: what it let pass it would prove nothing about. */
import { expect } from 'chai'
import type { MqttClient } from 'mqtt'
import { AwsWorld, type Admitted } from '../../support/aws/world.ts'
import type { TestServer } from '../../support/server.ts'
import { Inbox } from '../../support/waiting.ts'

describe("the stand-in of AWS IoT Core's broker", function () {
  this.timeout(60_000)
  let world: AwsWorld
  let server: TestServer
  let alice: Admitted

  before(async () => {
    world = await AwsWorld.start()
    server = await world.server()
    alice = await world.admitted(server.urls.http, await server.token('alice'), 'phone')
  })
  beforeEach(() => {
    world.gateway.closings.length = 0
    Object.assign(world.gateway.switches, {
      denySubscribe: 'close',
      settleMs: 0,
      duplicate: false,
      reorder: 0,
      lose: () => false,
      sessionMs: 3_600_000,
    })
  })
  after(async () => {
    await server?.stop()
    await world?.close()
  })

  const closedBy = (act: (device: MqttClient) => void): Promise<string> => world.closedBy(alice, act)

  for (const [name, act, reason] of [
    ['a topic of 257 bytes', (device) => device.publish(`acme/users/alice/${'x'.repeat(240)}`, 'x'), /too long/],
    ['8 slashes', (device) => device.publish('acme/users/alice/1/2/3/4/5/6', 'x'), /too long/],
    ['a payload of 131,073 bytes', (device) => device.publish('acme/users/alice/x', Buffer.alloc(131_073)), /payload of 131073/],
    ['QoS 2', (device) => device.publish('acme/users/alice/x', 'x', { qos: 2 }), /QoS 2/],
    ['a publish to another user', (device) => device.publish('acme/users/bob/x', 'x', { qos: 1 }), /Publish is denied/],
    ['a reserved topic', (device) => device.publish('$aws/rules/x', 'x', { qos: 1 }), /Publish is denied/],
    ['a retained publish', (device) => device.publish('acme/users/alice/x', 'x', { retain: true }), /RetainPublish is denied/],
    ['a filter across users', (device) => device.subscribe('acme/users/+/x'), /Subscribe is denied/],
    ['the shared subscription of the bridge', (device) => device.subscribe('$share/tidemark/acme/users/#'), /Subscribe is denied/],
  ] as const satisfies readonly (readonly [string, (device: MqttClient) => void, RegExp])[]) {
    it(`closes for ${name}`, async () => expect(await closedBy(act)).to.match(reason))
  }

  it('takes 8 filters in one SUBSCRIBE, and closes for 9', async () => {
    const filters = (count: number): string[] => Array.from({ length: count }, (_, n) => `acme/users/alice/${n}`)
    const device = await world.device(alice)
    await device.subscribeAsync(filters(8), { qos: 1 })
    const reason = await closedBy((other) => other.subscribe(filters(9), { qos: 1 }))
    expect(reason).to.match(/9 filters/)
  })

  it('keeps a session with what came at QoS 1 for its time, and no longer', async () => {
    const present: boolean[] = []
    for (const sessionMs of [3_600_000, 0]) {
      world.gateway.switches.sessionMs = sessionMs
      const device = await world.device(alice, { clean: false })
      await device.subscribeAsync('acme/users/alice/#', { qos: 1 })
      await device.endAsync()
      world.gateway.publish({ topic: 'acme/users/alice/x', payload: Buffer.from('x'), qos: 1 })
      const back = await world.device(alice, { clean: false, resubscribe: false })
      present.push(world.gateway.filtersOf(alice.mqtt.client_id).length > 0)
      await back.endAsync()
    }
    expect(present).to.deep.equal([true, false])
  })

  it('brings what was retained to its exact topic, and not to wildcards', async () => {
    world.gateway.publish({ topic: 'acme/users/alice/kept', payload: Buffer.from('kept'), qos: 1, retain: true })
    const device = await world.device(alice)
    const inbox = new Inbox<[string, boolean]>()
    device.on('message', (_topic, payload, { retain }) => inbox.add([payload.toString(), retain]))
    await device.subscribeAsync(['acme/users/alice/#', 'acme/users/alice/+'], { qos: 1 })
    await device.subscribeAsync('acme/users/alice/kept', { qos: 1 })
    world.gateway.publish({ topic: 'acme/users/alice/kept', payload: Buffer.from('live'), qos: 0 })
    await inbox.take(([text]) => text === 'live', 'the live message')
    expect(inbox.all.filter(([text]) => text === 'kept')).to.deep.equal([['kept', true]])
    await device.endAsync()
  })

  it('lets nobody in with a will that they may not publish, or a retained one', async () => {
    for (const will of [
      { topic: 'acme/users/bob/will', payload: Buffer.from('x'), qos: 1, retain: false },
      { topic: 'acme/users/alice/will', payload: Buffer.from('x'), qos: 1, retain: true },
    ] as const)
      expect(
        await world.device(alice, { will }).then(
          () => 'let in',
          (error: Error) => error.message,
        ),
      ).to.equal('closed before CONNACK')
    expect(world.gateway.closings.map((reason) => reason.includes('will'))).to.deep.equal([true, true])
  })

  it('a denied SUBSCRIBE is SUBACK 0x80 where the switch says so, and the connection stays', async () => {
    world.gateway.switches.denySubscribe = 'suback'
    const device = await world.device(alice)
    const granted = await new Promise((resolve) =>
      device.subscribe(['acme/users/bob/#', 'acme/users/alice/#'], { qos: 1 }, (_error, _granted, suback) => resolve(suback?.granted)),
    )
    expect(granted).to.deep.equal([128, 1])
    await device.publishAsync('acme/users/alice/x', 'x', { qos: 1 })
  })

  it('closes before CONNACK for another client id', async () => {
    const failed = await world.device(alice, { clientId: 'acme.alice.laptop' }).catch((error: unknown) => String(error))
    expect(failed).to.match(/closed before CONNACK/)
    expect(world.gateway.closings.at(-1)).to.match(/Connect is denied/)
  })

  it('the newer connection of a client id wins', async () => {
    const reason = await closedBy(() => void world.device(alice))
    expect(reason).to.match(/taken over/)
  })

  it('matches as AWS does, and duplicates, reorders and delays on command', async () => {
    const device = await world.device(alice)
    const inbox = new Inbox<string>()
    device.on('message', (topic, payload) => inbox.add(`${topic} ${payload.toString()}`))
    await device.subscribeAsync('acme/users/alice/a/#', { qos: 1 })
    const send = (topic: string, text: string): void => world.gateway.publish({ topic, payload: Buffer.from(text), qos: 1 })
    send('acme/users/alice/a', 'not below it')
    world.gateway.switches.duplicate = true
    send('acme/users/alice/a/b', 'twice')
    await inbox.until(() => inbox.all.length === 2, 'both copies')
    expect(inbox.all).to.deep.equal(['acme/users/alice/a/b twice', 'acme/users/alice/a/b twice'])
    Object.assign(world.gateway.switches, { duplicate: false, reorder: 8 })
    for (let n = 0; n < 8; n++) send('acme/users/alice/a/n', String(n))
    await inbox.until(() => inbox.all.length === 10, 'eight more')
    const order = inbox.all.slice(2).map((text) => Number(text.split(' ')[1]))
    expect(order).to.have.members([0, 1, 2, 3, 4, 5, 6, 7])
    expect(order).to.not.deep.equal([0, 1, 2, 3, 4, 5, 6, 7])
    Object.assign(world.gateway.switches, { reorder: 0, settleMs: 60_000 })
    await device.subscribeAsync('acme/users/alice/late', { qos: 1 })
    send('acme/users/alice/late', 'before anything is delivered')
    send('acme/users/alice/a/end', 'end')
    await inbox.until(() => inbox.all.at(-1) === 'acme/users/alice/a/end end', 'the end')
    expect(inbox.all).to.have.length(11)
  })
})
