/** Which filters a connection may hold: what they ask for, put to its grants [P-4.9]. */
import type { Grants } from '../auth/index.ts'
import { SyncError } from '../protocol/errors.ts'
import { parseFilter, type Subscription } from '../protocol/filters.ts'
import { openStream, type TopicRules } from '../protocol/topics.ts'

export class FilterGrants {
  readonly #rules: TopicRules
  readonly #client: string
  #grants: Grants

  constructor(rules: TopicRules, client: string, grants: Grants) {
    this.#rules = rules
    this.#client = client
    this.#grants = grants
  }

  /** Fresh grants replace the old ones. */
  replace(grants: Grants): void {
    this.#grants = grants
  }

  /** What the filter asks for; throws what is wrong with it, or `forbidden`. */
  judge(text: string): Subscription {
    const subscription = parseFilter(text, this.#rules)
    if (subscription.door === 'tap') {
      if (!this.#grants.has('tap')) throw new SyncError('forbidden', `${text} crosses streams, which needs the grant tap`)
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
    return this.#grants.covers('subscribe', stream === openStream ? `${openStream}/${filter}` : filter)
  }
}
