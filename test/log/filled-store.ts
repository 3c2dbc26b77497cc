/** A store with a little of everything: ids, retained messages, snapshots, a stream that was trimmed, sessions. */
import { contentsOf, type Item } from '../../log/contents.ts'
import { encodeItem } from '../../log/contents-code.ts'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import type { Store } from '../../log/stores/store.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { stateOf, type NaiveState } from './naive-fold.ts'

export const fillLimits: Limits = { ...defaultLimits, snapshotEntriesMax: 25, snapshotChunkBytesMax: 800, bucketEntriesMax: 7 }
/** Its first entries are trimmed away. */
export const trimmedStream = 'users/alice'
/** All its entries are trimmed away. */
export const emptiedStream = 'users/carol'
/** All its entries are there. */
export const wholeStream = 'spaces/board-7'
export const heads: Readonly<Record<string, number>> = {
  'open/-': 9,
  [wholeStream]: 60,
  [trimmedStream]: 90,
  'users/bob': 3,
  [emptiedStream]: 30,
}

/** Opens the store, fills it and closes it; resolves with its epoch. */
export async function fillStore(store: Store): Promise<string> {
  const log = await Log.open({ store, limits: fillLimits })
  const { documents, epoch } = log
  for (const [stream, head] of Object.entries(heads)) {
    const entries = Array.from({ length: head }, (_, index) => publish(log, stream, index + 1))
    await Promise.all(entries)
  }
  await log.trim(trimmedStream, 41)
  await log.trim(emptiedStream, 31)
  const { generation } = await documents.claim('sessions', 'alice/phone', 'node-1')
  const cursors = [{ stream: trimmedStream, acked: 70, sent: 80, filters: [] }]
  await documents.put('sessions', 'alice/phone', { run: '', seenMs: 1_000, cursors, others: [] }, generation)
  await documents.put('others', 'k1', { text: 'Größe \u{1f600}' })
  await documents.claim('others', 'k2', 'node-1')
  await log.close()
  return epoch
}

/** Every third entry is retained, every fifth has an id, some delete. */
export async function publish(log: Log, stream: string, number: number): Promise<void> {
  const topic = stream === 'open/-' ? `legacy/${number % 4}` : `${stream}/t/${number % 11}`
  const payload = Buffer.from(number % 13 === 0 ? '' : `${number} ${'x'.repeat(number)}`)
  const names = { from: number % 2 ? 'alice' : 'bob', client: 'phone', ...(number % 5 === 0 ? { id: `id-${number}` } : {}) }
  await log.publish(stream, {
    ...encodeFrame(topic, payload),
    topic,
    qos: 1,
    retain: number % 3 === 0 || number % 13 === 0,
    ...names,
    receivedMs: 0,
  })
}

/** What an open store holds, as text that can be compared. */
export async function contentOf(store: Store): Promise<string[]> {
  const items: string[] = []
  for await (const item of contentsOf(store)) items.push(encodeItem(item).toString('base64'))
  return items
}

export async function itemsOf(store: Store): Promise<Item[]> {
  const items: Item[] = []
  for await (const item of contentsOf(store)) items.push(item)
  return items
}

/** State and ids of every stream, as a server on the closed store shows them. */
export async function statesOf(store: Store): Promise<NaiveState[]> {
  const log = await Log.open({ store, limits: fillLimits })
  const states: NaiveState[] = []
  for (const name of Object.keys(heads)) states.push(stateOf(await log.state(await log.stream(name))))
  await log.close()
  return states
}
