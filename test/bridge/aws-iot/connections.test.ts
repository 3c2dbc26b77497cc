/** The bridge's connections to AWS IoT Core: changed before AWS ends them, and within its bounds. */
import { EventEmitter } from 'node:events'
import { expect } from 'chai'
import type { MqttClient } from 'mqtt'
import type { Principal } from '../../../auth/index.ts'
import { AwsBridge } from '../../../bridge/index.ts'
import { Lane } from '../../../bridge/aws-iot/lane.ts'
import { Log } from '../../../log/log.ts'
import { MemoryStore } from '../../../log/stores/memory.ts'
import { systemClock } from '../../../seams/clock.ts'
import { awsInFlightMax, defaultLimits } from '../../../seams/limits.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { noTelemetry } from '../../../seams/telemetry.ts'
import { AwsWorld, awsCredentials } from '../../support/aws/world.ts'
import { within } from '../../support/waiting.ts'

describe("the bridge's connections to AWS IoT Core", function () {
  this.timeout(60_000)

  it('[P-20.11] are changed as planned, each with fresh credentials, and nothing is lost or comes twice', async () => {
    const world = await AwsWorld.start()
    const log = await Log.open({ store: new MemoryStore() })
    const awsIot = world.settings.awsIot
    if (!awsIot) expect.fail('no configuration')
    const authority = {
      authenticate: () => Promise.reject<Principal>(new Error('nobody puts')),
      isRevoked: () => false,
      onChange: () => () => {},
      onExchange: () => () => {},
      blind: false,
    }
    const bridge = await AwsBridge.open({
      config: awsIot,
      log,
      authority,
      clock: systemClock,
      limits: defaultLimits,
      logger: silentLogger,
      telemetry: noTelemetry,
      credentials: awsCredentials,
      connectionMs: 100,
    })
    try {
      await world.bridged()
      const changes = (): number => world.gateway.connects.filter((clientId) => clientId === 'svc.acme.bridge-in-1').length
      let sent = 0
      // So many that some are on their way at each change.
      const stream = await log.stream('users/alice')
      while (changes() < 6) {
        if (sent - stream.headSeq < 50) world.gateway.publish({ topic: 'acme/users/alice/n', payload: Buffer.from(String(sent++)), qos: 1 })
        await new Promise((resolve) => setImmediate(resolve))
      }
      const all = new Promise<void>((resolve) => {
        const look = (): void => (stream.headSeq >= sent ? resolve() : undefined)
        log.observe(look)
        look()
      })
      await within(all, `${sent} entries`)
      const seen = (await log.read(stream, 1, Infinity)).flatMap((bucket) =>
        Array.from({ length: bucket.count }, (_, at) => Number(bucket.payload(at).toString())),
      )
      expect([...seen].sort((one, other) => one - other)).to.deep.equal(Array.from({ length: sent }, (_, n) => n))
      // One `AssumeRole` for each of the four at least as often as the first has come.
      expect(world.sts.asked.length).to.be.at.least(world.gateway.connects.length)
      expect(world.gateway.closings).to.deep.equal([])
    } finally {
      await bridge.close()
      await log.close()
      await world.close()
    }
  })

  it('[P-20.12] send at most 80 messages a second each, answers first, and so many without their PUBACK', async () => {
    const client = new FakeClient()
    const lane = new Lane({ bytesMax: 1_000_000, behind: () => {} })
    for (let n = 0; n < 100; n++) lane.send({ topic: `entry-${n}`, payload: 'x', qos: 1, stream: 'users/alice' })
    lane.send({ topic: 'answer', payload: 'x', qos: 1, stream: undefined })
    const startedMs = performance.now()
    lane.opened(client as unknown as MqttClient)
    expect(client.topics[0]).to.equal('answer')
    while (client.topics.length < awsInFlightMax) await client.next()
    const tookMs = performance.now() - startedMs
    expect(tookMs, 'after a first 20 at once').to.be.at.least(((awsInFlightMax - 21) * 1000) / 80)
    expect(lane.throttled).to.be.greaterThan(0)
    client.acknowledge(1)
    while (client.topics.length <= awsInFlightMax) await client.next()
    expect(client.topics).to.have.length(awsInFlightMax + 1)
    lane.lost()
  })

  it('[P-20.12] drop envelopes beyond their bound, and say of which streams when there is room again', async () => {
    const client = new FakeClient()
    const behind: string[] = []
    const lane = new Lane({ bytesMax: 1_000, behind: (streams) => void behind.push(...streams) })
    for (let n = 0; n < 10; n++) lane.send({ topic: `entry-${n}`, payload: 'x'.repeat(300), qos: 1, stream: `users/${n}` })
    expect([lane.dropped, lane.bytes]).to.deep.equal([7, 900])
    lane.opened(client as unknown as MqttClient)
    expect(behind).to.deep.equal([])
    client.acknowledge(3)
    expect(behind).to.deep.equal(['users/3', 'users/4', 'users/5', 'users/6', 'users/7', 'users/8', 'users/9'])
    lane.lost()
  })

  it('[P-20.7] sends again over the next connection what the last did not acknowledge, in order', () => {
    const [first, second] = [new FakeClient(), new FakeClient()]
    const lane = new Lane({ bytesMax: 1_000, behind: () => {} })
    lane.opened(first as unknown as MqttClient)
    for (let n = 0; n < 4; n++) lane.send({ topic: `entry-${n}`, payload: 'x', qos: 1, stream: 'users/alice' })
    first.acknowledge(1)
    lane.lost()
    first.acknowledge(3) // Too late: nobody believes it.
    lane.opened(second as unknown as MqttClient)
    expect(second.topics).to.deep.equal(['entry-1', 'entry-2', 'entry-3'])
    second.acknowledge(3)
    expect([lane.messages, lane.bytes]).to.deep.equal([0, 0])
    lane.lost()
  })

  it('[P-20.7] sends again in order what failed one by one when the last connection ended', () => {
    const [first, second] = [new FakeClient(), new FakeClient()]
    const lane = new Lane({ bytesMax: 1_000, behind: () => {} })
    lane.opened(first as unknown as MqttClient)
    for (let n = 0; n < 3; n++) lane.send({ topic: `entry-${n}`, payload: 'x', qos: 1, stream: 'users/alice' })
    first.fail()
    lane.lost()
    lane.opened(second as unknown as MqttClient)
    expect(second.topics).to.deep.equal(['entry-0', 'entry-1', 'entry-2'])
    lane.lost()
  })

  it('[P-20.7] are given up where AWS acknowledges nothing, so that what it has discarded is sent again', () => {
    const client = new FakeClient()
    const [patient, lane] = [100_000, -1].map((ackMs) => new Lane({ bytesMax: 1_000, behind: () => {}, ackMs })) as [Lane, Lane]
    for (const one of [patient, lane]) one.opened(client as unknown as MqttClient)
    lane.check()
    for (const one of [patient, lane]) one.send({ topic: 'entry', payload: 'x', qos: 1, stream: 'users/alice' })
    patient.check()
    expect(client.isDestroyed, 'nothing was sent, or not long ago').to.equal(false)
    lane.check()
    expect(client.isDestroyed).to.equal(true)
    for (const one of [patient, lane]) one.lost()
    expect(lane.messages).to.equal(1)
  })
})

/** Takes what is published, and acknowledges when it is told to. */
class FakeClient extends EventEmitter {
  readonly topics: string[] = []
  isDestroyed = false
  readonly stream = { destroy: (): boolean => (this.isDestroyed = true) }
  readonly #open: ((error?: Error) => void)[] = []

  publish(topic: string, _payload: unknown, _options: object, done: (error?: Error) => void): void {
    this.topics.push(topic)
    this.#open.push(done)
    this.emit('published')
  }

  next(): Promise<void> {
    return new Promise((resolve) => this.once('published', resolve))
  }

  acknowledge(count: number): void {
    for (const done of this.#open.splice(0, count)) done()
  }

  /** As mqtt.js does when it gives the connection up. */
  fail(): void {
    for (const done of this.#open.splice(0)) done(new Error('Connection closed'))
  }
}
