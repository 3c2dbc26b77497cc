/** When the names in the folder of the embedded store are synced. */
import { expect } from 'chai'
import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DurableFolder } from '../../log/stores/durable-folder.ts'
import { tempFolder } from '../support/temp.ts'

describe('a durable folder', () => {
  let path: string
  let syncs: number
  let folder: DurableFolder

  beforeEach(async () => {
    path = await tempFolder()
    syncs = 0
    folder = new DurableFolder(path, { sync: () => Promise.resolve(void syncs++), close: () => Promise.resolve() })
  })

  /** Sets the time of the folder's last change. */
  const changedAgo = (ms: number): void => {
    const seconds = (Date.now() - ms) / 1_000
    utimesSync(path, seconds, seconds)
  }

  it('is synced once after a change that is well past', async () => {
    changedAgo(5_001.5)
    await folder.syncNames()
    await folder.syncNames()
    expect(syncs).to.equal(1)
    writeFileSync(join(path, '000005.log'), '')
    await folder.syncNames()
    expect(syncs).to.equal(2)
  })

  it('is synced again while another change could carry the same time', async () => {
    changedAgo(-1)
    await folder.syncNames()
    await folder.syncNames()
    expect(syncs).to.equal(2)
  })

  it('is synced always where times are whole seconds', async () => {
    const long = Math.floor(Date.now() / 1_000) - 60
    utimesSync(path, long, long)
    await folder.syncNames()
    await folder.syncNames()
    expect(syncs).to.equal(2)
  })

  it('is synced again if the sync failed', async () => {
    changedAgo(5_001.5)
    const failing = new DurableFolder(path, { sync: () => Promise.reject(new Error('no')), close: () => Promise.resolve() })
    for (let attempt = 0; attempt < 2; attempt++) {
      const error = await failing.syncNames().catch((reason: unknown) => reason)
      expect(error).to.be.instanceOf(Error)
    }
  })
})
