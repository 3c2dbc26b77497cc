/** Where kept sessions stand in streams. */
import type { StoredDocument } from '../seams/documents.ts'
import { sessionsCollection, type SessionRecord } from './session-record.ts'

/** Up to where a stored session has acknowledged each stream that it follows; nothing for documents of another kind. */
export function sessionPlaces(collection: string, { value }: StoredDocument): { readonly stream: string; readonly seq: number }[] {
  if (collection !== sessionsCollection || !value) return []
  return (value as SessionRecord).cursors.map(({ stream, acked }) => ({ stream, seq: acked }))
}
