/** Databases that a store must not write to, or not go on writing to: it says why, and nothing is acknowledged. */
import { expect } from 'chai'
import type { Document } from 'mongodb'
import { Log } from '../../log/log.ts'
import { MongoStore, type MongoOptions } from '../../log/stores/mongo.ts'
import { SyncError } from '../../protocol/errors.ts'
import type { Logger } from '../../seams/logger.ts'
import { closeLogs, entriesOf, logOn, publish, stream } from '../support/mongo/log-on.ts'
import { startMongo, type TestMongo } from '../support/mongo/server.ts'
import { MongoStub } from '../support/mongo/stub.ts'
import { Inbox } from '../support/waiting.ts'
import { plainBucket } from './buckets.ts'

describe('a MongoDB that cannot be used', function () {
  this.timeout(30_000)
  let stub: MongoStub
  let lines: Inbox<string>
  const logger: Logger = { debug: () => {}, info: heard, warn: heard, error: heard }

  function heard(fields: object, message: string): void {
    lines.add(`${message} ${JSON.stringify(fields)}`)
  }

  beforeEach(async () => {
    lines = new Inbox()
    stub = await MongoStub.start()
  })

  afterEach(async () => {
    await closeLogs()
    await stub.stop()
  })

  /** Why the store does not open; empty where it does. */
  async function refusal(url: string, options: Partial<MongoOptions> = {}, code = 'store-unavailable'): Promise<string> {
    const store = new MongoStore({ url, logger, ...options })
    try {
      await store.open()
      return ''
    } catch (error) {
      expect(error).to.be.instanceOf(SyncError).with.property('code', code)
      return (error as SyncError).message
    } finally {
      await store.close()
    }
  }

  function changed(collection: string, change: (document: Document) => Document): void {
    stub.data.put(collection, stub.data.documents(collection).map(change))
  }

  it('of a newer schema is refused, and says so', async () => {
    expect(await refusal(stub.url)).to.equal('')
    changed('meta', (meta) => ({ ...meta, schema: 2 }))
    expect(await refusal(stub.url)).to.equal('the database tidemark has schema 2; this release reads schema 1')
  })

  it('that holds entries and no identity is refused: a store that once existed never opens empty', async () => {
    const log = await logOn(stub.url)
    await publish(log, 'one')
    stub.data.clear('meta')
    expect(await refusal(stub.url)).to.include('lost its identity')
  })

  it('that gets another epoch is not written to any longer', async () => {
    const log = await logOn(stub.url, {}, logger)
    changed('meta', (meta) => ({ ...meta, epoch: 'restored' }))
    await lines.take((line) => line.includes('another history (epoch restored)'), 'the other epoch to be noticed')
    expect(await codeOf(publish(log, 'one'))).to.equal('store-unavailable')
    expect(await entriesOf(stub.url)).to.deep.equal([])
  })

  it('[P-12.25] whose clock is far from ours, before or behind, is refused', async () => {
    for (const aheadMs of [6_000, -6_000]) {
      stub.aheadMs = aheadMs
      const sentence = await refusal(stub.url, {}, 'clock-skew')
      expect(sentence).to.match(/^the clocks of this machine and of the database differ by \d+ ms, more than 5000$/)
    }
  })

  it('[P-13.40] whose clock differs by no more than clockSkewMs is used', async () => {
    stub.aheadMs = 6_000
    expect(await refusal(stub.url, { clockSkewMs: 8_000 })).to.equal('')
    expect(await refusal(stub.url, { clockSkewMs: 4_000 }, 'clock-skew')).to.include('more than 4000')
  })

  it('that lost what it had acknowledged is not written to behind the loss', async () => {
    const store = new MongoStore({ url: stub.url, logger })
    const log = await Log.open({ store, logger })
    try {
      for (const text of ['one', 'two', 'three']) await publish(log, text)
      const [first] = stub.data.documents('buckets')
      stub.data.clear('buckets')
      stub.data.put('buckets', [first as Document])
      expect(await store.settle(plainBucket(stream, 4))).to.equal('absent')
      await store.load(stream)
      expect(await store.commit([plainBucket(stream, 4)])).to.deep.equal(['unknown'])
      expect(lines.all.join()).to.include('has lost entries').and.include(stream)
      expect(stub.data.documents('buckets')).to.have.length(1)
    } finally {
      await store.close()
    }
  })

  it('with a damaged bucket names its stream and seq', async () => {
    const log = await logOn(stub.url)
    for (const text of ['one', 'two']) await publish(log, text)
    changed('buckets', ({ b, ...bucket }) => {
      const bytes = Buffer.from(b as Buffer)
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
      return { ...bucket, b: bytes }
    })
    const error: unknown = await entriesOf(stub.url).catch((thrown: unknown) => thrown)
    expect((error as Error).message).to.equal(`the bucket of ${stream} that begins at seq 1 fails its checksum`)
  })

  it('that nobody answers for is refused within seconds, without the password', async () => {
    const { port } = new URL(stub.url.replace('mongodb', 'http'))
    await stub.stop()
    const message = await refusal(`mongodb://me:hush@127.0.0.1:${port}/?serverSelectionTimeoutMS=300`)
    expect(message).to.include('ECONNREFUSED').and.not.include('hush')
    stub = await MongoStub.start()
  })

  it('whose URL has a slip is refused without the password', async () => {
    for (const url of ['mongodb://me:hu@sh@x', 'mongodb://me:hush@x:0', 'mongodb://me:hush@x/?tls=hush', 'mongodb://me:hush@/']) {
      const message = await refusal(`${url}${url.includes('?') ? '&' : '/?'}serverSelectionTimeoutMS=100`)
      expect(message, url).to.not.equal('')
      expect(message).to.not.match(/hush|hu@sh/)
    }
  })

  describe('as a real server', () => {
    let mongo: TestMongo

    afterEach(() => mongo.stop())

    it('that is no replica set is used with a warning that says what is lost, and refused when strict', async function () {
      mongo = await startMongo(this, { alone: true })
      expect(await refusal(mongo.freshUrl())).to.equal('')
      expect(lines.all.join()).to.include('no replica set').and.include('is lost with it')
      expect(await refusal(mongo.freshUrl(), { strict: true })).to.include('no replica set')
    })

    it('that is a replica set is used without one', async function () {
      mongo = await startMongo(this, { flags: ['--repl-set-name=rs0'] })
      expect(await refusal(mongo.freshUrl(), { strict: true })).to.equal('')
      expect(lines.all).to.deep.equal([])
    })

    it('that knows other credentials is refused, and the password is nowhere', async function () {
      const [user, password] = ['tide', 'a:mark/%']
      const flags = ['--test-enable-new-auth', `--setup-username=${user}`, `--setup-password=${password}`, '--setup-database=admin']
      mongo = await startMongo(this, { alone: true, flags })
      const url = (given: string): string =>
        mongo
          .freshUrl()
          .replace('//', `//${user}:${encodeURIComponent(given)}@`)
          .replace('?', '?authSource=admin&')
      expect(await refusal(url(password))).to.equal('')
      const message = await refusal(url('wrong-password'))
      expect(message).to.match(/authentication failed/i)
      expect(`${message} ${lines.all.join()}`).to.not.include('wrong-password')
    })
  })
})

async function codeOf(publishing: Promise<unknown>): Promise<string> {
  const error: unknown = await publishing.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof SyncError ? error.code : String(error)
}
