/** When what is settled goes from the device's store, and for whom it makes room. */
import { expect } from 'chai'
import { ClientError } from '../../client/errors.ts'
import { Keeper } from '../../client/outbox/keeper.ts'
import { ManualTimers } from './manual-timers.ts'
import { unsent } from './outbox-store-contract.ts'
import { LastingStore, settle } from './outbox-world.ts'

describe('outbox keeper: what is settled', () => {
  const keeping = async (...ids: string[]) => {
    const store = new LastingStore()
    const timers = new ManualTimers()
    const warnings: ClientError[] = []
    const onWarning = (warning: ClientError): void => void warnings.push(warning)
    const keeper = new Keeper({ store, loaded: async () => {}, timers, settledKeptMs: 100, onWarning })
    const keys = (await store.add(ids.map((id) => unsent(id)))) as [number, number, number]
    store.writes = 0
    return { store, timers, keeper, keys, warnings, kept: async () => (await store.load()).map(({ id }) => id) }
  }

  it('goes after a moment, all of it at once', async () => {
    const { store, timers, keeper, keys, kept } = await keeping('one', 'two', 'three')
    keeper.forget(keys[0], false)
    timers.advance(60)
    keeper.forget(keys[1], false)
    await settle()
    expect([await kept(), store.writes]).to.deep.equal([['one', 'two', 'three'], 0])
    timers.advance(40)
    await settle()
    expect([await kept(), store.writes]).to.deep.equal([['three'], 1])
  })

  it('goes at once where nothing else is coming, with all that waited', async () => {
    const { timers, keeper, keys, kept } = await keeping('one', 'two', 'three')
    keeper.forget(keys[0], false)
    keeper.forget(keys[1], true)
    await settle()
    expect([await kept(), timers.waiting]).to.deep.equal([['three'], 0])
  })

  it('makes room before something is replaced', async () => {
    const { store, keeper, keys } = await keeping('one', 'two')
    store.bytesMax = JSON.stringify(await store.load()).length + 40
    keeper.forget(keys[0], false)
    await keeper.replace([{ ...unsent('two'), key: keys[1], since: 'later' }])
    expect((await store.load()).map(({ id, since }) => [id, since])).to.deep.equal([['two', 'later']])
  })

  it('makes room for what comes', async () => {
    const { store, keeper, keys, kept } = await keeping('one', 'two')
    store.bytesMax = JSON.stringify(await store.load()).length
    keeper.forget(keys[0], false)
    await new Promise<void>((resolve, reject) => keeper.add({ item: unsent('new'), kept: () => resolve(), failed: reject }))
    expect(await kept()).to.deep.equal(['two', 'new'])
  })

  it('has gone when the outbox is closed', async () => {
    const { keeper, keys, kept } = await keeping('one', 'two')
    keeper.forget(keys[0], false)
    await keeper.idle()
    expect(await kept()).to.deep.equal(['two'])
  })

  it('stays where it cannot be removed, and that is told', async () => {
    const { store, keeper, keys, warnings } = await keeping('one')
    store.broken = new ClientError('storage-unavailable', 'locked')
    keeper.forget(keys[0], false)
    await keeper.idle()
    expect(warnings.map(({ message }) => message)).to.deep.equal(['locked'])
  })
})
