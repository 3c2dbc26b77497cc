/** Whether streams may be shown to who holds a token, as far as withdrawals have been met on the way [P-16.2]. */
import type { Bucket } from '../log/bucket.ts'
import type { Fold } from '../log/fold.ts'
import type { Member } from '../log/members.ts'
import type { Stream } from '../log/stream.ts'

export class Membership {
  #holder: Member
  /** When the user was withdrawn from streams. */
  readonly #withdrawn = new Map<string, number>()

  constructor(holder: Member) {
    this.#holder = holder
  }

  /** A fresh token replaces the old one. */
  replace(holder: Member): void {
    this.#holder = holder
  }

  /** Whether the user was withdrawn from the stream after the token was issued. */
  isWithdrawn(stream: string): boolean {
    const ts = this.#withdrawn.get(stream)
    return ts !== undefined && this.#holder.issuedAtMs <= ts
  }

  /** Up to which index the entries of a bucket may be shown: the one that withdraws the user, or all of them. */
  shownUntil(bucket: Bucket): number {
    for (let index = 0; bucket.hasAcl && index < bucket.count; index++) {
      if (!bucket.isAcl(index) || bucket.withdrawn(index) !== this.#holder.uid) continue
      this.#withdraw(bucket.stream, bucket.ts)
      if (this.isWithdrawn(bucket.stream)) return index
    }
    return bucket.count
  }

  /** Whether the user is no withdrawn member, as this state of the stream says. */
  mayShow(stream: Stream, state: Fold): boolean {
    const ts = state.withdrawn.get(this.#holder.uid)
    if (ts !== undefined) this.#withdraw(stream.name, ts)
    return !this.isWithdrawn(stream.name)
  }

  #withdraw(stream: string, ts: number): void {
    this.#withdrawn.set(stream, Math.max(ts, this.#withdrawn.get(stream) ?? 0))
  }
}
