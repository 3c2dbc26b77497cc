/** A server whose clock is far from that of its database: it appends nothing, and says why on every door. */
import { expect } from 'chai'
import { createLogger } from '../../cli/logger.ts'
import { MongoStub } from '../support/mongo/stub.ts'
import { destroyRawClients, RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { Inbox } from '../support/waiting.ts'

type Json = Record<string, unknown>

describe('a server over a database with another clock', function () {
  this.timeout(60_000)
  let stub: MongoStub
  let server: TestServer | undefined

  beforeEach(async () => {
    stub = await MongoStub.start()
  })
  afterEach(async () => {
    destroyRawClients()
    await server?.stop()
    await stub.stop()
  })

  it('[P-12.25, P-11.9, P-13.40] appends nothing while they differ by more than clockSkewMs, and names the reason', async () => {
    const lines = new Inbox<string>()
    const logger = createLogger('info', { write: (line) => lines.add((JSON.parse(line) as { msg: string }).msg) })
    stub.aheadMs = 7_000
    const settings = { store: stub.url, limits: { clockSkewMs: 9_000 } }
    server = await testServer({ store: 'level', settings, overrides: { logger } })
    const token = await server.token('alice')
    const { http } = server.urls
    const publish = (): Promise<Response> =>
      fetch(`${http}/v1/streams/users/alice/entries`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ topic: 'x', data: 1 }),
      })
    expect((await publish()).status).to.equal(201)
    const client = await RawClient.open(server.ports.mqtt)
    await client.connect({ clientId: 'phone', password: token })

    stub.aheadMs = 12_000
    await lines.take((line) => line.startsWith('the database takes no entries'), 'the clocks to be found apart', 20_000)
    for (const response of [await publish(), await fetch(`${http}/readyz`)]) {
      const body = (await response.json()) as Json
      expect([response.status, body['code']]).to.deep.equal([503, 'clock-skew'])
      expect(body['detail']).to.include('clocks')
    }
    client.publishNow('users/alice/x', 'x')
    await client.gone('its publish was not taken')
    const late = await RawClient.open(server.ports.mqtt)
    expect(await late.connect({ clientId: 'late', password: token })).to.include({ returnCode: 3 })

    stub.aheadMs = 0
    await lines.take((line) => line === 'the database takes entries again', 'the clocks to be near again')
    expect((await fetch(`${http}/readyz`)).status).to.equal(200)
    expect((await publish()).status).to.equal(201)
  })
})
