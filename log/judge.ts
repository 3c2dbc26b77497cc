/** Judges drafts against the state at the very head they are appended to [P-9.16]: first the id, then membership, deletion and the condition [P-9.11]. */
import { SyncError, type ErrorCode } from '../protocol/errors.ts'
import type { Condition, Draft } from './draft.ts'
import type { Entry } from './entry.ts'
import { contentHash, type Fold } from './fold.ts'
import type { InboxRoom } from './inbox-sizes.ts'
import { withdrawn, withdrawnBy } from './members.ts'

export interface JudgeParts {
  readonly epoch: string
  /** The first seq and the mark of the bucket being built. */
  readonly nextSeq: number
  readonly mark: string
  /** Of the bucket being built: entries of it shown in a refusal carry their derived id and time from here [P-3.19]. */
  readonly nonce?: Buffer
  /** Where the stream's members are withdrawn, if it has any. */
  readonly aclTopic?: string | undefined
  readonly ts?: number
  /** Of an inbox. */
  readonly room?: InboxRoom | undefined
}

/** One judge per bucket: a draft is judged against the fold and the drafts accepted before it. What it says holds if that bucket is stored. */
export class Judge {
  readonly #fold: Fold | undefined
  readonly #parts: JudgeParts
  #nextSeq: number
  /** What the accepted drafts made of their topics; null where the last one deleted it. */
  readonly #topics = new Map<string, Changed | null>()
  readonly #ids = new Map<string, Accepted>()
  /** By accepted drafts: from the same bucket on. */
  #withdrawn: Set<string> | undefined = undefined
  /** Bytes of accepted drafts, by sender, in an inbox. */
  readonly #sent = new Map<string, number>()

  /** `fold` may be missing where no draft of the bucket needs judgement. */
  constructor(fold: Fold | undefined, parts: JudgeParts) {
    this.#fold = fold
    this.#parts = parts
    this.#nextSeq = parts.nextSeq
  }

  /**
   * True: append it, it takes the next seq. False: it is settled otherwise, as a duplicate with the seq and
   * mark of the entry that stands already, or with its error. Leaves `settled` to the caller; may be asked
   * again about a draft whose bucket was not stored.
   */
  judge(draft: Draft): boolean {
    const fold = this.#fold
    if (!fold) return true
    if (draft.needsJudgement) {
      draft.duplicate = false
      draft.error = draft.after?.error
      if (
        draft.error ||
        !this.#idIsFree(fold, draft) ||
        !this.#isMember(fold, draft) ||
        !this.#hasRoom(fold, draft) ||
        !this.#mayDelete(draft) ||
        !this.#conditionHolds(draft)
      )
        return false
    }
    this.#accept(draft)
    return true
  }

  #idIsFree(fold: Fold, draft: Draft): boolean {
    if (draft.id === '') return true
    const accepted = this.#ids.get(`${draft.from} ${draft.id}`)
    if (accepted) {
      return repeated(draft, accepted.seq, this.#parts.mark, sameContent(draft, accepted.draft))
    }
    const known = fold.id(draft.from, draft.id)
    if (known) {
      return repeated(draft, known.seq, known.mark, known.hash.equals(contentHash(draft.topic, draft.payload, draft.retain)))
    }
    // A `since` of another history comes as a negative number: nothing reaches back to it [P-9.9].
    if (draft.since !== undefined && draft.since < fold.idsForgottenUpTo) {
      return refuse(draft, 'unknown-outcome', `id ${draft.id}: ids up to seq ${fold.idsForgottenUpTo} may be forgotten [P-9.9]`)
    }
    return true
  }

