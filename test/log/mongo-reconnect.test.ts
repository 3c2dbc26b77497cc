/** The driver's watcher of a server can stop for good; the store does not stop with it. */
import { expect } from 'chai'
import { MongoStore } from '../../log/stores/mongo.ts'
import { silentLogger } from '../../seams/logger.ts'
import { Log } from '../../log/log.ts'
import { publish } from '../support/mongo/log-on.ts'
import { MongoStub } from '../support/mongo/stub.ts'

describe('MongoDB behind a driver that has given up', function () {
  this.timeout(60_000)

  it('[P-8.14] is connected to anew, without a restart', async () => {
    const stub = await MongoStub.start()
    // Once the driver holds this server for lost it would look again in an hour.
    const url = `${stub.url.split('?')[0]}?serverSelectionTimeoutMS=200&heartbeatFrequencyMS=3600000&minHeartbeatFrequencyMS=3600000`
    const log = await Log.open({ store: new MongoStore({ url, logger: silentLogger, reconnectMs: 300 }), logger: silentLogger })
    try {
      await publish(log, 'one')
      stub.cutAll()
      let seq = 0
      while (seq === 0) seq = await publish(log, 'two').then(...tried)
      expect(seq).to.equal(2)
    } finally {
      await log.close()
      await stub.stop()
    }
  })
})

/** The seq of what was published; 0 where it was refused, a moment later. */
const tried = [
  ({ seq }: { readonly seq: number }): number => seq,
  (): Promise<number> => new Promise((resolve) => void setTimeout(() => resolve(0), 50)),
] as const
