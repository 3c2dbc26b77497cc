/** Another tab's connection, by the contract of all transports. Each session has a leader of its own. */
import type { Surroundings } from '../../client/request.ts'
import { Tabs } from '../../client/tabs/tabs.ts'
import { mqttTransport } from '../../client/transport/mqtt.ts'
import type { Session, Transport } from '../../client/transport/transport.ts'
import { FakeBrowser } from './fake-tabs.ts'
import { transportContract } from './transport-contract.ts'

let places = 0

transportContract('tabs', (surroundings) => {
  const direct = mqttTransport(surroundings)
  return {
    kind: direct.kind,
    putsInFlightMax: direct.putsInFlightMax,
    async open(credential, events, signal): Promise<Session> {
      const browser = new FakeBrowser()
      const place = `contract ${process.pid} ${places++}`
      const [leader, follower] = [tabs(surroundings, browser, place, 'leader'), tabs(surroundings, browser, place, 'follower')]
      const close = (): void => {
        follower.close()
        leader.close()
      }
      try {
        const quiet = { entry() {}, control() {}, refused() {}, expiring() {}, closed() {} }
        const first = await leader.wrap(direct).open(credential, { ...quiet, expiring: (inMs) => events.expiring(inMs) }, signal)
        const unused: Transport = { ...direct, open: () => Promise.reject(new Error('a follower opens nothing')) }
        const session = await follower.wrap(unused).open(
          credential,
          {
            ...events,
            closed: (reason) => {
              first.close()
              close()
              events.closed(reason)
            },
          },
          signal,
        )
        return {
          follow: (filter) => session.follow(filter),
          unfollow: (filter) => session.unfollow(filter),
          put: (topic, put) => session.put(topic, put),
          // The leader renews for all.
          renew: async (fresh) => {
            await first.renew(fresh)
            await session.renew(fresh)
          },
          probe: () => session.probe(),
          clockOffset: () => session.clockOffset(),
          close: () => session.close(),
        }
      } catch (thrown) {
        close()
        throw thrown
      }
    },
  }
})

function tabs(surroundings: Surroundings, platform: FakeBrowser, place: string, owner: string): Tabs {
  return new Tabs({
    ...surroundings,
    platform,
    place,
    owner,
    owners: () => Promise.resolve([]),
    adopt: () => Promise.resolve(),
    retry() {},
    changed() {},
    onWarning(warning) {
      throw warning
    },
  })
}
