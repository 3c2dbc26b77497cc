import { MongoStore } from '../../log/stores/mongo.ts'
import type { Store } from '../../log/stores/store.ts'
import { silentLogger } from '../../seams/logger.ts'
import { startMongo, type TestMongo } from '../support/mongo/server.ts'
import { storeContract } from './store-contract.ts'

describe('the MongoDB store', function () {
  let mongo: TestMongo
  const urls = new WeakMap<Store, string>()

  before(async function () {
    mongo = await startMongo(this)
  })

  after(() => mongo?.stop())

  storeContract('the MongoDB store', {
    make: async () => mongoStore(mongo.freshUrl()),
    again: (store) => mongoStore(urls.get(store) as string),
    shared: true,
  })

  function mongoStore(url: string): Store {
    const store = new MongoStore({ url, logger: silentLogger, trimGraceMs: 0 })
    urls.set(store, url)
    return store
  }
})
