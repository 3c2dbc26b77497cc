/** Which filters a connection may hold: what they ask for, put to its grants [P-4.9]. */
import type { Principal } from '../auth/index.ts'
import { Membership } from '../delivery/membership.ts'
import { SyncError } from '../protocol/errors.ts'
import { parseFilter, type Subscription } from '../protocol/filters.ts'
import { openStream, type TopicRules } from '../protocol/topics.ts'

/** What a token says of its holder. */
export type Holder = Pick<Principal, 'uid' | 'grants' | 'issuedAtMs'>

export class FilterGrants {
  readonly #rules: TopicRules
  readonly #client: string
  readonly membership: Membership
  #holder: Holder

  constructor(rules: TopicRules, client: string, holder: Holder) {
    this.#rules = rules
    this.#client = client
    this.#holder = holder
    this.membership = new Membership(holder)
  }

  /** A fresh token replaces the old one. */
  replace(holder: Holder): void {
    this.#holder = holder
    this.membership.replace(holder)
  }

  /** What the filter asks for; throws what is wrong with it, or `forbidden`. */
  judge(text: string): Subscription {
    const subscription = parseFilter(text, this.#rules)
    if (subscription.door === 'tap') {
      if (!this.#holder.grants.has('tap')) throw new SyncError('forbidden', `${text} crosses streams, which needs the grant tap`)
    } else if (subscription.door === 'reply') {
      if (subscription.client !== this.#client) throw new SyncError('forbidden', `${text}: replies of another client`)
    } else if (!this.covers(subscription.stream, subscription.filter)) {
      throw new SyncError('forbidden', `${text}: no grant to subscribe covers it`)
    }
    return subscription
  }

  /** The same, for a filter that is held already: undefined where it is refused now. */
  judgeHeld(text: string): Subscription | undefined {
    try {
      return this.judge(text)
    } catch (error) {
      if (error instanceof SyncError) return undefined
      throw error
    }
  }

  /** Whether the grants cover a filter of a stream. Topics of the open stream stand behind its name. */
  covers(stream: string, filter: string): boolean {
    if (this.membership.isWithdrawn(stream)) return false
    return this.#holder.grants.covers('subscribe', stream === openStream ? `${openStream}/${filter}` : filter)
  }
}
