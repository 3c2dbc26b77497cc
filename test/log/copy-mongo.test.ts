/** From the embedded store to MongoDB, and a backup from there. */
import { expect } from 'chai'
import { join } from 'node:path'
import { BackupReader, writeBackup } from '../../log/backup.ts'
import { copyStore } from '../../log/copy.ts'
import { Log } from '../../log/log.ts'
import { restoreInto } from '../../log/restore.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { MongoStore } from '../../log/stores/mongo.ts'
import type { Store } from '../../log/stores/store.ts'
import { verifyStore } from '../../log/verify.ts'
import { silentLogger } from '../../seams/logger.ts'
import { startMongo, type TestMongo } from '../support/mongo/server.ts'
import { tempFolder } from '../support/temp.ts'
import { contentOf, fillLimits, fillStore, heads, publish, statesOf, trimmedStream } from './filled-store.ts'

const names = { fromName: 'the source', toName: 'the target' }

describe('a site that moves to MongoDB', function () {
  this.timeout(60_000)
  let mongo: TestMongo

  before(async function () {
    mongo = await startMongo(this)
  })

  after(() => mongo?.stop())

  it('[P-2.21], [P-2.7], [P-1.1] keeps epoch, entries, states, ids and sessions, and goes on where it stood', async () => {
    const folder = join(await tempFolder(), 'log')
    const level = (): Store => new LevelStore({ folder, logger: silentLogger })
    const epoch = await fillStore(level())
    const states = await statesOf(level())
    const url = mongo.freshUrl()
    const [source, target] = [level(), mongoStore(url)]
    await copyStore(source, target, names)
    const content = await contentOf(source)
    expect(await contentOf(target)).to.deep.equal(content)
    await Promise.all([source.close(), target.close()])
    expect(await statesOf(mongoStore(url))).to.deep.equal(states)
    const log = await Log.open({ store: mongoStore(url), limits: fillLimits })
    expect(log.epoch).to.equal(epoch)
    for (const [name, head] of Object.entries(heads)) {
      await publish(log, name, head + 1)
      expect((await log.stream(name)).headSeq, name).to.equal(head + 1)
    }
    await log.trim(trimmedStream, 60)
    await log.close()
    const moved = mongoStore(url)
    await moved.open({ existing: true })
    expect((await verifyStore(moved, { limits: fillLimits })).findings).to.deep.equal([])
    await moved.close()
  })

  it('[P-2.21] is backed up from there and restored into another database', async () => {
    const [source, target] = [mongoStore(mongo.freshUrl()), mongoStore(mongo.freshUrl())]
    const memory = new MemoryStore()
    await fillStore(memory)
    await copyStore(memory, source, names)
    const reader = new BackupReader(writeBackup(source, { epoch: 'AbCdEfGh', at: 1_000 }))
    await reader.header()
    await restoreInto(target, reader, { name: 'the target' })
    expect(await contentOf(target)).to.deep.equal(await contentOf(source))
    await Promise.all([source.close(), target.close()])
  })

  it('does not begin a database that must be there, and copies into none that was begun', async () => {
    const url = mongo.freshUrl()
    const store = mongoStore(url)
    expect(await store.open({ existing: true }).catch((error: Error) => error.message)).to.include('there is no store in the database')
    await fillStore(mongoStore(url))
    const source = new MemoryStore()
    await fillStore(source)
    const target = mongoStore(url)
    expect(await copyStore(source, target, names).catch((error: Error) => error.message)).to.include('is not empty')
    await target.close()
  })
})

function mongoStore(url: string): Store {
  return new MongoStore({ url, logger: silentLogger, trimGraceMs: 60_000 })
}
