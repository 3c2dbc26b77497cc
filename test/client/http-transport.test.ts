/** Plain HTTP, by the contract of all transports. */
import { expect } from 'chai'
import { FaultProxy } from '../../chaos/faults/proxy.ts'
import { httpTransport } from '../../client/transport/http.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { credentialFrom, Heard, surroundings } from './rig.ts'
import { transportContract } from './transport-contract.ts'

transportContract('http', httpTransport)

describe('transport http: the event stream', () => {
  const board = 'spaces/board-7/#'
  let server: TestServer
  let proxy: FaultProxy
  let reader: Heard
  let writer: Heard

  beforeEach(async () => {
    server = await testServer()
    proxy = await FaultProxy.open('client', server.ports.http)
    const token = await server.token('alice', { spaces: { 'board-7': 'write', 'board-8': 'write' } })
    // A stream that is cut at once is asked for again at once.
    const transport = httpTransport(surroundings({ steadyAfterMs: 0 }))
    reader = await Heard.open(transport, await credentialFrom(`http://127.0.0.1:${proxy.port}`, token))
    writer = await Heard.open(transport, await credentialFrom(server.urls.http, token))
  })
  afterEach(async () => {
    reader.session.close()
    writer.session.close()
    proxy.close()
    await server.stop()
  })

  const numbers = (): unknown[] => reader.entries(board).map(({ data }) => data)
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

  it('[P-18.5] filters that come and go while entries flow cost the others nothing: no gap, no double', async () => {
    await reader.follow(board)
    for (let n = 0; n < 60; n++) {
      await writer.session.put('spaces/board-7/n', { id: `n-${n}`, data: n })
      if (n % 3 === 0) reader.session.follow(`spaces/board-8/part-${n}/#`)
      if (n % 6 === 5) reader.session.unfollow(`spaces/board-8/part-${n - 2}/#`)
    }
    await reader.count(board, 60)
    expect(numbers()).to.deep.equal(upTo(60))
  })

  it('[P-18.5] a proxy that ends the stream is not noticed: it goes on from where it was, within the session', async () => {
    await reader.follow(board)
    for (let n = 0; n < 40; n++) {
      await writer.session.put('spaces/board-7/n', { id: `n-${n}`, data: n })
      if (n % 10 === 4) {
        await reader.count(board, n)
        proxy.cut()
      }
    }
    await reader.count(board, 40)
    expect(numbers()).to.deep.equal(upTo(40))
    expect(reader.told.all.some(({ what }) => what === 'closed')).to.equal(false)
  })

  it('[P-13.9] more filters than the server allows are refused, and the others go on', async () => {
    const filters = upTo(reader.credential.filtersMax + 2).map((n) => `spaces/board-8/part-${n}/#`)
    for (const filter of filters) reader.session.follow(filter)
    await Promise.all(filters.slice(-2).map((filter) => reader.refused(filter)))
    await reader.at(filters[0] as string)
  })
})
