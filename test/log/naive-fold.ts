/** The state of a stream worked out the long way from all its entries, to hold the fold to. */
import type { Bucket } from '../../log/bucket.ts'
import type { Entry } from '../../log/entry.ts'
import { contentHash, type Fold, type FoldLimits } from '../../log/fold.ts'

export interface NaiveState {
  readonly seq: number
  readonly mark: string
  readonly states: unknown[]
  readonly ids: unknown[]
  readonly idsForgottenUpTo: number
}

/** What chapter 9 says about the log that these buckets make, read from its words. */
export function naiveState(buckets: readonly Bucket[], window: FoldLimits): NaiveState {
  const entries: Entry[] = []
  const given = new Map<number, string>()
  const bucketEnds = new Set(buckets.map(({ lastSeq }) => lastSeq))
  for (const bucket of buckets) {
    for (let index = 0; index < bucket.count; index++) {
      entries.push(bucket.entry(index))
      if (bucket.givenId(index) !== '') given.set(bucket.firstSeq + index, bucket.givenId(index))
    }
  }
  const head = entries.at(-1)
  return { seq: head?.seq ?? 0, mark: head?.mark ?? '0000', states: statesOf(entries), ...idsOf(entries, given, bucketEnds, window) }
}

/** The same shape from a fold. */
export function stateOf(fold: Fold): NaiveState {
  const { seq, mark, idsForgottenUpTo } = fold
  const states = fold.states().map(({ entry, creator }) => ({ ...entry, payload: entry.payload.toString('hex'), creator }))
  const ids = fold.ids().map(({ from, id, hash, ...rest }) => ({ from, id, hash: hash.toString('hex'), ...rest }))
  return { seq, mark, states, ids, idsForgottenUpTo }
}

function statesOf(entries: readonly Entry[]): unknown[] {
  const topics = new Map<string, Entry[]>()
  for (const entry of entries.filter(({ retain }) => retain)) topics.set(entry.topic, [...(topics.get(entry.topic) ?? []), entry])
  const present: { seq: number }[] = []
  for (const history of topics.values()) {
    const last = history.at(-1) as Entry
    if (last.payload.length === 0) continue
    const deletion = history.findLastIndex(({ payload }) => payload.length === 0)
    const creator = (history[deletion + 1] as Entry).from
    present.push({ ...last, payload: last.payload.toString('hex'), creator } as never)
  }
  return present.toSorted((a, b) => a.seq - b.seq)
}

function idsOf(
  entries: readonly Entry[],
  given: ReadonlyMap<number, string>,
  bucketEnds: ReadonlySet<number>,
  window: FoldLimits,
): { ids: unknown[]; idsForgottenUpTo: number } {
  let remembered: Entry[] = []
  let idsForgottenUpTo = 0
  for (const head of entries) {
    if (given.has(head.seq)) remembered = [...remembered.filter(({ from, id }) => from !== head.from || id !== head.id), head]
    if (!bucketEnds.has(head.seq)) continue
    for (let oldest = remembered[0]; oldest && !stays(oldest, head, remembered); oldest = remembered[0]) {
      idsForgottenUpTo = oldest.seq
      remembered.shift()
    }
  }
  const ids = remembered.map(({ from, id, seq, mark, ts, topic, payload, retain }) => {
    return { from, id, hash: contentHash(topic, payload, retain).toString('hex'), seq, mark, ts }
  })
  return { ids, idsForgottenUpTo }

  function stays(oldest: Entry, head: Entry, all: readonly Entry[]): boolean {
    const bytes = all.reduce((sum, { from, id }) => sum + from.length + id.length + 34, 0)
    const inTime = head.ts - oldest.ts < window.idWindowMs
    const inCount = head.seq - oldest.seq < window.idWindowEntries
    return (inTime || inCount) && bytes <= window.idWindowBytesMax
  }
}
