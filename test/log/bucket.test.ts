import { expect } from 'chai'
import * as fc from 'fast-check'
import { Bucket, drawNonce, markOf } from '../../log/bucket.ts'
import { Draft, encodeFrame } from '../../log/draft.ts'
import { bucketOf, draftOf, reread, type DraftOptions } from './buckets.ts'

const names = fc.stringMatching(/^[A-Za-z0-9_=~-]{1,81}$/)
const topics = fc.oneof(
  fc.constant('users/alice/a'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
  fc.constant('ß/\u{1f600}/中'),
)
const payloads = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(0, 100, 127, 128, 16_370, 16_384, 70_000).map((length) => new Uint8Array(length).fill(length % 251)),
)
const options: fc.Arbitrary<DraftOptions> = fc.record({
  topic: topics,
  payload: payloads,
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  retain: fc.boolean(),
  from: names,
  client: names,
  id: fc.oneof(fc.constant(''), fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)),
})

describe('a bucket', () => {
  it('gives back every draft packed into it, at once and from its bytes', () => {
    let examined = 0
    fc.assert(
      fc.property(
        fc.array(options, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 2 ** 48 - 100 }),
        fc.integer({ min: 0, max: 2 ** 48 - 1 }),
        (list, firstSeq, ts) => {
          const drafts = list.map(draftOf)
          const nonce = drawNonce()
          const packed = bucketOf(drafts, { firstSeq, nonce, ts })
          for (const bucket of [packed, reread(packed)]) {
            expect([bucket.firstSeq, bucket.lastSeq, bucket.count, bucket.ts]).to.deep.equal([
              firstSeq,
              firstSeq + drafts.length - 1,
              drafts.length,
              ts,
            ])
            expect(bucket.nonce.equals(nonce)).to.equal(true)
            expect(bucket.mark)
              .to.equal(markOf(nonce))
              .and.to.match(/^[A-Za-z0-9_-]{4}$/)
            expect(bucket.uniform).to.equal(drafts.every(({ qos }) => qos > 0))
            expect(bucket.hasRetained).to.equal(drafts.some(({ retain }) => retain))
            expect(bucket.hasGivenIds).to.equal(drafts.some(({ id }) => id !== ''))
            for (const [index, draft] of drafts.entries()) expectEntry(bucket, index, draft)
            examined += drafts.length
          }
        },
      ),
      { numRuns: 200 },
    )
    expect(examined).to.be.greaterThan(2_000)
  })

  it('packs frames as they are sent: PUBLISH at QoS 1 with an empty packet id, whatever the publisher sent', () => {
    const draft = draftOf({ topic: 'users/alice/ß', payload: 'hello', qos: 2, retain: true })
    draft.source[0] = 0x3d // DUP, QoS 2, RETAIN.
    draft.source.writeUInt16BE(77, draft.idOffset)
    const bucket = reread(bucketOf([draft, draftOf({ payload: 'next' })]))
    const frame = bucket.value.subarray(bucket.frameStarts[0], bucket.frameStarts[1])
    expect(frame.equals(encodeFrame('users/alice/ß', Buffer.from('hello')).source)).to.equal(true)
    expect(frame.length).to.equal(2 + 2 + Buffer.byteLength('users/alice/ß') + 2 + 5)
  })

  it('packs a draft that stands within a larger buffer', () => {
    const frame = encodeFrame('users/alice/x', Buffer.from('inner'))
    const source = Buffer.concat([Buffer.from('before'), frame.source, Buffer.from('after')])
    const draft = new Draft({
      topic: 'users/alice/x',
      source,
      start: 6,
      end: 6 + frame.end,
      idOffset: 6 + frame.idOffset,
      qos: 1,
      retain: false,
      from: 'alice',
      client: 'phone',
      id: '',
      condition: undefined,
      since: undefined,
      mayDeleteAny: true,
      issuedAtMs: undefined,
      receivedMs: 0,
      sink: { settled() {} },
      tag: 0,
    })
    const bucket = reread(bucketOf([draft]))
    expect(bucket.payload(0).toString()).to.equal('inner')
    expect(bucket.topic(0)).to.equal('users/alice/x')
  })

  it('gives an entry without an id one of its own that never changes [P-3.19]', () => {
    const bucket = bucketOf([draftOf(), draftOf({ id: 'given' }), draftOf()])
    const ids = [0, 1, 2].map((index) => bucket.id(index))
    expect([0, 1, 2].map((index) => reread(bucket).id(index))).to.deep.equal(ids)
    expect(ids[1]).to.equal('given')
    expect(new Set(ids).size).to.equal(3)
    for (const id of ids) expect(id).to.match(/^[A-Za-z0-9_-]{1,64}$/)
    expect([bucket.givenId(0), bucket.givenId(1)]).to.deep.equal(['', 'given'])
  })

  it('refuses any flipped bit, naming stream and seq', () => {
    const { value } = bucketOf([draftOf({ id: 'one', retain: true }), draftOf({ from: 'bob', topic: 'users/alice/ß' })], { firstSeq: 42 })
    let refused = 0
    for (let at = 0; at < value.length; at++) {
      if (at === 1) continue // Reserved, and beside the checksum.
      for (const bit of [1, 16, 128]) {
        const flipped = Buffer.from(value)
        flipped[at] = (flipped[at] as number) ^ bit
        expect(() => new Bucket('users/alice', flipped), `byte ${at}`).to.throw(/users\/alice/)
        refused++
      }
    }
    expect(refused).to.be.greaterThan(200)
    const flipped = Buffer.from(value)
    flipped[value.length - 1] = 0
    expect(() => new Bucket('users/alice', flipped)).to.throw('the bucket of users/alice that begins at seq 42 fails its checksum')
  })

  it('refuses a value cut short anywhere', () => {
    const { value } = bucketOf([draftOf(), draftOf()])
    for (let length = 0; length < value.length; length++) {
      expect(() => new Bucket('users/alice', value.subarray(0, length)), `${length} bytes`).to.throw(/users\/alice/)
    }
  })

  it('draws nonces that do not repeat', () => {
    const drawn = Array.from({ length: 5_000 }, () => drawNonce().toString('hex'))
    expect(new Set(drawn).size).to.equal(drawn.length)
  })
})

function expectEntry(bucket: Bucket, index: number, draft: Draft): void {
  const entry = bucket.entry(index)
  expect(entry.payload.equals(draft.payload)).to.equal(true)
  expect({ ...entry, payload: undefined }).to.deep.equal({
    seq: bucket.firstSeq + index,
    mark: bucket.mark,
    id: draft.id === '' ? `${bucket.nonce.toString('base64url')}-${index}` : draft.id,
    ts: bucket.ts,
    from: draft.from,
    client: draft.client,
    topic: draft.topic,
    payload: undefined,
    retain: draft.retain,
    qos: draft.qos,
  })
}
