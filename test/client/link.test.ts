/** The life of the connection, over a server, a network and a clock that are played: no test waits. */
import { expect } from 'chai'
import { bounds } from '../../client/bounds.ts'
import { ClientError } from '../../client/errors.ts'
import { linkEvents, linkStates, linkTable } from '../../client/link-table.ts'
import { network, World } from './link-world.ts'
import { failureOf } from './rig.ts'
import { settle } from './sim.ts'

describe('link: the table', () => {
  it('has an answer for every event in every state, and none leaves closed', () => {
    for (const state of linkStates) {
      expect(Object.keys(linkTable[state]).sort(), state).to.deep.equal([...linkEvents].sort())
      expect(linkTable[state].close, state).to.equal(state === 'closed' ? null : 'closed')
    }
    expect(Object.values(linkTable.closed).filter((next) => next !== null)).to.deep.equal([])
  })

  it('every state can be reached, and online from every state but closed', () => {
    const reachable = (from: string): Set<string> => {
      const seen = new Set<string>([from])
      for (const state of seen) for (const next of Object.values(linkTable[state as 'idle'])) if (next !== null) seen.add(next)
      return seen
    }
    expect([...reachable('idle')].sort()).to.deep.equal([...linkStates].sort())
    for (const state of linkStates) expect(reachable(state).has('online'), state).to.equal(state !== 'closed')
  })
})

