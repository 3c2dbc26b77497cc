import { expect } from 'chai'
import { join } from 'node:path'
import { BackupReader, writeBackup } from '../../log/backup.ts'
import type { Item } from '../../log/contents.ts'
import { restoreInto } from '../../log/restore.ts'
import { Log } from '../../log/log.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { silentLogger } from '../../seams/logger.ts'
import { GatedStore } from '../support/gated-store.ts'
import { tempFolder } from '../support/temp.ts'
import {
  contentOf,
  emptiedStream,
  fillLimits,
  fillStore,
  heads,
  itemsOf,
  publish,
  statesOf,
  trimmedStream,
  wholeStream,
} from './filled-store.ts'

describe('a backup', () => {
  it('[P-2.21], [P-8.6], [P-9.1], [P-9.5] restored equals its source in all but the epoch', async () => {
    const pairs: [Store, Store][] = [
      [new MemoryStore(), new MemoryStore()],
      [await levelStore(), new MemoryStore()],
      [new MemoryStore(), await levelStore()],
    ]
    for (const [source, target] of pairs) {
      const epoch = await fillStore(source)
      const [again, backup] = await opened(source, backupOf)
      const expected = await contentOf(again)
      await again.close()
      const restored = await restore(target, backup)
      expect(restored)
        .to.match(/^[\w-]{8}$/)
        .and.not.equal(epoch)
      const [there, found] = await opened(target, contentOf)
      expect(found).to.deep.equal(expected)
      expect(found.length).to.be.greaterThan(40)
      expect((await there.documents.get('sessions', 'alice/phone'))?.generation).to.equal(1)
      expect((await there.documents.get('others', 'k2'))?.generation).to.equal(1)
      await there.close()
      expect(await statesOf(await fresh(target))).to.deep.equal(await statesOf(await fresh(source)))
    }
  })

  it('[P-1.1] of a stream that was trimmed goes on where that stood', async () => {
    const source = new MemoryStore()
    await fillStore(source)
    const target = new MemoryStore()
    await restore(target, await backupOf(source))
    const log = await Log.open({ store: target, limits: fillLimits })
    for (const [name, head] of Object.entries(heads)) {
      const stream = await log.stream(name)
      expect(stream.headSeq, name).to.equal(head)
      await publish(log, name, head + 1)
      expect(stream.headSeq, name).to.equal(head + 1)
    }
    expect((await log.stream(trimmedStream)).first).to.equal(41)
    expect((await log.stream(emptiedStream)).first).to.equal(31)
    await log.close()
  })

  it('takes places of sessions before streams, so that none lies ahead', async () => {
    const source = new MemoryStore()
    await fillStore(source)
    const kinds = (await itemsOf(source)).map(({ is }) => is)
    expect(kinds.lastIndexOf('document')).to.equal(2)
    expect(kinds.indexOf('stream')).to.equal(3)
  })

  it('[P-2.12] of a stream that another node trims meanwhile has no hole, and begins where that ends', async () => {
    const store = new MemoryStore({ shared: true })
    await fillStore(store)
    const gates = new GatedStore(store)
    const log = await Log.open({ store, limits: fillLimits })
    let trimmed = false
    gates.pause = async ({ name, args }, way) => {
      if (trimmed || name !== 'getChunk' || args[0] !== trimmedStream || way !== 'in') return
      trimmed = true
      for (let number = 91; number <= 120; number++) await publish(log, trimmedStream, number)
      await log.trim(trimmedStream, 101)
    }
    const target = new MemoryStore()
    await restore(target, await backupOf(gates))
    await log.close()
    expect(trimmed).to.equal(true)
    const { record, last } = await target.load(trimmedStream)
    expect({ first: record?.first, head: last?.lastSeq }).to.deep.equal({ first: 101, head: 120 })
    expect(await statesOf(target)).to.deep.equal(await statesOf(store))
  })

  it('with a hole in a stream is not made', async () => {
    const store = new MemoryStore()
    await fillStore(store)
    await store.removeBelow(wholeStream, 20)
    expect(await failure(backupOf(store))).to.include('spaces/board-7: seq 1 is missing')
  })

  it('with any byte changed is refused with a sentence that says where', async () => {
    const { backup } = await small()
    let examined = 0
    for (let at = 0; at < backup.length; at++) {
      const damaged = Buffer.from(backup)
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8))
      const sentence = await failure(readAll(damaged))
      const where = Number(/ byte (\d+)/.exec(sentence)?.[1] ?? -1)
      if (at < 16) expect(sentence).to.include('no backup')
      else expect(where, `${at}: ${sentence}`).to.be.within(0, at)
      examined++
    }
    expect(examined).to.be.greaterThan(800)
  })

  it('cut off anywhere is refused, and so is one with more behind its end', async () => {
    const { backup } = await small()
    for (let length = 16; length < backup.length; length++) {
      expect(await failure(readAll(backup.subarray(0, length))), String(length)).to.match(/ends in the record at byte \d+.*cut off/)
    }
    expect(await failure(readAll(Buffer.concat([backup, Buffer.from('x')])))).to.include('bytes follow behind its end')
  })

  it('without one of its records, or with one twice, is refused', async () => {
    const { backup } = await small()
    const records = recordsOf(backup)
    for (let at = 1; at < records.length - 1; at++) {
      const [before, record, after] = [records.slice(0, at), records.slice(at, at + 1), records.slice(at + 1)]
      expect(await failure(readAll(Buffer.concat([...before, ...after]))), String(at)).to.match(/holds|damaged/)
      expect(await failure(readAll(Buffer.concat([...before, ...record, ...record, ...after]))), String(at)).to.match(/holds|damaged/)
    }
    expect(records.length).to.be.greaterThan(8)
  })

  it('is read whole, whatever pieces it comes in', async () => {
    const { backup, items } = await small()
    for (const size of [1, 2, 7, 1_000]) {
      const pieces = Array.from({ length: Math.ceil(backup.length / size) }, (_, at) => backup.subarray(at * size, (at + 1) * size))
      expect((await readAll(...pieces)).length).to.equal(items)
    }
  })

  it('is restored into an empty store only, and a restore that did not end leaves one that nobody serves', async () => {
    const { backup } = await small()
    const other = new MemoryStore()
    await fillStore(other)
    expect(await failure(restore(other, backup))).to.equal('the target is not empty; restore into a new store')
    const target = new MemoryStore()
    expect(await failure(restore(target, backup.subarray(0, -20)))).to.include('cut off')
    const sentence = 'a restore into the target did not end; remove it and restore again'
    expect(await failure(Log.open({ store: target }))).to.equal(sentence)
    expect(await failure(restore(target, backup))).to.equal(sentence)
  })
})

