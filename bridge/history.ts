/** A page of history: parameters into a range of the log, the range into a page [P-11.14 – P-11.26]. */
import { firstPosition, seqAtTime } from '../log/history.ts'
import type { Log } from '../log/log.ts'
import type { Stream } from '../log/stream.ts'
import type { TopicFilter } from '../protocol/topic-filter.ts'
import { formatPosition, parsePosition, type Position } from '../protocol/positions.ts'
import type { Limits } from '../seams/limits.ts'
import type { UnfinishedBuckets } from './bucket-source.ts'
import { mustServe } from './servable.ts'
import { TrimmedMeanwhile, walk, type Walked } from './walk.ts'

/** Exactly as asked; positions in their text form, times in ms. */
export interface HistoryQuery {
  readonly after?: string
  readonly before?: string
  readonly since?: number
  readonly until?: number
  readonly reverse: boolean
  readonly limit: number
  readonly filter: TopicFilter | undefined
}

/** What a page needs beside the log. */
export interface Reading {
  /** Whether nobody waits for the answer any more. */
  readonly isGone: () => boolean
  readonly unfinished: UnfinishedBuckets
}

export interface HistoryPage {
  /** The JSON of `{entries, next, head, first, upToDate}`. */
  readonly document: Buffer
  readonly next: string
  readonly upToDate: boolean
}

/** Throws `bad-position`, `trimmed`, `epoch` or `ahead`. */
export async function historyPage(log: Log, stream: Stream, query: HistoryQuery, reading: Reading): Promise<HistoryPage> {
  const after = query.after === undefined || query.after === 'earliest' ? undefined : parsePosition(query.after)
  const before = query.before === undefined ? undefined : parsePosition(query.before)
  for (;;) {
    try {
      return await page(log, stream, query, { after, before }, reading)
    } catch (error) {
      // Each time the beginning has moved, so this ends; a position that was overtaken is refused by the check.
      if (!(error instanceof TrimmedMeanwhile)) throw error
    }
  }
}

interface Bounds {
  readonly after: Position | undefined
  readonly before: Position | undefined
}

async function page(log: Log, stream: Stream, query: HistoryQuery, bounds: Bounds, reading: Reading): Promise<HistoryPage> {
  // The answer speaks of the head, so the store is asked first [P-2.18].
  await log.confirmHead(stream)
  for (const position of [bounds.after, bounds.before]) if (position) await mustServe(log, stream, position)
  const { headSeq, headMark } = stream
  const { from, to } = await range(log, stream, query, bounds, headSeq)
  const { reverse, limit, filter } = query
  const walked = await walk(log, stream, {
    from,
    to,
    reverse,
    filter,
    entriesMax: limit,
    bytesMax: log.limits.pageBytesMax,
    turnEntriesMax: log.limits.bucketEntriesMax,
    mayGoOn: withinTime(log.limits, reading.isGone),
    unfinished: reading.unfinished,
  })
  const nextSeq = nextOf(walked, { from, to, headSeq, reverse, limit })
  const next = formatPosition(log.epoch, nextSeq, nextSeq === headSeq ? headMark : await markOf(log, stream, nextSeq))
  const upToDate = walked.isEnd
  const head = formatPosition(log.epoch, headSeq, headMark)
  return { document: walked.entries.document({ next, head, first: await firstPosition(log, stream), upToDate }), next, upToDate }
}

/** The seqs asked for, both ends included. */
async function range(
  log: Log,
  stream: Stream,
  { since, until }: HistoryQuery,
  { after, before }: Bounds,
  headSeq: number,
): Promise<{ from: number; to: number }> {
  const from = Math.max(
    stream.first,
    (after?.seq ?? 0) + 1,
    since === undefined ? 0 : Math.min(await seqAtTime(log, stream, since), headSeq + 1),
  )
  const to = Math.min(headSeq, (before?.seq ?? Infinity) - 1, until === undefined ? Infinity : (await seqAtTime(log, stream, until)) - 1)
  return { from, to }
}

interface Range {
  readonly from: number
  readonly to: number
  readonly headSeq: number
  readonly reverse: boolean
  readonly limit: number
}

/** What works as `after` of the next page, or as `before` where pages go backwards; always a seq that has a position. */
function nextOf({ completeTo }: Walked, { from, to, headSeq, reverse, limit }: Range): number {
  // An empty page stands where a page would begin [P-11.25].
  if (limit === 0) return reverse ? Math.min(to + 1, headSeq) : Math.min(from - 1, headSeq)
  return Math.min(completeTo, headSeq)
}

async function markOf(log: Log, stream: Stream, seq: number): Promise<string> {
  if (seq < stream.first - 1) throw new TrimmedMeanwhile(`${stream.name} was trimmed past seq ${seq}`)
  return await log.markOf(stream, seq)
}

/** A search that finds nothing for long ends its page before the client gives up, and the next one goes on from there. */
function withinTime({ holdTimeoutMs }: Limits, isGone: () => boolean): () => boolean {
  const endMs = performance.now() + holdTimeoutMs / 4
  return () => !isGone() && performance.now() < endMs
}
