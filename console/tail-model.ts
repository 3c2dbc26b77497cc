/** What the tail holds: a run of entries without a gap, its newest end live, its oldest end growing page by page. */
import type { Entry, HistoryPage, Stream } from '../client/index.ts'
import { TopicFilter } from '../protocol/topic-filter.ts'
import { payloadOf } from './format.ts'

/** Entries kept; of more the oldest are let go, and can be loaded again. */
const keptMax = 2_000
const pageEntries = 100

export class TailModel {
  readonly #stream: Stream
  readonly #changed: () => void
  #entries: Entry[] = []
  /** Where the page before the oldest entry ends; undefined where there is none. */
  #before: string | undefined
  /** Whether the newest entries are those on screen: only then old ones are let go. */
  atEnd = true

  constructor(stream: Stream, changed: () => void) {
    this.#stream = stream
    this.#changed = changed
  }

  get entries(): readonly Entry[] {
    return this.#entries
  }

  get hasOlder(): boolean {
    return this.#before !== undefined
  }

  /** The newest page; resolves with the position that live entries follow. */
  async begin(signal: AbortSignal): Promise<string> {
    const page = await this.#stream.history({ reverse: true, limit: pageEntries, signal })
    this.#entries = page.entries.toReversed()
    this.#took(page)
    return page.head
  }

  /** The page before the oldest entry. */
  async older(signal: AbortSignal): Promise<void> {
    if (this.#before === undefined) return
    const page = await this.#stream.history({ reverse: true, before: this.#before, limit: pageEntries, signal })
    this.#entries = [...page.entries.toReversed(), ...this.#entries]
    this.#took(page)
  }

  add(entry: Entry): void {
    this.#entries.push(entry)
    if (this.atEnd && this.#entries.length > keptMax) this.#letGo()
    this.#changed()
  }

  clear(): void {
    this.#entries = []
    this.#before = undefined
    this.#changed()
  }

  #took({ next, upToDate }: HistoryPage): void {
    this.#before = upToDate ? undefined : next
    this.#changed()
  }

  #letGo(): void {
    this.#entries = this.#entries.slice(-keptMax / 2)
    this.#before = this.#entries.find(({ pos }) => pos !== '')?.pos
  }
}

/** From what the filter box says to a test: an MQTT filter where it has a wildcard, otherwise words that all must occur. */
export function filterOf(text: string): (entry: Entry) => boolean {
  const wanted = text.trim()
  if (wanted === '') return () => true
  if (/(?:^|\/)[#+](?:\/|$)/.test(wanted)) {
    const filter = new TopicFilter(wanted)
    return ({ topic }) => filter.matches(topic)
  }
  const words = wanted.toLowerCase().split(/\s+/)
  return (entry) => {
    const whole = wholeOf(entry)
    return words.every((word) => whole.includes(word))
  }
}

/** Looked through with every frame, so that it is written once. */
const wholes = new WeakMap<Entry, string>()

function wholeOf(entry: Entry): string {
  let whole = wholes.get(entry)
  if (whole === undefined) {
    const { topic, from, client, id, seq } = entry
    whole = `${topic} ${from} ${client} ${id} #${seq} ${payloadOf(entry, false)}`.toLowerCase()
    wholes.set(entry, whole)
  }
  return whole
}
