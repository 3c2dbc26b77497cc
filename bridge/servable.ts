/** Refuses positions that cannot be served, with where the stream stands [P-11.26]. */
import { checkPosition, type Unservable } from '../log/history.ts'
import type { Log } from '../log/log.ts'
import type { Stream } from '../log/stream.ts'
import { SyncError } from '../protocol/errors.ts'
import { formatPosition, type Position } from '../protocol/positions.ts'

/** Throws `trimmed`, `epoch` or `ahead`. */
export async function mustServe(log: Log, stream: Stream, position: Position): Promise<void> {
  const unservable = await checkPosition(log, stream, position)
  if (unservable) throw unservableError(position, unservable)
}

export function unservableError({ epoch, seq, mark }: Position, { reason, first, head }: Unservable): SyncError {
  return new SyncError(reason, `the position ${formatPosition(epoch, seq, mark)} cannot be served`, { reason, first, head })
}
