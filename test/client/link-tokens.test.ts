/** The link and its tokens: refusals, renewal, an app that fails. Time is played. */
import { expect } from 'chai'
import { bounds } from '../../client/bounds.ts'
import { ClientError } from '../../client/errors.ts'
import { network, World } from './link-world.ts'
import { failureOf } from './rig.ts'
import { settle } from './sim.ts'

describe('link: tokens', () => {
  it('[P-10.4] a refused token surfaces at once, and nobody is asked again before it is time', async () => {
    const world = new World()
    world.exchange = () => world.refused()
    await world.start()
    expect(world.statuses).to.have.length(1)
    expect(world.statuses[0]).to.include({ connection: 'refused' })
    expect(world.statuses[0]?.error?.code).to.equal('unauthorized')
    for (let n = 0; n < 100; n++) expect((await failureOf(world.link.credential())).code).to.equal('unauthorized')
    await world.timers.pass(bounds.refusedRetryMs - 1)
    expect([world.askedMs.length, world.mqtt.attemptsMs.length]).to.deep.equal([1, 0])
    await world.timers.pass(1)
    expect(world.askedMs).to.have.length(2)
    world.exchange = () => world.granted(3_600)
    world.link.retry()
    await settle()
    expect(world.connection).to.equal('online')
  })

  it('[P-10.25] a session that ends because its token was revoked comes back with another one', async () => {
    const world = await new World().start()
    world.mqtt.last.end(new ClientError('unauthorized', 'the token was revoked'))
    await world.timers.pass(bounds.retryFirstMs)
    expect(world.told).to.deep.equal(['opened mqtt', 'lost unauthorized', 'opened mqtt'])
    expect(world.mqtt.last.credential.token).to.equal('broker-2')
  })

  it('[P-7.9] [P-10.23] a token that expires every 20 s is renewed in place, and the session goes on', async () => {
    const world = new World()
    world.exchange = () => world.granted(20)
    await world.start()
    await world.timers.pass(180_000)
    const { renewed } = world.mqtt.last
    expect(world.told).to.deep.equal(['opened mqtt'])
    expect(renewed.length).to.be.within(9, 18)
    expect(world.askedMs).to.have.length(renewed.length + 1)
    const gaps = world.askedMs.slice(1).map((atMs, at) => atMs - (world.askedMs[at] as number))
    expect(Math.max(...gaps), 'always ahead of expiry').to.be.lessThan(20_000)
    expect(world.statuses.every(({ connection }) => connection === 'online')).to.equal(true)
  })

  it('[P-7.4] the server’s warning renews sooner, and only once', async () => {
    const world = await new World().start()
    world.mqtt.last.events.expiring(60_000)
    await world.timers.pass(29_000)
    expect(world.mqtt.last.calls).to.deep.equal([])
    await world.timers.pass(2_000)
    expect(world.mqtt.last.calls).to.deep.equal(['renew'])
    expect(world.mqtt.last.renewed.map(({ token }) => token)).to.deep.equal(['broker-2'])
    await world.timers.pass(30 * 60_000)
    expect(world.mqtt.last.calls.filter((call) => call === 'renew')).to.have.length(1)
  })

  it('[P-10.23] getToken that gives the same ageing token is not asked faster and faster', async () => {
    const world = new World()
    const endsMs = world.timers.now() + 60_000
    world.getToken = () => 'the same'
    world.exchange = () => {
      const lifeS = Math.floor((endsMs - world.timers.now()) / 1_000)
      return lifeS > 0 ? world.granted(lifeS) : world.refused()
    }
    await world.start()
    await world.timers.pass(60_000)
    expect(world.askedMs.length).to.be.lessThan(15)
    world.mqtt.last.end(new ClientError('network', 'the token ended'))
    await world.timers.pass(bounds.refusedRetryMs / 2)
    expect(world.connection).to.equal('refused')
    const asked = world.askedMs.length
    await world.timers.pass(bounds.refusedRetryMs / 2 - 1_000)
    expect(world.askedMs).to.have.length(asked)
  })

  it('[P-10.1] getToken that throws is tried again later, told from a refusal, while History hears the same', async () => {
    const world = new World()
    world.getToken = () => {
      throw new Error('logged out')
    }
    await world.start()
    expect(world.statuses.at(-1)).to.include({ connection: 'offline' })
    expect(world.statuses.at(-1)?.error).to.include({ code: 'token-source', message: 'getToken() failed: logged out' })
    for (let n = 0; n < 50; n++) expect((await failureOf(world.link.credential())).code).to.equal('token-source')
    expect(world.askedMs).to.have.length(1)
    await world.timers.pass(120_000)
    expect(world.askedMs.length).to.be.within(6, 14)
    world.getToken = () => 'app'
    await world.timers.pass(bounds.retryLongestMs)
    expect(world.connection).to.equal('online')
  })

  it('[P-10.1] getToken that never answers is given up after its time-out, and tried again', async () => {
    const world = new World()
    world.getToken = () => new Promise(() => {})
    await world.start()
    await world.timers.pass(bounds.tokenTimeoutMs - 1)
    expect(world.statuses).to.deep.equal([])
    await world.timers.pass(1)
    expect(world.statuses.at(-1)?.error?.code).to.equal('token-source')
    world.getToken = () => 'app'
    await world.timers.pass(bounds.retryFirstMs)
    expect(world.connection).to.equal('online')
  })

  it('[P-10.1] getToken that gives no text is a fault of the app, in plain words', async () => {
    const world = new World()
    world.getToken = () => undefined as unknown as string
    await world.start()
    expect(world.statuses.at(-1)?.error?.message).to.equal('getToken() gave no text')
  })

  it('[P-7.6] a refused renewal is shown, leaves the session alone, and is not repeated in a hurry', async () => {
    const world = new World()
    world.exchange = () => world.granted(600)
    await world.start()
    world.exchange = () => world.refused()
    await world.timers.pass(490_000)
    expect(world.statuses.at(-1)).to.include({ connection: 'online' })
    expect(world.statuses.at(-1)?.error?.code).to.equal('unauthorized')
    expect(world.askedMs.length).to.equal(2)
    await world.timers.pass(bounds.refusedRetryMs)
    expect(world.askedMs.length).to.equal(3)
    world.exchange = () => world.granted(600)
    world.link.retry()
    await settle()
    expect(world.statuses.at(-1)).to.include({ connection: 'online', error: undefined })
    expect(world.told).to.deep.equal(['opened mqtt'])
  })

  it('[P-10.23] an app that cannot be asked for a token does not end a session whose token still lives', async () => {
    const world = new World()
    world.exchange = () => world.granted(600)
    await world.start()
    world.getToken = network
    await world.timers.pass(500_000)
    world.mqtt.last.end(new ClientError('network'))
    await world.timers.pass(bounds.retryFirstMs)
    expect([world.connection, world.mqtt.last.credential.token]).to.deep.equal(['online', 'broker-1'])
    const asked = world.askedMs.length
    await world.timers.pass(50_000)
    expect(world.askedMs.length - asked, 'with pauses').to.be.lessThan(12)
  })

  it('[P-11.34] after a 401 a request gets another token, once for all who ask; a fresh one that is refused is not exchanged again', async () => {
    const world = await new World().start()
    const used = await world.link.credential()
    expect((await failureOf(world.link.refresh(used))).code, 'it has just been given').to.equal('unauthorized')
    await world.timers.pass(bounds.refusedRetryMs)
    const others = await Promise.all([world.link.refresh(used), world.link.refresh(used), world.link.refresh(used)])
    expect(new Set(others.map(({ token }) => token))).to.deep.equal(new Set(['broker-2']))
    expect(world.askedMs).to.have.length(2)
  })
})
