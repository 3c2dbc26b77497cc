/** A seal on a store that must not be served: one that is not yet filled, or whose content has moved. It stands among the documents. */
import { SyncError } from '../protocol/errors.ts'
import type { Documents } from '../seams/documents.ts'
import type { Store, StoreIdentity } from './stores/store.ts'

export interface Seal {
  readonly why: 'restoring' | 'copying' | 'moved'
  /** For whoever starts a server on it. */
  readonly sentence: string
  readonly epoch: string
}

/** Of documents about the store itself, which no backup holds. */
export const storeCollection = 'store'
const key = 'seal'

export async function sealOf(documents: Documents): Promise<Seal | undefined> {
  return (await documents.get(storeCollection, key))?.value as Seal | undefined
}

/** Durable when it resolves. */
export async function putSeal(documents: Documents, seal: Seal): Promise<void> {
  await documents.put(storeCollection, key, seal)
}

export async function removeSeal(documents: Documents): Promise<void> {
  await documents.remove(storeCollection, key)
}

/** Takes the seal off a store whose content has moved; false where there is none. One that holds a part only keeps it. */
export async function unseal(documents: Documents): Promise<boolean> {
  const seal = await sealOf(documents)
  if (!seal) return false
  if (seal.why !== 'moved') throw new SyncError('store-unavailable', `it is not whole: ${seal.sentence}`)
  await removeSeal(documents)
  return true
}

/** Opens the store as `Store.open`; rejects with `store-unavailable` and the sentence of the seal where there is one. */
export async function openUnsealed(store: Store): Promise<StoreIdentity> {
  const identity = await store.open()
  try {
    const seal = await sealOf(store.documents)
    if (seal) throw new SyncError('store-unavailable', seal.sentence)
  } catch (error) {
    await store.close()
    throw error
  }
  return identity
}
