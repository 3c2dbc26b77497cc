/** What readers notice of retention. */
import { expect } from 'chai'
import { lowestPlaces } from '../../broker/session-places.ts'
import { Retention } from '../../log/retention.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { silentLogger } from '../../seams/logger.ts'
import { noTelemetry } from '../../seams/telemetry.ts'
import { closeAll, TestClock, testBroker, type TestBroker } from '../support/broker.ts'
import type { RawClient } from '../support/raw-mqtt.ts'

const topic = 'users/alice/notes/1'

describe('Retention', () => {
  let clock: TestClock
  let node: TestBroker
  let desk: RawClient

  beforeEach(async () => {
    clock = new TestClock()
    node = await testBroker({ clock })
    desk = await node.client('alice', { clientId: 'desk' })
  })

  afterEach(closeAll)

  async function publish(count: number): Promise<void> {
    for (let at = 0; at < count; at++) await desk.publish(topic, `m${at}`)
  }

  async function sweep({ waits = true } = {}): Promise<void> {
    const { log, store } = node
    const parts = { store, log, clock, limits: defaultLimits, logger: silentLogger, telemetry: noTelemetry }
    const seenSinceMs = clock.now() - defaultLimits.sessionExpiryMs
    const places = async (streams: ReadonlySet<string>): Promise<Map<string, number>> =>
      waits ? await lowestPlaces(log.documents, streams, seenSinceMs) : new Map()
    await new Retention({ ...parts, policies: { users: { entries: 2 } }, places }).sweep()
  }

  async function kept(clientId: string): Promise<void> {
    const client = await node.client('alice', { clientId, clean: false })
    await client.subscribe('users/alice/#')
    await client.disconnect()
  }

  it('[P-2.20], [P-4.17] keeps what the slowest kept session has not acknowledged: it misses nothing', async () => {
    await publish(2)
    await kept('phone')
    await publish(3)
    await kept('tablet')
    await publish(5)
    await sweep()
    expect((await node.log.stream('users/alice')).first).to.equal(3)
    const phone = await node.client('alice', { clientId: 'phone', clean: false, present: true })
    const got = await phone.messages(8)
    expect(got.map(({ text }) => text)).to.deep.equal(['m0', 'm1', 'm2', 'm0', 'm1', 'm2', 'm3', 'm4'])
    await phone.disconnect()
    await sweep()
    expect((await node.log.stream('users/alice')).first).to.equal(6)
  })

  it('[P-2.20], [P-4.22] does not wait for a session that has expired, nor for any where it is told not to', async () => {
    await kept('phone')
    await publish(6)
    await sweep()
    expect((await node.log.stream('users/alice')).first).to.equal(1)
    clock.ms += defaultLimits.sessionExpiryMs + 1
    await sweep()
    expect((await node.log.stream('users/alice')).first).to.equal(5)
    // The token of the connection before has expired, too.
    desk = await node.client('alice', { clientId: 'desk' })
    await kept('tablet')
    await publish(6)
    await sweep({ waits: false })
    expect((await node.log.stream('users/alice')).first).to.equal(11)
    await node.client('alice', { clientId: 'tablet', clean: false, present: false })
    expect(node.discarded()).to.equal(1)
  })

  it('[P-2.19], [P-6.11], [P-9.1] a position behind it gets reset, and the state is still there', async () => {
    await desk.publish('users/alice/kept', 'state', { retain: true })
    await publish(6)
    const { headMark } = await node.log.stream('users/alice')
    await sweep()
    const reader = await node.client('alice', { clientId: 'reader' })
    await reader.subscribe(`sync@${node.log.epoch}.2.${headMark}/users/alice/#`)
    expect(JSON.parse((await reader.message()).text)).to.include({ ctl: 'reset', reason: 'trimmed' })
    await reader.subscribe('users/alice/kept')
    expect(await reader.message()).to.include({ text: 'state', retain: true })
  })
})