  #isMember(fold: Fold, draft: Draft): boolean {
    const { from, issuedAtMs = Infinity } = draft
    if (fold.isMember(from, issuedAtMs) && !(this.#withdrawn?.has(from) && issuedAtMs <= (this.#parts.ts ?? Infinity))) return true
    draft.error = withdrawn(from, quoteTopic(draft))
    return false
  }

  #hasRoom(fold: Fold, draft: Draft): boolean {
    const { room } = this.#parts
    if (!room) return true
    const { from, bytes } = draft
    const there = fold.inbox.bytesOf(from, room.first) + (this.#sent.get(from) ?? 0)
    if (there + bytes <= room.bytesMax) return true
    return refuse(
      draft,
      'too-many-requests',
      `${quoteTopic(draft)}: ${from} has ${there} bytes there, of ${room.bytesMax} at most [P-15.11]`,
    )
  }

  #mayDelete(draft: Draft): boolean {
    if (draft.mayDeleteAny || !draft.deletes) return true
    const current = this.#current(draft.topic)
    if (!current || current.creator === draft.from) return true
    return refuse(draft, 'forbidden', `${quoteTopic(draft)}: only its creator or an owner may delete it [P-9.3]`)
  }

  #conditionHolds(draft: Draft): boolean {
    const { condition } = draft
    if (!condition) return true
    if (!draft.retain) return refuse(draft, 'bad-request', `${quoteTopic(draft)}: a condition requires retain [P-9.12]`)
    const current = this.#current(draft.topic)?.entry ?? null
    if (this.#holds(condition, current, draft.from)) return true
    return refuse(draft, 'conflict', `${quoteTopic(draft)}: the condition does not hold [P-9.15]`, { current })
  }

  #holds(condition: Condition, current: Entry | null, from: string): boolean {
    if (condition.is === 'none') return current === null
    if (condition.is === 'id') return current?.id === condition.id && current.from === from
    return current?.seq === condition.seq && current.mark === condition.mark && this.#parts.epoch === condition.epoch
  }

  #current(topic: string): { readonly entry: Entry; readonly creator: string } | undefined {
    const changed = this.#topics.get(topic)
    if (changed === undefined) return this.#fold?.retained(topic)
    return changed ? { entry: this.#entryOf(changed), creator: changed.creator } : undefined
  }

  #accept(draft: Draft): void {
    const seq = this.#nextSeq++
    if (draft.id !== '') this.#ids.set(`${draft.from} ${draft.id}`, { draft, seq })
    if (this.#parts.room) this.#sent.set(draft.from, (this.#sent.get(draft.from) ?? 0) + draft.bytes)
    if (draft.topic === this.#parts.aclTopic) (this.#withdrawn ??= new Set()).add(withdrawnBy(draft.payload))
    if (!draft.retain) return
    const { topic } = draft
    if (draft.deletes) this.#topics.set(topic, null)
    else this.#topics.set(topic, { draft, seq, creator: this.#creator(topic) ?? draft.from })
  }

  #creator(topic: string): string | undefined {
    const changed = this.#topics.get(topic)
    return changed === undefined ? this.#fold?.retained(topic)?.creator : changed?.creator
  }

  #entryOf({ draft, seq }: Accepted): Entry {
    const { nonce, mark, nextSeq, ts = draft.receivedMs } = this.#parts
    const id = draft.id || (nonce ? `${nonce.toString('base64url')}-${seq - nextSeq}` : '')
    const { from, client, topic, payload, retain, qos } = draft
    return { seq, mark, id, ts, from, client, topic, payload, retain, qos }
  }
}

interface Accepted {
  readonly draft: Draft
  readonly seq: number
}

interface Changed extends Accepted {
  readonly creator: string
}

/** Always false: the id is not free. */
function repeated(draft: Draft, seq: number, mark: string, same: boolean): false {
  if (!same) return refuse(draft, 'id-reused', `id ${draft.id} stands for other content at seq ${seq} [P-9.7]`)
  draft.duplicate = true
  draft.seq = seq
  draft.mark = mark
  return false
}

function refuse(draft: Draft, code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): false {
  draft.error = new SyncError(code, message, details)
  return false
}

function sameContent(a: Draft, b: Draft): boolean {
  return a.topic === b.topic && a.retain === b.retain && a.payload.equals(b.payload)
}

function quoteTopic({ topic }: Draft): string {
  return JSON.stringify(topic)
}
