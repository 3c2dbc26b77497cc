/** What really happened in one run: every entry as the store took it, trimmed ones too. */
import { expect } from 'chai'
import type { Bucket } from '../../../log/bucket.ts'
import { MemoryStore } from '../../../log/stores/memory.ts'
import type { CommitOutcome } from '../../../log/stores/store.ts'
import { TopicFilter } from '../../../protocol/topic-filter.ts'
import { counts } from './counts.ts'

export const streamName = 'users/alice'
export const topics = ['users/alice/a/1', 'users/alice/a/2', 'users/alice/b/1', 'users/alice/b/2'] as const
export const plainFilters = ['users/alice/#', 'users/alice/a/#', 'users/alice/+/1', 'users/alice/b/1'] as const
/** The QoS tells filters on one first level apart: no two that overlap have the same. */
export const syncFilters = [
  { filter: 'users/alice/#', qos: 1 },
  { filter: 'users/alice/a/#', qos: 0 },
  { filter: 'users/alice/b/+', qos: 0 },
] as const

const matchers = new Map(
  [...plainFilters, ...syncFilters.map(({ filter }) => filter)].map((text) => [text as string, new TopicFilter(text)]),
)

export function matches(filter: string, topic: string): boolean {
  return (matchers.get(filter) as TopicFilter).matches(topic)
}

/** Says that a reader was shown what it must not see. */
export function violation(text: string): never {
  throw new Error(text)
}

/** Topic and text together tell an entry from every other: texts are never used twice, and no topic is deleted twice. */
export interface Entry {
  readonly seq: number
  readonly mark: string
  readonly topic: string
  /** Empty where the entry is a deletion. */
  readonly text: string
  readonly qos: number
  readonly retain: boolean
}

export class Truth extends MemoryStore {
  readonly entries: Entry[] = []
  readonly #byContent = new Map<string, Entry>()
  readonly #committing = new Set<Promise<unknown>>()

  override async commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const committing = super.commit(buckets)
    this.#committing.add(committing)
    const outcomes = await committing.finally(() => this.#committing.delete(committing))
    buckets.forEach((bucket, at) => {
      if (outcomes[at] === 'stored') this.#record(bucket)
      if (outcomes[at] === 'taken') counts.collisions++
    })
    return outcomes
  }

  /** Resolves when no commit is on its way: a process that has died does not write beside the next one. */
  async idle(): Promise<void> {
    await Promise.all(this.#committing)
  }

  get head(): number {
    return this.entries.length
  }

  at(seq: number): Entry | undefined {
    return this.entries[seq - 1]
  }

  find(topic: string, text: string): Entry | undefined {
    return this.#byContent.get(`${topic} ${text}`)
  }

  markAt(seq: number): string | undefined {
    return seq === 0 ? '0000' : this.at(seq)?.mark
  }

  /** The retained messages at a head that match, ascending. */
  state(head: number, filter: string): Entry[] {
    const last = new Map<string, Entry>()
    for (const entry of this.entries.slice(0, head)) {
      if (!entry.retain) continue
      last.delete(entry.topic)
      if (entry.text !== '') last.set(entry.topic, entry)
    }
    return [...last.values()].filter(({ topic }) => matches(filter, topic))
  }

  #record(bucket: Bucket): void {
    const { mark } = bucket
    expect(bucket.firstSeq, 'contiguous [P-1.1]').to.equal(this.head + 1)
    for (let index = 0; index < bucket.count; index++) {
      const [topic, text] = [bucket.topic(index), bucket.payload(index).toString()]
      const entry = { seq: bucket.firstSeq + index, mark, topic, text, qos: bucket.qos(index), retain: bucket.retain(index) }
      expect(this.find(topic, text)?.seq, `${topic} ${text} is there twice [P-8.8]`).to.equal(undefined)
      this.entries.push(entry)
      this.#byContent.set(`${topic} ${text}`, entry)
    }
    counts.entries += bucket.count
  }
}
