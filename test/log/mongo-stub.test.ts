/** What a MongoDB can do to a store at the worst moment, played by a stub. */
import { MongoStore } from '../../log/stores/mongo.ts'
import type { Store } from '../../log/stores/store.ts'
import { silentLogger } from '../../seams/logger.ts'
import { MongoStub } from '../support/mongo/stub.ts'
import { storeContract } from './store-contract.ts'

const stubs: MongoStub[] = []
const urls = new WeakMap<Store, string>()

async function startStub(): Promise<MongoStub> {
  const stub = await MongoStub.start()
  stubs.push(stub)
  return stub
}

function storeAt(url: string): Store {
  const store = new MongoStore({ url, logger: silentLogger, trimGraceMs: 0 })
  urls.set(store, url)
  return store
}

afterEach(() => Promise.all(stubs.splice(0).map((stub) => stub.stop())))

storeContract('the MongoDB store on the stub', {
  make: async () => storeAt((await startStub()).url),
  again: (store) => storeAt(urls.get(store) as string),
  shared: true,
})
