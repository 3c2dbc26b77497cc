/** Drafts and buckets for the tests of the log. */
import { Bucket, drawNonce, packBucket } from '../../log/bucket.ts'
import { Draft, encodeFrame, type DraftRequest, type Frame } from '../../log/draft.ts'

export interface DraftOptions extends Partial<Omit<DraftRequest, keyof Frame>> {
  readonly payload?: Uint8Array | string
}

export function draftOf(options: DraftOptions = {}): Draft {
  const { payload = 'payload', topic = 'users/alice/notes/1', ...rest } = options
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
  return Draft.of({
    ...encodeFrame(topic, bytes),
    topic,
    qos: 1,
    retain: false,
    from: 'alice',
    client: 'phone',
    receivedMs: 1_000,
    sink: { settled() {} },
    ...rest,
  })
}

export interface BucketOptions {
  readonly stream?: string
  readonly firstSeq?: number
  readonly nonce?: Buffer
  readonly ts?: number
}

export function bucketOf(drafts: readonly Draft[], options: BucketOptions = {}): Bucket {
  const { stream = 'users/alice', firstSeq = 1, nonce = drawNonce(), ts = 1_700_000_000_000 } = options
  return packBucket(stream, firstSeq, nonce, ts, drafts)
}

/** A bucket of plain entries, `count` of them. */
export function plainBucket(stream: string, firstSeq: number, count = 1, payload: Uint8Array | string = 'payload'): Bucket {
  return bucketOf(
    Array.from({ length: count }, () => draftOf({ topic: `${stream}/t`, payload })),
    { stream, firstSeq },
  )
}

/** The same bucket as it comes from a disk. */
export function reread(bucket: Bucket): Bucket {
  return new Bucket(bucket.stream, Buffer.from(bucket.value))
}
