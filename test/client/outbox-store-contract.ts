/** What every store of the outbox must do. */
import { expect } from 'chai'
import type { OutboxStore, Waiting } from '../../client/outbox/store.ts'

export interface StoreUnderTest {
  readonly store: OutboxStore
  /** The same device, after the page or the process has ended. Not called where the store is not durable. */
  again(): Promise<OutboxStore>
}

export function testOutboxStore(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`outbox store: ${name}`, () => {
    let under: StoreUnderTest
    let store: OutboxStore
    beforeEach(async () => void ({ store } = under = await make()))
    afterEach(() => store.close())

    it('is empty at first', async () => {
      expect(await store.load()).to.deep.equal([])
    })

    it('gives back what was added, member by member, under rising keys', async () => {
      const keys = await store.add([full, unsent('b'), unsent('c')])
      const more = await store.add([unsent('d')])
      const all = [...keys, ...more]
      expect([...all].sort((one, other) => one - other)).to.deep.equal(all)
      expect(new Set(all)).to.have.property('size', 4)
      expect(await store.load()).to.deep.equal([full, unsent('b'), unsent('c'), unsent('d')].map((item, n) => ({ ...item, key: all[n] })))
    })

    it('keeps the order beyond ten, and takes what is added at once in turn', async () => {
      const keys = await Promise.all(Array.from({ length: 25 }, (_, n) => store.add([unsent(`id-${n}`)])))
      expect(keys.flat()).to.deep.equal(keys.flat().sort((one, other) => one - other))
      expect((await store.load()).map(({ id }) => id)).to.deep.equal(Array.from({ length: 25 }, (_, n) => `id-${n}`))
    })

    it('adds nothing where nothing is to be added', async () => {
      expect(await store.add([])).to.deep.equal([])
      await store.replace([])
      await store.remove([])
      expect(await store.load()).to.deep.equal([])
    })

    it('a key that came along is not taken', async () => {
      const [first] = await store.add([unsent('a')])
      await store.add([{ ...unsent('b'), key: first } as Omit<Waiting, 'key'>])
      expect((await store.load()).map(({ id }) => id)).to.deep.equal(['a', 'b'])
    })

    it('replaces what is there, and nothing else', async () => {
      const [a = 0, b = 0] = await store.add([unsent('a'), unsent('b')])
      await store.remove([b])
      const changed = { ...unsent('a'), key: a, since: 'aaaaaaaa.1.abcd', refusal: { code: 'conflict', message: 'no', current: null } }
      await store.replace([changed, { ...unsent('b'), key: b }])
      expect(await store.load()).to.deep.equal([changed])
    })

    it('removes many at once, in any order, and none beside them', async () => {
      const keys = (await store.add(['a', 'b', 'c', 'd', 'e', 'f'].map((id) => unsent(id)))) as [number, ...number[]]
      await store.remove([keys[5], keys[1], keys[0], keys[3], keys[1]] as number[])
      expect((await store.load()).map(({ id }) => id)).to.deep.equal(['c', 'e'])
    })

    it('removes what is there, and does not mind what is not', async () => {
      const [a = 0, b = 0] = await store.add([unsent('a'), unsent('b')])
      await store.remove([a, a + b + 1000])
      expect((await store.load()).map(({ id }) => id)).to.deep.equal(['b'])
    })

    it('never gives a key twice', async () => {
      const [a = 0, b = 0] = await store.add([unsent('a'), unsent('b')])
      await store.remove([b])
      const [c = 0] = await store.add([unsent('c')])
      expect(c).to.be.greaterThan(a)
      await store.replace([{ ...unsent('stale'), key: b }])
      expect((await store.load()).map(({ id }) => id)).to.include.members(['a', 'c'])
      expect(await store.load()).to.have.length(2)
    })

    it('where it is durable, a later life finds everything, in order, and goes on behind it', async () => {
      const keys = await store.add(['a', 'b', 'c'].map((id) => unsent(id)))
      await store.remove([keys[1] as number])
      const { durable } = store
      await store.close()
      if (durable) store = await under.again()
      expect((await store.load()).map(({ id }) => id)).to.deep.equal(['a', 'c'])
      const [last = 0] = await store.add([unsent('d')])
      expect(last).to.be.greaterThan(keys[2] as number)
    })
  })
}

export function unsent(id: string, more: Partial<Waiting> = {}): Omit<Waiting, 'key'> {
  return {
    id,
    uid: undefined,
    owner: 'tab-1',
    stream: 'spaces/board',
    topic: 'spaces/board/x',
    body: { data: { a: [1, null, 'ü'], ['__proto__x']: 1 } },
    retain: false,
    if: undefined,
    since: undefined,
    createdMs: 1_700_000_000_000,
    refusal: undefined,
    ...more,
  }
}

const full = unsent('a', {
  uid: 'alice',
  body: { base64: 'AAEC' },
  retain: true,
  if: 'none',
  since: '',
  refusal: { code: 'forbidden', message: 'no' },
})
