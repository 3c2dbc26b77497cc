/** Positions: one opaque value for MQTT, replay and HTTP [P-2.1]. */
import { SyncError } from './errors.ts'

/** Everything up to entry `seq` of the history `epoch` has been received; `mark` ties seq to the bucket that holds it. */
export interface Position {
  readonly epoch: string
  readonly seq: number
  readonly mark: string
}

/** The mark of the empty beginning, seq 0 [P-2.5]. */
export const emptyMark = '0000'

const form = /^([A-Za-z0-9_-]{8})\.(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{4})$/

export function formatPosition(epoch: string, seq: number, mark: string): string {
  return `${epoch}.${seq}.${mark}`
}

/** Reads a position; throws `bad-position` naming what was found. */
export function parsePosition(text: string): Position {
  const parts = form.exec(text)
  const seq = Number(parts?.[2])
  if (!parts || !Number.isSafeInteger(seq)) {
    throw new SyncError('bad-position', `${JSON.stringify(text.slice(0, 64))} is not a position (epoch.seq.mark)`)
  }
  return { epoch: parts[1] as string, seq, mark: parts[3] as string }
}
