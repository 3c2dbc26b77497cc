import { expect } from 'chai'
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { LevelStore } from '../../log/stores/level.ts'
import { viewOf } from '../../log/stores/level-view.ts'
import { verifyStore } from '../../log/verify.ts'
import { silentLogger } from '../../seams/logger.ts'
import { tempFolder } from '../support/temp.ts'
import { plainBucket } from './buckets.ts'
import { contentOf, fillLimits, fillStore } from './filled-store.ts'

const writeBufferBytes = 64 * 1024

describe('a view of the embedded store', () => {
  it('[P-8.6] holds everything acknowledged before it, whatever is written, flushed and merged meanwhile', async function () {
    this.timeout(120_000)
    const folder = join(await tempFolder(), 'log')
    const store = new LevelStore({ folder, logger: silentLogger, writeBufferBytes })
    await store.open()
    let seq = 0
    const end = new AbortController()
    const payload = Buffer.alloc(3_000, 0x61)
    const writing = (async () => {
      for (; !end.signal.aborted; seq++) {
        await store.commit([plainBucket('users/alice', seq + 1, 1, payload)])
        if (seq % 100 === 99) await store.removeBelow('users/alice', Math.max(1, seq - 150))
      }
    })()
    let merged = 0
    for (let round = 0; round < 25; round++) {
      const acknowledged = seq
      const view = await viewOf(folder)
      const read = new LevelStore({ folder: view.folder, logger: silentLogger, writeBufferBytes })
      await read.open({ existing: true })
      const buckets = await read.read('users/alice', { from: 1, to: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER })
      const seqs = buckets.map(({ firstSeq }) => firstSeq)
      expect(seqs.at(-1) ?? 0).to.be.at.least(acknowledged)
      if (seqs[0]) expect(seqs).to.deep.equal(Array.from(seqs, (_, index) => (seqs[0] as number) + index))
      merged = Math.max(merged, (await readdir(view.folder)).filter((name) => name.endsWith('.ldb')).length)
      await read.close()
      await view.remove()
    }
    end.abort()
    await writing
    await store.close()
    expect(merged).to.be.greaterThan(1)
    expect(await readdir(dirname(folder))).to.have.members(['TIDEMARK', 'log'])
    const again = new LevelStore({ folder, logger: silentLogger, writeBufferBytes })
    await again.open()
    expect((await again.load('users/alice')).last?.lastSeq).to.equal(seq)
    await again.close()
  })

  it('changes no byte of the folder, also of one that a crash left unfinished', async () => {
    const folder = await filledFolder()
    // A table that no MANIFEST names, as a crash leaves it: its number is the next that LevelDB gives to a file.
    const numbers = (await readdir(folder)).map((name) => Number.parseInt(name, 10)).filter((number) => number > 0)
    for (let number = 1; number < 9; number++) {
      await writeFile(join(folder, `${String(Math.max(...numbers) + number).padStart(6, '0')}.ldb`), 'half a table')
    }
    const before = await bytesOf(folder)
    const view = await viewOf(folder)
    const store = new LevelStore({ folder: view.folder, logger: silentLogger })
    await store.open({ existing: true })
    expect((await verifyStore(store, { limits: fillLimits })).findings).to.deep.equal([])
    expect((await contentOf(store)).length).to.be.greaterThan(40)
    await store.documents.put('sessions', 'new', 1)
    await store.close()
    await view.remove()
    expect(await bytesOf(folder)).to.deep.equal(before)
  })

  it('of a damaged folder is refused on opening, and the folder stays as it is', async () => {
    const folder = await filledFolder()
    const manifest = (await readdir(folder)).find((name) => name.startsWith('MANIFEST')) as string
    await rm(join(folder, manifest))
    const before = await bytesOf(folder)
    const view = await viewOf(folder)
    const store = new LevelStore({ folder: view.folder, logger: silentLogger })
    expect(await store.open({ existing: true }).catch((error: { code: string }) => error.code)).to.equal('store-unavailable')
    await store.close()
    await view.remove()
    expect(await bytesOf(folder)).to.deep.equal(before)
  })

  it('is not made where there is no store, and leaves nothing there', async () => {
    const data = await tempFolder()
    for (const folder of [join(data, 'log'), join(data, 'none', 'log')]) {
      expect(await viewOf(folder).catch((error: Error) => error.message)).to.include(`there is no store in ${folder}`)
    }
    expect(await readdir(data)).to.deep.equal([])
  })
})

async function filledFolder(): Promise<string> {
  const folder = join(await tempFolder(), 'log')
  // All of it stands in LevelDB's log: whoever opens that writes it into a table.
  await fillStore(new LevelStore({ folder, logger: silentLogger }))
  const copy = join(await tempFolder(), 'data')
  await cp(dirname(folder), copy, { recursive: true })
  return join(copy, 'log')
}

async function bytesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    files[name] = `${(await stat(path)).ino} ${(await readFile(path)).toString('base64')}`
  }
  return files
}
