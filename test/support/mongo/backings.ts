import { MongoStore } from '../../../log/stores/mongo.ts'
import { silentLogger } from '../../../seams/logger.ts'
import type { Backing } from '../nodes.ts'
import { startMongo, type TestMongo } from './server.ts'

/** Begun within a `describe`: a MongoDB for its tests, and a database of it for every call. */
export function mongoBackings(): () => Backing {
  let mongo: TestMongo
  before(async function () {
    mongo = await startMongo(this)
  })
  after(() => mongo?.stop())
  return () => {
    const url = mongo.freshUrl()
    return { handle: () => new MongoStore({ url, logger: silentLogger }) }
  }
}
