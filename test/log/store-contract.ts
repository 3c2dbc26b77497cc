/** What every store must do, held against each of them by `store.test.ts`. */
import { expect } from 'chai'
import type { Bucket } from '../../log/bucket.ts'
import type { Store, StreamRecord } from '../../log/stores/store.ts'
import { SyncError } from '../../protocol/errors.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { plainBucket } from './buckets.ts'
import { documentsContract } from './documents-contract.ts'

export interface StoreFactory {
  /** A new, empty store, not opened yet. */
  make(): Promise<Store>
  /** A new handle, not opened yet, on the data of a closed store; absent where the data ends with the handle. */
  readonly again?: (store: Store) => Store
  /** Several handles may write to the same data. */
  readonly shared?: true
}

const farSeq = Number.MAX_SAFE_INTEGER
const everything = { from: 1, to: farSeq, bytesMax: farSeq }

export function storeContract(name: string, factory: StoreFactory): void {
  describe(`${name} keeps the contract of a store`, () => {
    let store: Store
    let epoch: string

    beforeEach(async () => {
      store = await factory.make()
      epoch = (await store.open()).epoch
    })

    afterEach(() => store.close())

    /** What a store does not offer is not part of its contract. */
    function whereShared(promise: string, test: () => Promise<void>): void {
      if (factory.shared) it(promise, test)
    }

    function wherePersistent(promise: string, test: (again: (store: Store) => Store) => Promise<void>): void {
      const { again } = factory
      if (again) it(promise, () => test(again))
    }

    async function openAgain(again: (store: Store) => Store): Promise<void> {
      await store.close()
      store = again(store)
      expect((await store.open()).epoch).to.equal(epoch)
    }

    async function commitAll(...buckets: Bucket[]): Promise<void> {
      for (const bucket of buckets) expect(await store.commit([bucket])).to.deep.equal(['stored'])
    }

    it('opens with an epoch of eight characters, another for each new store [P-2.2]', async () => {
      expect(epoch).to.match(/^[A-Za-z0-9_-]{8}$/)
      expect(store.healthy).to.equal(true)
      const other = await factory.make()
      expect((await other.open()).epoch).to.not.equal(epoch)
      await other.close()
    })

    it('is made with the epoch asked for, and not made where it must be there', async () => {
      const other = await factory.make()
      expect(await other.open({ existing: true }).catch((error: unknown) => error))
        .to.be.instanceOf(SyncError)
        .with.property('code', 'store-unavailable')
      const made = await factory.make()
      expect((await made.open({ epoch: 'AbCd-_09' })).epoch).to.equal('AbCd-_09')
      await made.close()
    })

    it('adopts buckets of another store as they are, wherever they begin, and again without effect', async () => {
      const buckets = [plainBucket('users/alice', 41, 3), plainBucket('users/alice', 44, 2), plainBucket('spaces/s', 7)]
      await store.adopt(buckets.slice(0, 1))
      await store.adopt(buckets)
      expect(seqs(await store.read('users/alice', everything))).to.deep.equal([41, 44])
      expect((await store.load('users/alice')).last?.value.equals((buckets[1] as Bucket).value)).to.equal(true)
      expect(await store.streams('', 10)).to.deep.equal(['spaces/s', 'users/alice'])
      await commitAll(plainBucket('users/alice', 46), plainBucket('spaces/s', 8))
    })

    it('finds nothing in a stream that was never written', async () => {
      expect(await store.load('users/nobody')).to.deep.equal({ last: undefined, record: undefined })
      expect(await store.read('users/nobody', everything)).to.deep.equal([])
      expect(await store.read('users/nobody', { ...everything, reverse: true })).to.deep.equal([])
      await store.removeBelow('users/nobody', 10)
      expect(await store.settle(plainBucket('users/nobody', 1))).to.equal('absent')
    })

    it('loads the newest bucket, byte for byte', async () => {
      const [first, second] = [plainBucket('users/alice', 1, 3), plainBucket('users/alice', 4, 2)]
      await commitAll(first, plainBucket('users/alicf', 1), second, plainBucket('users/alic', 1), plainBucket('users/alice-2', 1))
      const { last, record } = await store.load('users/alice')
      expect(record).to.equal(undefined)
      expect(last?.value.equals(second.value)).to.equal(true)
      expect(last?.firstSeq).to.equal(4)
    })

    it('tells which of many streams have moved on from a known head, and passes over those that have not', async () => {
      const names = Array.from({ length: 300 }, (_, index) => `spaces/s${index}`)
      const seenMs = performance.now()
      await store.commit(names.map((stream, index) => plainBucket(stream, 1, (index % 3) + 1)))
      const heads = names.map((stream, index) => ({ stream, seq: (index % 3) + 1, seenMs }))
      const never = { stream: 'users/nobody', seq: 0, seenMs }
      expect(await store.moved([])).to.deep.equal([])
      expect(await store.moved([...heads, never])).to.deep.equal([])
      await commitAll(
        plainBucket('spaces/s7', 3, 5),
        plainBucket('spaces/s7', 8),
        plainBucket('users/nobody', 1),
        plainBucket('spaces/s1', 3),
      )
      expect((await store.moved([...heads, never])).toSorted()).to.deep.equal(['spaces/s1', 'spaces/s7', 'users/nobody'])
      expect(await store.moved([{ stream: 'spaces/s7', seq: 8, seenMs }])).to.deep.equal([])
    })

    it('reads ascending from the bucket that holds `from` to the one that holds `to`', async () => {
      const buckets = await tenBuckets()
      for (let from = 1; from <= 31; from++) {
        for (let to = from; to <= 31; to++) {
          const expected = buckets.filter((bucket) => bucket.lastSeq >= from && bucket.firstSeq <= to)
          expect(seqs(await store.read('users/alice', { ...everything, from, to })), `${from}–${to}`).to.deep.equal(seqs(expected))
        }
      }
    })

    it('reads descending from the bucket that holds `to`', async () => {
      const buckets = await tenBuckets()
      for (let from = 1; from <= 31; from += 3) {
        for (let to = from; to <= 32; to++) {
          const expected = buckets.filter((bucket) => bucket.lastSeq >= from && bucket.firstSeq <= to).toReversed()
          const found = await store.read('users/alice', { ...everything, from, to, reverse: true })
          expect(seqs(found), `${from}–${to}`).to.deep.equal(seqs(expected))
        }
      }
    })

    it('reads at least one bucket, then no further than `bytesMax`', async () => {
      const buckets = await tenBuckets()
      const size = (buckets[0] as Bucket).value.length
      for (const reverse of [false, true]) {
        const counts: number[] = []
        for (const bytesMax of [0, 1, size, size + 1, size * 2, size * 4 + 1, size * 10, farSeq]) {
          counts.push((await store.read('users/alice', { from: 1, to: farSeq, bytesMax, reverse })).length)
        }
        expect(counts, reverse ? 'reverse' : 'forwards').to.deep.equal([1, 1, 1, 2, 2, 5, 10, 10])
      }
    })

    it('stores many streams in one commit and answers in their order', async () => {
      const buckets = Array.from({ length: 300 }, (_, index) => plainBucket(`spaces/s${index}`, 1, (index % 3) + 1))
      expect(await store.commit(buckets)).to.deep.equal(buckets.map(() => 'stored'))
      for (const bucket of buckets) expect((await store.load(bucket.stream)).last?.value.equals(bucket.value)).to.equal(true)
    })

    it('takes commits side by side', async () => {
      const rounds = Array.from({ length: 50 }, (_, round) => [plainBucket(`users/u${round}`, 1), plainBucket(`spaces/s${round}`, 1)])
      const outcomes = await Promise.all(rounds.map((buckets) => store.commit(buckets)))
      expect(outcomes.flat()).to.deep.equal(Array.from({ length: 100 }, () => 'stored'))
      expect((await store.streams('', 1_000)).length).to.equal(100)
    })

    it('settles a bucket by its nonce', async () => {
      const stored = plainBucket('users/alice', 1, 2)
      await commitAll(stored)
      expect(await store.settle(stored)).to.equal('stored')
      expect(await store.settle(plainBucket('users/alice', 1, 2))).to.equal('taken')
      expect(await store.settle(plainBucket('users/alice', 3, 2))).to.equal('absent')
      expect(await store.settle(plainBucket('users/alicf', 1, 2))).to.equal('absent')
    })

    it('keeps a record beside the buckets', async () => {
      const record: StreamRecord = {
        first: 2,
        markBefore: 'abcd',
        snapshot: { seq: 3, mark: 'efgh', chunks: [{ name: 's3-x', live: 1, total: 2 }], ids: null },
      }
      await commitAll(plainBucket('users/alice', 1, 3))
      expect(await store.changeRecord('users/alice', () => record)).to.deep.equal(record)
      const { last, record: found } = await store.load('users/alice')
      expect(found).to.deep.equal(record)
      expect(last?.lastSeq).to.equal(3)
      await store.changeRecord('users/alice', () => ({ ...record, first: 3 }))
      expect((await store.load('users/alice')).record?.first).to.equal(3)
      expect((await store.read('users/alice', everything)).length).to.equal(1)
      expect((await store.load('users/alicf')).record).to.equal(undefined)
    })

    it('changes a record as it is stored: of changes at the same time none is lost', async () => {
      const change = (stored: StreamRecord | undefined): StreamRecord => ({
        first: (stored?.first ?? 0) + 1,
        markBefore: '0000',
        snapshot: null,
      })
      const changed = await Promise.all(Array.from({ length: 20 }, () => store.changeRecord('users/alice', change)))
      expect(changed.map(({ first }) => first).toSorted((a, b) => a - b)).to.deep.equal(Array.from({ length: 20 }, (_, at) => at + 1))
      expect((await store.load('users/alice')).record?.first).to.equal(20)
    })

    it('removes what ends before a seq and nothing else', async () => {
      await tenBuckets()
      await store.removeBelow('users/alice', 1)
      expect((await store.read('users/alice', everything)).length).to.equal(10)
      await store.removeBelow('users/alice', 9)
      expect(seqs(await store.read('users/alice', everything))[0]).to.equal(7)
      await store.removeBelow('users/alice', 10)
      expect(seqs(await store.read('users/alice', everything))[0]).to.equal(10)
      expect((await store.read('users/alicf', everything)).length).to.equal(1)
    })

    it('never removes the newest bucket, so that seq never starts again [P-1.1]', async () => {
      await tenBuckets()
      await store.removeBelow('users/alice', farSeq)
      expect(seqs(await store.read('users/alice', everything))).to.deep.equal([28])
      await store.removeBelow('users/alice', farSeq)
      expect((await store.load('users/alice')).last?.lastSeq).to.equal(30)
    })

    it('keeps chunks by stream and name', async () => {
      const value = Buffer.from([0, 1, 2, 255])
      await store.putChunk('users/alice', 'one', value)
      await store.putChunk('users/alicf', 'one', Buffer.from('other'))
      await store.putChunk('users/alice', 'large', Buffer.alloc(1024 * 1024, 7))
      expect((await store.getChunk('users/alice', 'one'))?.equals(value)).to.equal(true)
      expect((await store.getChunk('users/alice', 'large'))?.length).to.equal(1024 * 1024)
      expect(await store.getChunk('users/alice', 'two')).to.equal(undefined)
      await store.removeChunk('users/alice', 'one')
      await store.removeChunk('users/alice', 'never')
      expect(await store.getChunk('users/alice', 'one')).to.equal(undefined)
      expect((await store.getChunk('users/alicf', 'one'))?.toString()).to.equal('other')
    })

    it('lists streams in ascending order, page by page', async () => {
      const names = Array.from({ length: 25 }, (_, index) => `users/u${index}`).concat('spaces/b', 'users/u', 'open/-', 'users/u=C3=9F')
      await store.commit(names.map((stream) => plainBucket(stream, 1)))
      await commitAll(plainBucket('users/u7', 2), plainBucket('users/u7', 3))
      await store.changeRecord('users/u7', () => ({ first: 1, markBefore: '0000', snapshot: null }))
      await store.putChunk('users/zz', 'chunk', Buffer.from('no stream'))
      const found: string[] = []
      for (let page = await store.streams('', 4); page.length > 0; page = await store.streams(page.at(-1) as string, 4)) {
        expect(page.length).to.be.at.most(4)
        found.push(...page)
      }
      expect(found).to.deep.equal(names.toSorted())
      expect(await store.streams('users/u1x', 2)).to.deep.equal(
        names
          .toSorted()
          .filter((stream) => stream > 'users/u1x')
          .slice(0, 2),
      )
    })

    it('takes buckets of the largest size and the largest count', async () => {
      const { bucketBytesMax, bucketEntriesMax, payloadBytesMax } = defaultLimits
      const large = plainBucket('users/alice', 1, Math.floor(bucketBytesMax / (payloadBytesMax + 100)), Buffer.alloc(payloadBytesMax, 0xf3))
      const many = plainBucket('users/alice', large.lastSeq + 1, bucketEntriesMax)
      expect(large.value.length).to.be.greaterThan(bucketBytesMax * 0.9)
      await commitAll(large, many)
      const [one, two] = await store.read('users/alice', everything)
      expect(one?.value.equals(large.value)).to.equal(true)
      expect(two?.value.equals(many.value)).to.equal(true)
      expect(two?.topic(bucketEntriesMax - 1)).to.equal('users/alice/t')
      expect((await store.load('users/alice')).last?.lastSeq).to.equal(large.count + bucketEntriesMax)
    })

    whereShared('stores exactly one of two buckets that race for one place', async () => {
      for (let round = 0; round < 20; round++) {
        const firstSeq = round * 2 + 1
        const racers = Array.from({ length: 4 }, () => plainBucket('spaces/race', firstSeq, 2))
        const beside = racers.map((_, index) => plainBucket(`spaces/beside${index}`, round + 1))
        const outcomes = await Promise.all(racers.map((bucket, index) => store.commit([bucket, beside[index] as Bucket])))
        expect(outcomes.map(([raced]) => raced)).to.have.members(['stored', 'taken', 'taken', 'taken'])
        expect(outcomes.map(([, alone]) => alone)).to.deep.equal(racers.map(() => 'stored'))
        const winner = racers[outcomes.findIndex(([raced]) => raced === 'stored')] as Bucket
        expect((await store.load('spaces/race')).last?.nonce.equals(winner.nonce)).to.equal(true)
        for (const racer of racers) expect(await store.settle(racer)).to.equal(racer === winner ? 'stored' : 'taken')
      }
      expect((await store.read('spaces/race', everything)).length).to.equal(20)
    })

    whereShared('calls a bucket that begins within a stored one taken', async () => {
      await commitAll(plainBucket('spaces/race', 1, 5))
      expect(await store.commit([plainBucket('spaces/race', 3, 9)])).to.deep.equal(['taken'])
      expect((await store.load('spaces/race')).last?.lastSeq).to.equal(5)
    })

    wherePersistent('finds everything again when opened anew', async (again) => {
      const buckets = await tenBuckets()
      const record: StreamRecord = { first: 2, markBefore: 'abcd', snapshot: null }
      await store.changeRecord('users/alice', () => record)
      await store.putChunk('users/alice', 'one', Buffer.from('chunk'))
      const claimed = await store.documents.claim('sessions', 'alice/phone', 'node-1')
      await store.documents.put('sessions', 'alice/phone', { cursor: 7 }, claimed.generation)
      await openAgain(again)
      expect(seqs(await store.read('users/alice', everything))).to.deep.equal(seqs(buckets))
      expect((await store.load('users/alice')).record).to.deep.equal(record)
      expect((await store.getChunk('users/alice', 'one'))?.toString()).to.equal('chunk')
      expect(await store.documents.get('sessions', 'alice/phone')).to.deep.equal({
        key: 'alice/phone',
        value: { cursor: 7 },
        generation: 1,
        owner: 'node-1',
      })
      await commitAll(plainBucket('users/alice', 31))
    })

    wherePersistent('keeps its epoch, whatever is asked for', async (again) => {
      await store.close()
      store = again(store)
      expect((await store.open({ epoch: 'AbCd-_09', existing: true })).epoch).to.equal(epoch)
    })

    wherePersistent('finds everything again after many small commits', async (again) => {
      const payload = Buffer.alloc(2_000, 0x61)
      for (let seq = 1; seq <= 200; seq++) await commitAll(plainBucket('users/alice', seq, 1, payload))
      await openAgain(again)
      const found = await store.read('users/alice', everything)
      expect(seqs(found)).to.deep.equal(Array.from({ length: 200 }, (_, index) => index + 1))
    })

    documentsContract(() => store.documents)

    /** Ten buckets of three entries: 1–3 to 28–30. */
    async function tenBuckets(): Promise<Bucket[]> {
      const buckets = Array.from({ length: 10 }, (_, index) => plainBucket('users/alice', index * 3 + 1, 3))
      await commitAll(...buckets)
      await commitAll(plainBucket('users/alicd', 1), plainBucket('users/alicf', 1))
      return buckets
    }
  })
}

/** The first seq of each. */
function seqs(buckets: readonly Bucket[]): number[] {
  return buckets.map(({ firstSeq }) => firstSeq)
}
