/** Where kept sessions stand in streams. */
import type { Documents, StoredDocument } from '../seams/documents.ts'
import { documentsPageMax } from '../seams/limits.ts'
import { sessionsCollection, type SessionRecord } from './session-record.ts'

/** Up to where a stored session has acknowledged each stream that it follows; nothing for documents of another kind. */
export function sessionPlaces(collection: string, { value }: StoredDocument): { readonly stream: string; readonly seq: number }[] {
  if (collection !== sessionsCollection || !value) return []
  return (value as SessionRecord).cursors.map(({ stream, acked }) => ({ stream, seq: acked }))
}

/** For each of these streams that kept sessions follow, up to where the slowest of those has come that were seen since then. */
export async function lowestPlaces(documents: Documents, streams: ReadonlySet<string>, seenSinceMs: number): Promise<Map<string, number>> {
  const lowest = new Map<string, number>()
  const list = (after: string): Promise<StoredDocument[]> => documents.list(sessionsCollection, { after, limit: documentsPageMax })
  for (let page = await list(''); page.length > 0; page = await list(page.at(-1)?.key as string)) {
    for (const document of page) {
      const { seenMs = 0 } = (document.value ?? {}) as Partial<SessionRecord>
      if (seenMs < seenSinceMs) continue
      for (const { stream, seq } of sessionPlaces(sessionsCollection, document)) {
        if (streams.has(stream)) lowest.set(stream, Math.min(seq, lowest.get(stream) ?? seq))
      }
    }
  }
  return lowest
}
