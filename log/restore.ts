/** Fills an empty store from a backup. Its history has an epoch of its own, so that every reader learns that it may have lost something. */
import { SyncError } from '../protocol/errors.ts'
import type { BackupReader } from './backup.ts'
import { isEmpty } from './copy.ts'
import type { Counts } from './contents-code.ts'
import { Filler } from './filler.ts'
import { putSeal, removeSeal, sealOf } from './seal.ts'
import type { Store } from './stores/store.ts'

export interface RestoreOptions {
  /** What the store is called in sentences; without secrets. */
  readonly name: string
  readonly told?: (counts: Counts) => void
  readonly signal?: AbortSignal
}

/** Opens the store and fills it; closes it not. The header of the backup was read. Resolves with the new epoch. */
export async function restoreInto(store: Store, backup: BackupReader, { name, told, signal }: RestoreOptions): Promise<string> {
  const { epoch } = await store.open()
  const seal = await sealOf(store.documents)
  if (seal) throw new SyncError('store-unavailable', seal.sentence)
  if (!(await isEmpty(store))) throw new SyncError('store-unavailable', `${name} is not empty; restore into a new store`)
  await putSeal(store.documents, { why: 'restoring', sentence: `a restore into ${name} did not end; remove it and restore again`, epoch })
  const filler = new Filler(store)
  for await (const { item, bytes } of backup.items()) {
    signal?.throwIfAborted()
    await filler.add(item, bytes)
    told?.(backup.counts)
  }
  await filler.flush()
  await removeSeal(store.documents)
  return epoch
}
