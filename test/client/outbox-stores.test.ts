/** The stores of the outbox: one contract, and what each can meet besides. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import * as fake from 'fake-indexeddb'
import type { ClientError } from '../../client/errors.ts'
import { levelOutbox } from '../../client/node.ts'
import { IndexedDbStore } from '../../client/outbox/indexeddb-store.ts'
import { MemoryStore } from '../../client/outbox/memory-store.ts'
import { tempFolder } from '../support/temp.ts'
import { ManualTimers } from './manual-timers.ts'
import { testOutboxStore, unsent } from './outbox-store-contract.ts'

const child = fileURLToPath(new URL('level-child.ts', import.meta.url))

testOutboxStore('memory', async () => ({ store: new MemoryStore(), again: () => Promise.reject(new Error('it is not durable')) }))

testOutboxStore('level', async () => {
  const folder = join(await tempFolder(), 'outbox')
  return { store: levelOutbox(folder), again: async () => levelOutbox(folder) }
})

describe('outbox store: level', () => {
  it('a second process is told that the folder is in use, and may try again later', async () => {
    const folder = await tempFolder()
    const store = levelOutbox(folder)
    await store.add([unsent('a')])
    const second = levelOutbox(folder)
    const error = await second.add([unsent('b')]).then(
      () => undefined,
      (thrown: ClientError) => thrown,
    )
    expect(error?.code).to.equal('storage-unavailable')
    expect(error?.message).to.include(folder).and.to.include('in use')
    const { output, code } = await runChild(folder)
    expect(code).to.equal(3)
    expect(output).to.match(/^storage-unavailable .*in use by another process/)
    await store.close()
    expect((await second.load()).map(({ id }) => id)).to.deep.equal(['a'])
    await second.close()
  })

  it('a process that is killed while it writes leaves everything that it was told is kept', async () => {
    const folder = await tempFolder()
    const { output } = await runChild(folder, 40)
    const told = output.trim().split('\n')
    const store = levelOutbox(folder)
    const kept = (await store.load()).map(({ id }) => id)
    expect(kept).to.include.members(told)
    // Of the last batch its removal may be missing.
    expect(kept.length).to.be.within(told.length, told.length + 3)
    expect(kept).to.deep.equal([...kept].sort((one, other) => Number(one.slice(3)) - Number(other.slice(3))))
    await store.close()
  })
})

describe('outbox store: IndexedDB', () => {
  let whole: IDBFactory
  beforeEach(() => setIndexedDb((whole = new fake.IDBFactory())))
  afterEach(() => setIndexedDb(undefined))
  let names = 0

  function make(name = `outbox-${++names}`) {
    const warnings: ClientError[] = []
    const timers = new ManualTimers()
    const store = new IndexedDbStore({ name, timers, openTimeoutMs: 5_000, onWarning: (warning) => warnings.push(warning) })
    return { name, store, timers, warnings }
  }

  testOutboxStore('IndexedDB', async () => {
    const { name, store } = make()
    return { store, again: async () => make(name).store }
  })

  it('two pages share it, and each sees what the other has added', async () => {
    const one = make()
    const other = make(one.name)
    await one.store.add([unsent('a')])
    await other.store.add([unsent('b', { owner: 'tab-2' })])
    expect((await one.store.load()).map(({ owner }) => owner)).to.deep.equal(['tab-1', 'tab-2'])
    await one.store.close()
    await other.store.close()
  })

  it('where it is refused, memory has to do, with a warning', async () => {
    for (const broken of [
      undefined,
      {
        open: () => {
          throw new DOMException('no', 'SecurityError')
        },
      },
    ]) {
      setIndexedDb(broken as IDBFactory | undefined, true)
      const { store, warnings, timers } = make()
      await store.add([unsent('a')])
      expect((await store.load()).map(({ id }) => id)).to.deep.equal(['a'])
      expect(store.durable).to.equal(false)
      expect(warnings.map(({ code }) => code)).to.deep.equal(['storage-unavailable'])
      expect(timers.waiting).to.equal(0)
    }
  })

  it('where the browser says nothing at all, memory has to do after a while', async () => {
    setIndexedDb({ open: () => new fake.IDBOpenDBRequest() } as unknown as IDBFactory, true)
    const { store, timers, warnings } = make()
    const adding = store.add([unsent('a')])
    timers.next()
    expect(await adding).to.have.length(1)
    expect(timers.now()).to.equal(5_000)
    expect(warnings[0]?.message).to.include('within 5000 ms')
  })

  it('a page of a later release does not wait for ours, and ours goes on in memory', async () => {
    const { name, store, warnings } = make()
    const [key = 0] = await store.add([unsent('a')])
    const later = await upgraded(name, 2)
    expect(later.version).to.equal(2)
    const [inMemory = 0] = await store.add([unsent('b')])
    expect(store.durable).to.equal(false)
    expect(warnings).to.have.length(1)
    // A key of the database means nothing to what is in memory.
    await store.remove([key])
    expect((await store.load()).map(({ id }) => id)).to.deep.equal(['b'])
    expect(inMemory).to.not.equal(key)
    later.close()
  })

  it('a page of an older release that does not let go does not make us wait for ever', async () => {
    const { store, timers } = make()
    const blocked = new fake.IDBOpenDBRequest()
    setIndexedDb({ open: () => blocked } as unknown as IDBFactory, true)
    const loading = store.load()
    blocked.dispatchEvent(new fake.IDBVersionChangeEvent('blocked', { oldVersion: 0, newVersion: 1 }))
    timers.next()
    expect(await loading).to.deep.equal([])
    expect(store.durable).to.equal(false)
  })

  it('a database that the browser has closed is opened again', async () => {
    const { store } = make()
    const databases: IDBDatabase[] = []
    const open = (...parameters: Parameters<IDBFactory['open']>): IDBOpenDBRequest => {
      const request = whole.open(...parameters)
      request.addEventListener('success', () => databases.push(request.result))
      return request
    }
    setIndexedDb({ open } as unknown as IDBFactory, true)
    await store.add([unsent('a')])
    databases[0]?.close()
    await store.add([unsent('b')])
    expect((await store.load()).map(({ id }) => id)).to.deep.equal(['a', 'b'])
    expect(store.durable).to.equal(true)
    expect(databases).to.have.length(2)
    await store.close()
  })

  it('a full device is storage-full, and what was there stays', async () => {
    const { store } = make()
    await store.add([unsent('a')])
    const { prototype } = fake.IDBObjectStore
    const add = Object.getOwnPropertyDescriptor(prototype, 'add') as PropertyDescriptor
    prototype.add = function (value, key) {
      const request = this.put(value, key)
      // As a browser does where a transaction meets the quota.
      const { transaction } = request
      Object.defineProperty(transaction, 'error', {
        get: () => new DOMException('full', 'QuotaExceededError'),
        set: () => {},
      })
      transaction?.abort()
      return request
    }
    try {
      const error = await store.add([unsent('b')]).then(
        () => undefined,
        (thrown: ClientError) => thrown,
      )
      expect(error?.code).to.equal('storage-full')
    } finally {
      Object.defineProperty(prototype, 'add', add)
    }
    expect((await store.load()).map(({ id }) => id)).to.deep.equal(['a'])
    expect(store.durable).to.equal(true)
  })
})

/** The names that a browser has; `undefined` takes them away again. */
function setIndexedDb(factory: IDBFactory | undefined, keepClasses = false): void {
  for (const [name, value] of Object.entries(fake)) {
    if (!name.startsWith('IDB')) continue
    if (factory || keepClasses) Object.assign(globalThis, { [name]: value })
    else Reflect.deleteProperty(globalThis, name)
  }
  if (factory) Object.assign(globalThis, { indexedDB: factory })
  else Reflect.deleteProperty(globalThis, 'indexedDB')
}

function upgraded(name: string, version: number): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, version)
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(request.error as Error))
  })
}

/** Until it ends by itself, or is killed after so many lines. */
async function runChild(folder: string, killAfterLines = Infinity): Promise<{ code: number | null; output: string }> {
  const running = spawn(process.execPath, ['--import', 'tsx', child, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  running.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
    if (output.split('\n').length > killAfterLines) running.kill('SIGKILL')
  })
  const [code] = (await once(running, 'close')) as [number | null]
  return { code, output: output.slice(0, output.lastIndexOf('\n') + 1) }
}
