/** Questions about positions and times [P-2.1]. */
import { emptyMark, formatPosition, type Position } from '../protocol/positions.ts'
import type { Log } from './log.ts'
import type { Stream } from './stream.ts'

/** Why a position cannot be served, with where the stream stands. */
export interface Unservable {
  readonly reason: 'epoch' | 'ahead' | 'trimmed'
  readonly first: string
  readonly head: string
}

export function headPosition(log: Log, stream: Stream): string {
  return formatPosition(log.epoch, stream.headSeq, stream.headMark)
}

/** The position of the oldest readable entry; of the head where nothing is readable. */
export async function firstPosition(log: Log, stream: Stream): Promise<string> {
  for (;;) {
    const seq = Math.min(stream.first, stream.headSeq)
    try {
      return formatPosition(log.epoch, seq, await log.markOf(stream, seq))
    } catch (error) {
      if (!(await wasTrimmed(log, stream, seq))) throw error
    }
  }
}

/** The position after which everything that is readable comes. */
export function beginning(log: Log, stream: Stream): Position {
  return { epoch: log.epoch, seq: stream.first - 1, mark: stream.markBefore }
}

/** Whether reading can go on after a position: undefined if so. The order of the checks is [P-2.9] to [P-2.13]. */
export async function checkPosition(log: Log, stream: Stream, position: Position): Promise<Unservable | undefined> {
  const refuse = async (reason: Unservable['reason']): Promise<Unservable> => ({
    reason,
    first: await firstPosition(log, stream),
    head: headPosition(log, stream),
  })
  if (position.epoch !== log.epoch) return refuse('epoch')
  if (position.seq > stream.headSeq) {
    await log.confirmHead(stream)
    if (position.seq > stream.headSeq) return refuse('ahead')
  }
  if (position.seq < stream.first - 1) return refuse('trimmed')
  let mark = emptyMark
  try {
    if (position.seq > 0) mark = await log.markOf(stream, position.seq)
  } catch (error) {
    if (await wasTrimmed(log, stream, position.seq)) return checkPosition(log, stream, position)
    throw error
  }
  return position.mark === mark ? undefined : refuse('epoch')
}

/** Whether an entry that could not be read was trimmed away meanwhile, here or on another node. */
async function wasTrimmed(log: Log, stream: Stream, seq: number): Promise<boolean> {
  await log.confirmHead(stream)
  return seq < stream.first
}

/** The smallest readable seq whose entry is not older than `ts`; head + 1 where all are older. */
export async function seqAtTime(log: Log, stream: Stream, ts: number): Promise<number> {
  let low = stream.first
  let high = stream.headSeq + 1
  // Times never fall along the log, so halving finds the bucket; all entries of a bucket have one time.
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [bucket] = await log.read(stream, middle, 1)
    if (!bucket) return middle
    if (bucket.ts < ts) low = bucket.lastSeq + 1
    else high = Math.max(low, Math.min(middle, bucket.firstSeq))
  }
  return low
}
