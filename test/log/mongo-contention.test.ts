/** Several nodes that write to one stream of a MongoDB at the same time. */
import { expect } from 'chai'
import { closeLogs, entriesOf, logOn, publish, stream } from '../support/mongo/log-on.ts'
import { startMongo, type TestMongo } from '../support/mongo/server.ts'
import { MongoStub } from '../support/mongo/stub.ts'

const contestMs = 5_000

describe('MongoDB with several writers', function () {
  this.timeout(60_000)
  let mongo: TestMongo | undefined
  let stub: MongoStub | undefined

  afterEach(async () => {
    await closeLogs()
    await mongo?.stop()
    await stub?.stop()
    mongo = stub = undefined
  })

  it('[P-14.2] each of four gets at least a tenth of the commits, and no entry is lost or doubled', async function () {
    mongo = await startMongo(this)
    const url = mongo.freshUrl()
    const nodes = await Promise.all(['a', 'b', 'c', 'd'].map(async (name) => ({ name, log: await logOn(url), stored: 0 })))
    const endMs = Date.now() + contestMs
    await Promise.all(
      nodes.map(async (node) => {
        while (Date.now() < endMs) await publish(node.log, `${node.name}${node.stored}`).then(() => node.stored++)
      }),
    )
    const entries = await entriesOf(url)
    for (const { name, stored } of nodes) {
      const own = entries.filter((text) => text.startsWith(name))
      expect(own).to.deep.equal(Array.from({ length: stored }, (_, index) => `${name}${index}`))
      expect(stored / entries.length, `the share of ${name} of ${entries.length}`).to.be.at.least(0.1)
    }
  })

  it('[P-14.2] a node that stood before others and is gone is passed by', async () => {
    stub = await MongoStub.start()
    const { data, url } = stub
    const ticket = { _id: `${stream}\u00010000000000000001gone`, s: stream, n: 1, node: 'gone' }
    data.put('queue', [ticket])
    const log = await logOn(url)
    let count = 0
    for (let isThere = true; isThere; count++) {
      await publish(log, String(count))
      isThere = data.documents('queue').some(({ node }) => node === 'gone')
    }
    expect(await entriesOf(url)).to.deep.equal(Array.from({ length: count }, (_, index) => String(index)))
  })
})