describe('link', () => {
  it('[P-10.1] exchanges the token, opens, and says so', async () => {
    const world = await new World().start()
    expect(world.told).to.deep.equal(['opened mqtt'])
    expect(world.statuses.map(({ connection }) => connection)).to.deep.equal(['online'])
    expect(world.mqtt.last.credential).to.include({ token: 'broker-1', mqttUrl: 'wss://sync.example.com/mqtt' })
    expect(world.link.session).to.equal(world.mqtt.last)
    expect(await world.link.credential()).to.equal(world.mqtt.last.credential)
  })

  it('[P-12.3] a server that is away is tried again after pauses that grow to the longest, with jitter', async () => {
    const world = new World()
    world.mqtt.answer = network
    let chance = 0
    world.timers.random = () => (chance = (chance + 0.37) % 1)
    await world.start()
    await world.timers.pass(10 * 60_000)
    const { pausesMs } = world
    for (const [at, pause] of pausesMs.entries()) {
      const span = Math.min(bounds.retryLongestMs, bounds.retryFirstMs * 2 ** at)
      expect(pause, `pause ${at}`).to.be.within(span / 2, span)
    }
    expect(pausesMs.length).to.be.within(15, 50)
    expect(new Set(pausesMs.slice(8)).size, 'no two alike').to.equal(pausesMs.length - 8)
    expect(world.askedMs, 'the token in hand is good').to.have.length(1)
    expect(
      world.statuses.map(({ connection }) => connection),
      'it does not flicker',
    ).to.deep.equal(['offline'])
    world.mqtt.answer = () => {}
    await world.timers.pass(bounds.retryLongestMs)
    expect(world.statuses.at(-1)).to.include({ connection: 'online', error: undefined })
  })

  it('[P-12.3] a session that is cut again and again is not opened faster and faster', async () => {
    const world = await new World().start()
    for (let cut = 0; cut < 12; cut++) {
      world.mqtt.last.end(new ClientError('network'))
      await world.timers.pass(bounds.retryLongestMs)
    }
    const first = world.pausesMs.map((pause) => Math.round(pause))
    expect(first[0], 'it stood for long before').to.be.lessThan(bounds.retryFirstMs + 1)
    const quick = new World()
    quick.mqtt.answer = () => {
      setImmediate(() => quick.mqtt.last.end(new ClientError('network')))
    }
    await quick.start()
    await quick.timers.pass(5 * 60_000)
    expect(quick.mqtt.attemptsMs.length, 'opened and cut at once').to.be.within(10, 30)
  })

  it('[P-7.16] a fresh token that the session refuses surfaces at once; one in hand is exchanged once before', async () => {
    const world = new World()
    world.mqtt.answer = () => {
      throw new ClientError('unauthorized')
    }
    await world.start()
    expect([world.connection, world.askedMs.length, world.mqtt.attemptsMs.length]).to.deep.equal(['refused', 1, 1])
    await world.timers.pass(bounds.refusedRetryMs - 1)
    expect([world.askedMs.length, world.mqtt.attemptsMs.length]).to.deep.equal([1, 1])

    const held = await new World().start()
    held.mqtt.answer = ({ token }) => {
      if (token === 'broker-1') throw new ClientError('token-expired')
    }
    held.mqtt.last.end(new ClientError('network'))
    await held.timers.pass(bounds.retryFirstMs)
    expect([held.connection, held.askedMs.length, held.mqtt.last.credential.token]).to.deep.equal(['online', 2, 'broker-2'])
  })

  it('[P-7.9] waking renews first, then asks whether the server is still there', async () => {
    const world = await new World().start()
    world.timers.away(3_600_000 - 60_000)
    world.wake()
    await settle()
    expect(world.mqtt.last.calls).to.deep.equal(['renew', 'probe'])
    expect(world.connection).to.equal('online')
    world.wake()
    await settle()
    expect(world.mqtt.last.calls, 'the token is fresh').to.deep.equal(['renew', 'probe', 'probe'])
    expect(world.askedMs).to.have.length(2)
  })

  it('[P-7.9] waking to a dead connection: renewed, found dead, opened again', async () => {
    const world = await new World().start()
    const before = world.mqtt.last
    before.renewing = before.probing = async () => {
      throw new ClientError('network')
    }
    world.timers.away(3 * 3_600_000)
    world.wake()
    await world.timers.pass(bounds.retryFirstMs)
    expect(before.isOver).to.equal(true)
    expect(world.told).to.deep.equal(['opened mqtt', 'lost network', 'opened mqtt'])
    expect(world.mqtt.last.credential.token, 'fetched on waking').to.equal('broker-2')
  })

  it('[P-12.3] waking and retry end a pause at once', async () => {
    for (const end of ['wake', 'retry'] as const) {
      const world = new World()
      world.mqtt.answer = network
      await world.start()
      await world.timers.pass(120_000)
      const attempts = world.mqtt.attemptsMs.length
      world.mqtt.answer = () => {}
      if (end === 'wake') world.wake()
      else world.link.retry()
      await settle()
      expect([end, world.connection, world.mqtt.attemptsMs.length]).to.deep.equal([end, 'online', attempts + 1])
    }
  })

  it('[P-6.15] silence is looked into by one round trip, and sound is not', async () => {
    const world = await new World().start()
    const at = { ctl: 'at', pos: 'eeeeeeee.1.mmmm', head: 'eeeeeeee.1.mmmm', first: 'eeeeeeee.1.mmmm', ts: 1 } as const
    for (let n = 0; n < 10; n++) {
      await world.timers.pass(30_000)
      world.mqtt.last.events.control('spaces/board-7/#', at)
    }
    expect(world.mqtt.last.calls).to.deep.equal([])
    await world.timers.pass(bounds.quietMs)
    expect(world.mqtt.last.calls).to.deep.equal(['probe'])
    world.mqtt.last.probing = async () => {
      throw new ClientError('network')
    }
    await world.timers.pass(bounds.quietMs + bounds.retryFirstMs)
    expect(world.told.slice(-2)).to.deep.equal(['lost network', 'opened mqtt'])
  })

  it('[P-7.21] where WebSocket is blocked it goes over to HTTP, and back when it can', async () => {
    const world = new World('auto')
    world.mqtt.answer = network
    await world.start()
    await world.timers.pass(5_000)
    expect(world.told).to.deep.equal(['opened http'])
    expect(world.mqtt.attemptsMs).to.have.length(2)
    expect(world.link.status.transport).to.equal('http')
    await world.timers.pass(10_000)
    world.http.last.end(new ClientError('network'))
    await world.timers.pass(bounds.retryFirstMs)
    expect(world.told, 'HTTP at once: the other has just been shown not to work').to.deep.equal([
      'opened http',
      'lost network',
      'opened http',
    ])
    await world.timers.pass(bounds.betterTransportMs + 1_000)
    expect(world.mqtt.attemptsMs, 'tried beside HTTP').to.have.length(3)
    expect(world.told).to.have.length(3)
    world.mqtt.answer = () => {}
    await world.timers.pass(bounds.betterTransportMs)
    expect(world.told.slice(3)).to.deep.equal(['lost network', 'opened mqtt'])
    expect(world.http.last.isOver).to.equal(true)
    expect(world.link.status).to.include({ connection: 'online', transport: 'mqtt' })
  })

  it('[P-7.21] a server that is away altogether is looked for on both ways', async () => {
    const world = new World('auto')
    world.mqtt.answer = world.http.answer = network
    await world.start()
    await world.timers.pass(60_000)
    expect(world.mqtt.attemptsMs.length).to.be.greaterThan(world.http.attemptsMs.length)
    expect(world.http.attemptsMs.length).to.be.greaterThan(1)
    world.mqtt.answer = () => {}
    await world.timers.pass(2 * bounds.retryLongestMs)
    expect(world.told).to.deep.equal(['opened mqtt'])
  })

  it('[P-7.16] a refusal is none of the transport’s fault: it is not changed', async () => {
    const world = new World('auto')
    world.mqtt.answer = () => {
      throw new ClientError('forbidden')
    }
    await world.start()
    await world.timers.pass(10 * bounds.refusedRetryMs)
    expect(world.http.attemptsMs).to.deep.equal([])
    expect(world.connection).to.equal('refused')
  })

  it('[P-7.23] close() in every state ends everything, tells nothing more, and leaves no timer', async () => {
    const states: Readonly<Record<string, (world: World) => Promise<void> | void>> = {
      idle: () => {},
      token: (world) => {
        world.getToken = () => new Promise(() => {})
        return void world.start()
      },
      opening: async (world) => {
        world.mqtt.answer = (_credential, signal) =>
          new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
        await world.start()
      },
      'opening, deaf to the end': async (world) => {
        world.mqtt.answer = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
        world.link.start()
        await new Promise((resolve) => setImmediate(resolve))
      },
      online: async (world) => void (await world.start()),
      renewing: async (world) => {
        await world.start()
        world.getToken = () => new Promise(() => {})
        world.timers.away(3_500_000)
        await world.timers.pass(0)
      },
      reviving: async (world) => {
        await world.start()
        world.mqtt.last.probing = () => new Promise(() => {})
        world.wake()
      },
      waiting: async (world) => {
        world.mqtt.answer = network
        await world.start()
      },
      refused: async (world) => {
        world.exchange = () => world.refused()
        await world.start()
      },
    }
    for (const [state, reach] of Object.entries(states)) {
      const world = new World()
      await reach(world)
      await world.link.close()
      const statuses = world.statuses.length
      await settle()
      expect(world.connection, state).to.equal('closed')
      expect(world.timers.size, `${state}: timers`).to.equal(0)
      expect(
        world.mqtt.sessions.every(({ isOver }) => isOver),
        `${state}: sessions`,
      ).to.equal(true)
      world.link.retry()
      world.link.start()
      world.wake()
      await world.timers.pass(10 * 60_000)
      expect(world.statuses, state).to.have.length(statuses)
      expect((await failureOf(world.link.credential())).code).to.equal('closed')
      if (world.told.length > 0) expect(world.told, state).to.deep.equal(['opened mqtt', 'lost closed'])
    }
  })
})