/** A backup of few bytes, with every kind of item in it. */
async function small(): Promise<{ backup: Buffer; items: number }> {
  const store = new MemoryStore()
  const log = await Log.open({ store, limits: fillLimits })
  for (const number of [3, 5, 6]) await publish(log, 'users/bob', number)
  await log.trim('users/bob', 3)
  await log.documents.put('others', 'k1', 1)
  await log.close()
  return { backup: await backupOf(store), items: (await itemsOf(store)).length }
}

async function backupOf(store: Store): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of writeBackup(store, { epoch: 'AbCdEfGh', at: 1_000 })) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function restore(store: Store, backup: Buffer): Promise<string> {
  const reader = new BackupReader(from(backup))
  await reader.header()
  const epoch = await restoreInto(store, reader, { name: 'the target' })
  await store.close()
  return epoch
}

async function readAll(...pieces: Buffer[]): Promise<Item[]> {
  const reader = new BackupReader(from(...pieces))
  expect(await reader.header()).to.deep.equal({ format: 1, epoch: 'AbCdEfGh', at: 1_000 })
  const items: Item[] = []
  for await (const { item } of reader.items()) items.push(item)
  return items
}

async function* from(...pieces: Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces
}

/** The magic bytes, then each record. */
function recordsOf(backup: Buffer): Buffer[] {
  const records = [backup.subarray(0, 16)]
  for (let at = 16; at < backup.length;) {
    const end = at + 8 + backup.readUInt32BE(at)
    records.push(backup.subarray(at, end))
    at = end
  }
  return records
}

const folders = new WeakMap<Store, string>()

async function levelStore(folder?: string): Promise<LevelStore> {
  const path = folder ?? join(await tempFolder(), 'log')
  const store = new LevelStore({ folder: path, logger: silentLogger })
  folders.set(store, path)
  return store
}

/** A handle that may be opened on the data of a closed store. */
async function fresh(store: Store): Promise<Store> {
  const folder = folders.get(store)
  return folder === undefined ? store : await levelStore(folder)
}

async function opened<Result>(store: Store, work: (store: Store) => Promise<Result>): Promise<[Store, Result]> {
  const again = await fresh(store)
  await again.open()
  return [again, await work(again)]
}

async function failure(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'it did not fail',
    (error: Error) => error.message,
  )
}
