/**
 * Everything that a store holds, as a sequence of items: first the documents, then stream by stream its chunks, its buckets
 * and last its record. A stream is taken up to the head at the moment when it is read; the documents before all streams, so that
 * no place of a session lies ahead of its stream. Others may append and trim meanwhile.
 */
import type { Bucket } from './bucket.ts'
import { storeCollection } from './seal.ts'
import { chunkNames } from './snapshots.ts'
import type { Store, StreamRecord } from './stores/store.ts'

export type Item =
  | { readonly is: 'document'; readonly collection: string; readonly key: string; readonly generation: number; readonly value: unknown }
  | { readonly is: 'stream'; readonly stream: string }
  | { readonly is: 'chunk'; readonly stream: string; readonly name: string; readonly value: Buffer }
  | { readonly is: 'bucket'; readonly stream: string; readonly bucket: Bucket }
  | { readonly is: 'record'; readonly stream: string; readonly record: StreamRecord | null }

const pageMax = 1_000
const readBytesMax = 1024 * 1024

export async function* contentsOf(store: Store): AsyncGenerator<Item> {
  for (const collection of await store.documents.collections()) {
    if (collection !== storeCollection) yield* documentsOf(store, collection)
  }
  yield* streamsOf(store)
}

/** Names of all streams in ascending order. */
export async function* streamNames(store: Store): AsyncGenerator<string> {
  for (let page = await store.streams('', pageMax); page.length > 0; page = await store.streams(page.at(-1) as string, pageMax)) yield* page
}

async function* documentsOf(store: Store, collection: string): AsyncGenerator<Item> {
  const list = (after: string) => store.documents.list(collection, { after, limit: pageMax })
  for (let page = await list(''); page.length > 0; page = await list(page.at(-1)?.key as string)) {
    for (const { key, generation, value } of page) yield { is: 'document', collection, key, generation, value }
  }
}

async function* streamsOf(store: Store): AsyncGenerator<Item> {
  for await (const stream of streamNames(store)) {
    yield { is: 'stream', stream }
    yield* streamOf(store, stream)
  }
}

/** The last bucket is read even where it was trimmed: it tells which seq comes next. */
async function* streamOf(store: Store, stream: string): AsyncGenerator<Item> {
  const given = new Set<string>()
  let next = 1
  for (let before: StreamRecord | undefined | null = null; ;) {
    const { last, record } = await store.load(stream)
    const head = last?.lastSeq ?? 0
    next = Math.max(next, Math.min(record?.first ?? 1, head))
    let missing = ''
    for (const name of chunkNames(record?.snapshot ?? null)) {
      if (given.has(name)) continue
      const value = await store.getChunk(stream, name)
      if (!value) {
        missing = `the snapshot of ${stream} is damaged at chunk ${name}: it is missing`
        break
      }
      given.add(name)
      yield { is: 'chunk', stream, name, value }
    }
    while (missing === '' && next <= head) {
      const page = await store.read(stream, { from: next, to: head, bytesMax: readBytesMax })
      if (!page[0] || page[0].firstSeq > next) missing = `${stream}: seq ${next} is missing in the store`
      else {
        for (const bucket of page) {
          if (bucket.firstSeq > next) break // The next read tells whether there is a hole.
          yield { is: 'bucket', stream, bucket }
          next = bucket.lastSeq + 1
        }
      }
    }
    if (missing === '') return yield { is: 'record', stream, record: record ?? null }
    // Another node may have trimmed the stream, or replaced its snapshot, while it was read here.
    if (before !== null && before?.first === record?.first && before?.snapshot?.seq === record?.snapshot?.seq) throw new Error(missing)
    before = record
  }
}
