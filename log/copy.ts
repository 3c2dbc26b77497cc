/** Moves the content of one store into another, epoch and positions included, and seals the store that it came from. */
import { SyncError } from '../protocol/errors.ts'
import { contentsOf } from './contents.ts'
import { encodeItem, Tally, type Counts } from './contents-code.ts'
import { Filler } from './filler.ts'
import { putSeal, removeSeal, sealOf, storeCollection, type Seal } from './seal.ts'
import type { Store, StoreIdentity } from './stores/store.ts'

export interface CopyOptions {
  /** What the stores are called in sentences; without secrets. */
  readonly fromName: string
  readonly toName: string
  /** Hears of every item written, and of every one read again. */
  readonly told?: (step: 'copying' | 'comparing', counts: Counts) => void
  /** Ends the copying; it may be begun again. */
  readonly signal?: AbortSignal
}

/**
 * Opens both stores, which nobody else may use, copies, compares, and seals the source; closes neither. Until it is done the
 * target is sealed, so that no server begins on a part of the content; a copy that did not end may be begun again.
 */
export async function copyStore(source: Store, target: Store, options: CopyOptions): Promise<Counts> {
  const { fromName, toName } = options
  const { epoch } = await source.open({ existing: true })
  const sourceSeal = await sealOf(source.documents)
  const { epoch: targetEpoch } = sourceSeal ? await openExisting(target, sourceSeal) : await target.open({ epoch })
  const targetSeal = await sealOf(target.documents)
  // The seal of the source may be all that is left of a copy that was about to end.
  const isUnfinished = targetSeal?.why === 'copying' && targetSeal.epoch === epoch
  if (sourceSeal && !(isUnfinished && sourceSeal.why === 'moved')) throw refused(sourceSeal.sentence)
  if (targetSeal && !isUnfinished) throw refused(targetSeal.sentence)
  if (!targetSeal && !(await isEmpty(target))) throw refused(`${toName} is not empty; copy into a new store`)
  if (targetEpoch !== epoch) throw refused(`${toName} was begun as a store of its own; copy into a new one`)
  const sentence = `a copy of ${fromName} into ${toName} did not end; run it again`
  await putSeal(target.documents, { why: 'copying', sentence, epoch } satisfies Seal)
  await removeDocuments(target)
  const copied = await fill(source, target, options)
  await compare(target, copied, options)
  await putSeal(source.documents, { why: 'moved', sentence: `${fromName} has moved: start the server with --store ${toName}`, epoch })
  await removeSeal(target.documents)
  return copied.counts
}

/** A copy that was begun has made its target. */
async function openExisting(target: Store, { sentence }: Seal): Promise<StoreIdentity> {
  try {
    return await target.open({ existing: true })
  } catch (error) {
    throw new SyncError('store-unavailable', sentence, {}, error)
  }
}

/** Whether nothing was ever stored in it. */
export async function isEmpty(store: Store): Promise<boolean> {
  return (await store.streams('', 1)).length === 0 && (await store.documents.collections()).length === 0
}

async function fill(source: Store, target: Store, { told, signal }: CopyOptions): Promise<Tally> {
  const tally = new Tally()
  const filler = new Filler(target)
  for await (const item of contentsOf(source)) {
    signal?.throwIfAborted()
    const bytes = encodeItem(item)
    tally.add(item, bytes)
    await filler.add(item, bytes.length)
    told?.('copying', tally.counts)
  }
  await filler.flush()
  return tally
}

async function compare(target: Store, copied: Tally, { toName, told, signal }: CopyOptions): Promise<void> {
  const found = new Tally()
  for await (const item of contentsOf(target)) {
    signal?.throwIfAborted()
    found.add(item, encodeItem(item))
    told?.('comparing', found.counts)
  }
  for (const name of Object.keys(copied.counts) as (keyof Counts)[]) {
    const [expected, counted] = [copied.counts[name], found.counts[name]]
    if (counted !== expected) throw refused(`${toName} holds ${counted} ${name} instead of ${expected}: it is no copy`)
  }
  if (copied.checksum() !== found.checksum()) throw refused(`${toName} holds as much as was copied, but not the same: it is no copy`)
}

/** Those of an earlier try may have changed since. */
async function removeDocuments({ documents }: Store): Promise<void> {
  for (const collection of await documents.collections()) {
    if (collection === storeCollection) continue
    for (let page = await documents.list(collection, { limit: 1_000 }); page.length > 0;) {
      await Promise.all(page.map(({ key }) => documents.remove(collection, key)))
      page = await documents.list(collection, { limit: 1_000 })
    }
  }
}

function refused(sentence: string): SyncError {
  return new SyncError('store-unavailable', sentence)
}
