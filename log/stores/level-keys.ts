/**
 * Keys of the embedded store.
 *
 *   L stream NUL seq(8)            a bucket, by its LAST seq: one `gte` seek finds the bucket of any seq
 *   L stream NUL FF*8              the stream's record, right behind its buckets: one seek finds both
 *   C stream NUL name              a chunk of a snapshot
 *   D collection NUL key           a document
 *   M name                         about the store itself
 */
const log = 0x4c
const recordSeq = Buffer.alloc(8, 0xff)

export const metaKey = (name: string): Buffer => Buffer.from(`M${name}`)
export const chunkKey = (stream: string, name: string): Buffer => Buffer.from(`C${stream}\0${name}`)
export const documentKey = (collection: string, key: string): Buffer => Buffer.from(`D${collection}\0${key}`)

export function bucketKey(stream: string, lastSeq: number): Buffer {
  const key = streamKey(stream)
  key.writeUInt32BE(Math.floor(lastSeq / 0x1_0000_0000), key.length - 8)
  key.writeUInt32BE(lastSeq >>> 0, key.length - 4)
  return key
}

export function recordKey(stream: string): Buffer {
  const key = streamKey(stream)
  recordSeq.copy(key, key.length - 8)
  return key
}

export function isRecordKey(key: Buffer): boolean {
  return key.subarray(key.length - 8).equals(recordSeq)
}

export function streamOfKey(key: Buffer): string {
  return key.toString('latin1', 1, key.length - 9)
}

export function collectionOfKey(key: Buffer): string {
  return key.toString('utf8', 1, key.indexOf(0))
}

/** The first and last key under which buckets and the record of any stream can stand. */
export const logRange = { gte: Buffer.from([log]), lt: Buffer.from([log + 1]) }

/** The same for documents. */
export const documentRange = { gte: Buffer.from('D'), lt: Buffer.from('E') }

function streamKey(stream: string): Buffer {
  const key = Buffer.alloc(stream.length + 10)
  key[0] = log
  key.write(stream, 1, 'latin1')
  return key
}
