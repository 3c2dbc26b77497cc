/**
 * Makes the names in a folder durable. A file whose name was never synced is gone after a power loss, with all that was
 * synced in it.
 *
 * Most commits add no file, and a sync costs a fifth of a commit, so it is left out where the folder has not been changed
 * since the last one: its modification time says so. Two changes may carry the same time, though, if the clock of the
 * file system has not moved between them, so a time counts only once it was well past when the folder was last synced;
 * and a file system that counts whole seconds is synced always.
 */
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'

/** Longer than any tick of a file system's clock that counts in parts of a second. */
const tickMsMax = 100
const nsPerMs = 1_000_000n
const nsPerS = 1_000_000_000n

interface FolderHandle {
  sync(): Promise<void>
  close(): Promise<void>
}

export class DurableFolder {
  readonly #path: string
  readonly #handle: FolderHandle
  /** The modification time that the last sync covers for certain, or -1. */
  #coveredNs = -1n

  static async open(path: string): Promise<DurableFolder> {
    return new DurableFolder(path, await open(path, 'r'))
  }

  constructor(path: string, handle: FolderHandle) {
    this.#path = path
    this.#handle = handle
  }

  /** When it resolves, every name that was in the folder when it was called is durable. */
  async syncNames(): Promise<void> {
    // Looked up at once: to ask a thread would cost as much as the sync.
    const { mtimeNs } = statSync(this.#path, { bigint: true })
    if (mtimeNs === this.#coveredNs) return
    const isPast = BigInt(Date.now() - tickMsMax) * nsPerMs > mtimeNs
    await this.#handle.sync()
    this.#coveredNs = isPast && mtimeNs % nsPerS !== 0n ? mtimeNs : -1n
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}
