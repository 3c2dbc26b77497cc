/**
 * A process of its own that speaks MongoDB's protocol and keeps next to nothing: what a node spends on such a store is then
 * the node's own. It counts what it is asked.
 */
import type { Document } from 'mongodb'
import { MongoStub } from '../../../test/support/mongo/stub.ts'

/** How often each command came, by `command collection`; of an insert also how many documents. */
export type Counts = Readonly<Record<string, number>>

export type FromNullStore = { readonly type: 'ready'; readonly url: string } | { readonly type: 'counts'; readonly counts: Counts }

/** Newest buckets that are kept of each stream. */
const keptMax = 4

const stub = await MongoStub.start()
const newest = new Map<string, Document[]>()
const counts = new Map<string, number>()

stub.answer = ({ name, collection, body }) => {
  if (!('$db' in body) || name === 'hello' || name === 'isMaster') return undefined
  count(`${name} ${collection}`, 1)
  if (collection !== 'buckets' || (name !== 'insert' && name !== 'find')) return undefined
  return name === 'insert' ? insert(body['documents'] as Document[]) : find(body)
}
process.on('message', () => process.send?.({ type: 'counts', counts: Object.fromEntries(counts) } satisfies FromNullStore))
process.on('disconnect', () => process.exit())
// The heartbeat of the stub's own URL is that of tests.
process.send?.({ type: 'ready', url: stub.url.split('?')[0] as string } satisfies FromNullStore)

function insert(documents: readonly Document[]): Document {
  count('documents buckets', documents.length)
  for (const document of documents) {
    const kept = newest.get(document['s'] as string) ?? []
    if (kept.length === 0) newest.set(document['s'] as string, kept)
    kept.push(document)
    if (kept.length > keptMax) kept.shift()
  }
  return { n: documents.length, ok: 1 }
}

function find({ filter, sort, limit, $db }: Document): Document {
  const { s, _id: range } = filter as { s?: string; _id?: Record<string, string> }
  const found = (s === undefined ? [] : (newest.get(s) ?? [])).filter(({ _id }) => isWithin(_id as string, range ?? {}))
  if ((sort as Document | undefined)?.['_id'] === -1) found.reverse()
  return { cursor: { id: 0n, ns: `${String($db)}.buckets`, firstBatch: found.slice(0, Number(limit) || found.length) }, ok: 1 }
}

function isWithin(id: string, { $gt, $gte, $lt, $lte }: Record<string, string>): boolean {
  return (
    !($gt !== undefined && id <= $gt) &&
    !($gte !== undefined && id < $gte) &&
    !($lt !== undefined && id >= $lt) &&
    !($lte !== undefined && id > $lte)
  )
}

function count(what: string, by: number): void {
  counts.set(what, (counts.get(what) ?? 0) + by)
}
