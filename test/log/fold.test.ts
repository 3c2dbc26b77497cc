import { expect } from 'chai'
import * as fc from 'fast-check'
import { contentHash, Fold } from '../../log/fold.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { bucketOf, draftOf, plainBucket, reread } from './buckets.ts'
import { naiveState, stateOf } from './naive-fold.ts'
import { bucketsFrom, logSteps } from './random-log.ts'

const window = { idWindowMs: 1_000, idWindowEntries: 10, idWindowBytesMax: 400, relayBytesMax: 0 }

describe('the fold of a log', () => {
  it('equals what the clauses say of the whole log, at every bucket [P-9.1]', () => {
    let states = 0
    let ids = 0
    let forgotten = 0
    fc.assert(
      fc.property(logSteps, (steps) => {
        const buckets = bucketsFrom(steps)
        const fold = new Fold(window)
        for (const [index, bucket] of buckets.entries()) {
          fold.apply(index % 2 === 0 ? bucket : reread(bucket))
          const expected = naiveState(buckets.slice(0, index + 1), window)
          expect(stateOf(fold)).to.deep.equal(expected)
          states += expected.states.length
          ids += expected.ids.length
          forgotten += expected.idsForgottenUpTo > 0 ? 1 : 0
        }
      }),
      { numRuns: 150 },
    )
    expect([states > 1_000, ids > 1_000, forgotten > 100], `${states} ${ids} ${forgotten}`).to.deep.equal([true, true, true])
  })

  it('keeps the creator of a topic until it is absent [P-9.2]', () => {
    const fold = new Fold(defaultLimits)
    const topic = 'spaces/s/t'
    const creators = [
      { from: 'alice', payload: '1' },
      { from: 'bob', payload: '2' },
      { from: 'bob', payload: '' },
      { from: 'carol', payload: '' },
      { from: 'bob', payload: '3' },
      { from: 'alice', payload: '4' },
    ].map(({ from, payload }, index) => {
      fold.apply(bucketOf([draftOf({ topic, from, payload, retain: true })], { firstSeq: index + 1 }))
      return fold.retained(topic)?.creator
    })
    expect(creators).to.deep.equal(['alice', 'alice', undefined, undefined, 'bob', 'bob'])
  })

  it('leaves entries without retain out of the state, empty or not', () => {
    const fold = new Fold(defaultLimits)
    fold.apply(bucketOf([draftOf({ retain: true, payload: 'kept' }), draftOf({ payload: '' }), draftOf({ payload: 'passing' })]))
    expect(fold.states().map(({ entry }) => entry.payload.toString())).to.deep.equal(['kept'])
  })

  it('does not pin the bucket a payload came in', () => {
    const fold = new Fold(defaultLimits)
    const bucket = bucketOf([draftOf({ retain: true, payload: 'small', id: 'one' }), draftOf({ payload: Buffer.alloc(100_000) })])
    fold.apply(bucket)
    expect(fold.retained('users/alice/notes/1')?.entry.payload.buffer).to.not.equal(bucket.value.buffer)
    expect(fold.id('alice', 'one')?.hash.buffer).to.not.equal(bucket.value.buffer)
  })

  it('takes in what is new of a bucket it has seen in part, and nothing of one it has seen', () => {
    const drafts = ['a', 'b', 'c', 'd'].map((topic) => draftOf({ topic, retain: true, id: topic, from: topic }))
    const fold = new Fold(defaultLimits)
    fold.apply(bucketOf(drafts.slice(0, 2)))
    const whole = bucketOf(drafts)
    fold.apply(whole)
    expect(fold.states().map(({ entry }) => [entry.topic, entry.seq, entry.mark === whole.mark])).to.deep.equal([
      ['a', 1, false],
      ['b', 2, false],
      ['c', 3, true],
      ['d', 4, true],
    ])
    const before = stateOf(fold)
    fold.apply(whole)
    fold.apply(bucketOf(drafts.slice(2), { firstSeq: 3 }))
    expect(stateOf(fold)).to.deep.equal(before)
  })

  it('refuses a gap, naming stream and seqs', () => {
    const fold = new Fold(defaultLimits)
    fold.apply(plainBucket('users/alice', 1, 3))
    expect(() => fold.apply(plainBucket('users/alice', 5))).to.throw(/users\/alice stands at seq 3.* 5 leaves a gap/)
    expect(fold.seq).to.equal(3)
  })

  it('remembers an id exactly as long as the window says [P-9.5, P-13.26, P-13.27]', () => {
    const wide = { idWindowMs: 1_000, idWindowEntries: 3, idWindowBytesMax: 10_000, relayBytesMax: 0 }
    const at = (seq: number, ts: number): Fold => {
      const fold = new Fold(wide)
      fold.apply(bucketOf([draftOf({ id: 'one' })], { ts: 5_000 }))
      if (seq > 2)
        fold.apply(
          bucketOf(
            Array.from({ length: seq - 2 }, () => draftOf()),
            { firstSeq: 2, ts: 5_000 },
          ),
        )
      fold.apply(bucketOf([draftOf()], { firstSeq: seq, ts }))
      return fold
    }
    expect(at(3, 9_999).id('alice', 'one')?.seq, 'among the last three').to.equal(1)
    expect(at(4, 5_999).id('alice', 'one')?.seq, 'young enough').to.equal(1)
    expect(at(4, 6_000).id('alice', 'one'), 'neither').to.equal(undefined)
    expect(at(4, 5_999).idsForgottenUpTo).to.equal(0)
    expect(at(4, 6_000).idsForgottenUpTo).to.equal(1)
  })

  it('forgets the oldest ids first when their bytes are too many [P-9.5, P-13.28]', () => {
    const narrow = { idWindowMs: 1e9, idWindowEntries: 1e9, idWindowBytesMax: 40 * 5, relayBytesMax: 0 }
    const fold = new Fold(narrow)
    for (let seq = 1; seq <= 8; seq++) fold.apply(bucketOf([draftOf({ from: 'alice', id: `${seq}` })], { firstSeq: seq })) // 40 bytes each.
    expect(fold.ids().map(({ seq }) => seq)).to.deep.equal([4, 5, 6, 7, 8])
    expect(fold.idsForgottenUpTo).to.equal(3)
  })

  it('holds memory for what it remembers only', () => {
    const fold = new Fold({ ...window, idWindowEntries: 100 })
    for (let seq = 1; seq <= 20_000; seq++) {
      fold.apply(
        bucketOf([draftOf({ id: `id${seq}`, topic: `t/${seq % 7}`, retain: true, payload: 'x'.repeat(seq % 50) })], {
          firstSeq: seq,
          ts: seq * 1_000,
        }),
      )
    }
    expect(fold.states().length).to.be.within(6, 7)
    expect(fold.ids().length).to.be.at.most(100)
    expect(fold.bytes).to.be.within(1_000, 50_000)
  })

  it('tells content from content by topic, payload and retain, wherever one ends and the next begins', () => {
    const hashes = [
      contentHash('a', Buffer.from('bc'), false),
      contentHash('ab', Buffer.from('c'), false),
      contentHash('abc', Buffer.from(''), false),
      contentHash('', Buffer.from('abc'), false),
      contentHash('a', Buffer.from('bc'), true),
      contentHash('a', Buffer.from('bd'), false),
    ].map((hash) => hash.toString('hex'))
    expect(new Set(hashes).size).to.equal(hashes.length)
    for (const hash of hashes) expect(hash).to.have.lengthOf(32)
    expect(contentHash('a', Buffer.from('bc'), false).toString('hex')).to.equal(hashes[0])
  })
})
