import { expect } from 'chai'
import { join } from 'node:path'
import { copyStore } from '../../log/copy.ts'
import { Log } from '../../log/log.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { silentLogger } from '../../seams/logger.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { tempFolder } from '../support/temp.ts'
import { contentOf, fillLimits, fillStore, publish, statesOf, wholeStream } from './filled-store.ts'

const names = { fromName: 'the source', toName: 'the target' }
const moved = 'the source has moved: start the server with --store the target'
const unfinished = 'a copy of the source into the target did not end; run it again'

describe('a copy of a store', () => {
  it('[P-2.21], [P-2.7] has the epoch, the positions and everything else of its source', async () => {
    const source = new MemoryStore()
    const epoch = await fillStore(source)
    const states = await statesOf(source)
    const content = await contentOf(source)
    const folder = join(await tempFolder(), 'log')
    const targets: [Store, Store][] = [[new LevelStore({ folder, logger: silentLogger }), new LevelStore({ folder, logger: silentLogger })]]
    for (const [target, again] of targets) {
      const counts = await copyStore(source, target, names)
      expect(counts).to.include({ streams: 5, documents: 3 })
      expect(await contentOf(target)).to.deep.equal(content)
      await target.close()
      expect(await again.open()).to.deep.equal({ epoch })
      await again.close()
      expect(await statesOf(new LevelStore({ folder, logger: silentLogger }))).to.deep.equal(states)
    }
  })

  it('seals its source: a server started on it is told where the content went', async () => {
    const source = new MemoryStore()
    await fillStore(source)
    await copyStore(source, new MemoryStore(), names)
    expect(await failure(Log.open({ store: source }))).to.equal(moved)
    expect(await failure(copyStore(source, new MemoryStore(), names))).to.equal(moved)
  })

  it('is not made into a store that has content or a history of its own', async () => {
    const source = new MemoryStore()
    await fillStore(source)
    const filled = new MemoryStore()
    await fillStore(filled)
    expect(await failure(copyStore(source, filled, names))).to.include('is not empty')
    const begun = new MemoryStore()
    await begun.open()
    expect(await failure(copyStore(source, begun, names))).to.include('was begun as a store of its own')
    await (await Log.open({ store: source })).close()
  })

  it('that did not end leaves the source open and the target sealed, and may be made again after the source went on', async () => {
    const source = new MemoryStore()
    await fillStore(source)
    const target = new MemoryStore()
    const gates = new GatedStore(target)
    gates.fail(calls('changeRecord'), new Error('the disk is full'))
    expect(await failure(copyStore(source, gates, names))).to.equal('the disk is full')
    expect(await failure(Log.open({ store: target }))).to.equal(unfinished)
    const log = await Log.open({ store: source, limits: fillLimits })
    await publish(log, wholeStream, 61)
    await log.trim(wholeStream, 30)
    await log.documents.remove('others', 'k1')
    await log.close()
    await copyStore(source, target, names)
    expect(await contentOf(target)).to.deep.equal(await contentOf(source))
    await (await Log.open({ store: target })).close()
  })

  it('may be made again where only the seal of the target was left', async () => {
    const source = new MemoryStore()
    await fillStore(source)
    const target = new MemoryStore()
    const gates = new GatedStore(target)
    gates.fail((call) => call.name === 'documents.remove' && call.args[0] === 'store', new Error('the power is gone'))
    expect(await failure(copyStore(source, gates, names))).to.equal('the power is gone')
    expect(await failure(Log.open({ store: source }))).to.equal(moved)
    expect(await failure(Log.open({ store: target }))).to.equal(unfinished)
    await copyStore(source, target, names)
    await (await Log.open({ store: target })).close()
  })

  it('that differs from its source is none: the source is not sealed', async () => {
    for (const [change, sentence] of changes) {
      const source = new MemoryStore()
      await fillStore(source)
      const target = new MemoryStore()
      const gates = new GatedStore(target)
      let changed = false
      gates.pause = async ({ name }, way) => {
        if (changed || name !== 'documents.collections' || way !== 'in' || (await target.streams('', 9)).length < 5) return
        changed = true
        await change(target)
      }
      expect(await failure(copyStore(source, gates, names))).to.match(sentence)
      expect(changed).to.equal(true)
      await (await Log.open({ store: source })).close()
      expect(await failure(Log.open({ store: target }))).to.equal(unfinished)
    }
  })
})

const changes: readonly (readonly [(target: MemoryStore) => Promise<unknown>, RegExp])[] = [
  [(target) => target.documents.remove('others', 'k1'), /holds 2 documents instead of 3/],
  [(target) => target.documents.put('others', 'k1', { text: 'Grösse \u{1f600}' }), /not the same/],
  [(target) => target.changeRecord('users/bob', () => ({ first: 1, markBefore: 'abcd', snapshot: null })), /holds \d+ bytes instead of/],
  [(target) => target.removeBelow(wholeStream, 20), /seq 1 is missing/],
]

async function failure(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'it did not fail',
    (error: Error) => error.message,
  )
}
