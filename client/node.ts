/** What the SDK has for Node only. */
import { LevelStore } from './outbox/level-store.ts'
import type { OutboxStore } from './outbox/store.ts'

/**
 * An outbox in a folder, for `connect({ outbox })`: what was published survives the end of the process, also a sudden one.
 * One process at a time: a second one's publishes reject with `storage-unavailable`.
 */
export function levelOutbox(folder: string): OutboxStore {
  return new LevelStore(folder)
}
