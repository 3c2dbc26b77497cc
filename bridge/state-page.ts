/** A page of state: the last retained entry of each topic, in the order of the log [P-11.30 – P-11.32]. */
import { checkPosition, type Unservable } from '../log/history.ts'
import type { Retained } from '../log/fold.ts'
import type { Log } from '../log/log.ts'
import type { Stream } from '../log/stream.ts'
import type { TopicFilter } from '../protocol/topic-filter.ts'
import { emptyMark, formatPosition, parsePosition, type Position } from '../protocol/positions.ts'
import { EnvelopeArray, envelopeOfEntry } from './envelopes.ts'
import { unservableError } from './servable.ts'

/** Exactly as asked; `after` in its text form. */
export interface StateQuery {
  readonly after?: string
  readonly limit: number
  readonly filter: TopicFilter | undefined
}

/** The JSON of `{entries, next, pos, upToDate}`. Throws `bad-position`, `trimmed`, `epoch` or `ahead`. */
export async function statePage(log: Log, stream: Stream, { after, limit, filter }: StateQuery): Promise<Buffer> {
  const asked = after === undefined || after === 'earliest' ? undefined : parsePosition(after)
  await log.confirmHead(stream)
  const unservable = asked && (await checkPosition(log, stream, asked))
  const fold = await log.state(stream)
  // No turn passes from here on, so that the page and its `pos` are of one state.
  const states = fold.states()
  if (asked && unservable && !leadsOn(states, asked, unservable)) throw unservableError(asked, unservable)
  const entries = new EnvelopeArray()
  let next: Position = asked ?? { epoch: log.epoch, seq: 0, mark: emptyMark }
  let upToDate = true
  for (let at = indexAfter(states, next.seq); at < states.length; at++) {
    const { entry } = states[at] as Retained
    if (filter && !filter.matches(entry.topic)) continue
    const envelope = entries.count < limit ? envelopeOfEntry(log.epoch, entry) : undefined
    if (!envelope || (entries.count > 0 && entries.bytes + envelope.length > log.limits.pageBytesMax)) {
      upToDate = false
      break
    }
    entries.push(envelope)
    next = { epoch: log.epoch, seq: entry.seq, mark: entry.mark }
  }
  return entries.document({
    next: formatPosition(next.epoch, next.seq, next.mark),
    pos: formatPosition(log.epoch, fold.seq, fold.mark),
    upToDate,
  })
}

/**
 * An entry stays in the state when the log around it is gone: what was the end of a state page leads on to the
 * next. Where the topic has changed since, nothing is left to hold the mark against.
 */
function leadsOn(states: readonly Retained[], { seq, mark }: Position, { reason }: Unservable): boolean {
  if (reason !== 'trimmed') return false
  if (seq === 0) return mark === emptyMark
  const entry = states[indexAfter(states, seq - 1)]?.entry
  return entry?.seq !== seq || entry.mark === mark
}

/** Of the first state after `seq`; they stand in ascending order. */
function indexAfter(states: readonly Retained[], seq: number): number {
  let low = 0
  let high = states.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((states[middle] as Retained).entry.seq <= seq) low = middle + 1
    else high = middle
  }
  return low
}
