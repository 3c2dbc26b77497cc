/** The first part of every position: which history of a store it belongs to [P-2.2]. */
import { drawNonce } from './bucket.ts'

/** A new one. It does not begin with a hyphen: what stands behind a command would take the position for an option. */
export function drawEpoch(): string {
  for (;;) {
    const epoch = drawNonce().toString('base64url', 0, 6)
    if (!epoch.startsWith('-')) return epoch
  }
}
