/** A server as the reader of a stream sees it, on a wire that loses, doubles, swaps and is cut. */
import { ClientError } from '../../client/errors.ts'
import type { EntriesQuery, History } from '../../client/seams.ts'
import { TopicFilter } from '../../protocol/topic-filter.ts'
import type { EntriesPage, Envelope, StatePage } from '../../client/wire.ts'

export const stream = 'spaces/s'

export interface Answerable {
  answer(): void
  fail(): void
  readonly signal: AbortSignal | undefined
}

export class SimulatedLog implements History {
  #epoch = 0
  #lineage = 0
  /** Entry n stands at n - 1; a mark is the lineage it was written in. */
  #log: Envelope[] = []
  #first = 1
  #state = new Map<string, Envelope>()
  readonly #beginnings = new Map<number, string>()
  readonly requests: Answerable[] = []
  readonly listeners = new Set<(envelope: Envelope) => void>()
  readonly pageEntriesMax: number

  constructor(pageEntriesMax: number) {
    this.pageEntriesMax = pageEntriesMax
  }

  get head(): string {
    return this.#posOf(this.#log.length)
  }

  get first(): string {
    return this.#posOf(Math.min(this.#first, this.#log.length))
  }

  entryAt(seq: number): Envelope | undefined {
    return this.#log[seq - 1]
  }

  get fold(): ReadonlyMap<string, Envelope> {
    return this.#state
  }

  append(topic: string, form: 'plain' | 'retained' | 'deleted'): void {
    const seq = this.#log.length + 1
    this.#beginnings.set(seq, this.#mark())
    const envelope: Envelope = {
      pos: this.#posOf(seq),
      id: `e${seq}-${this.#lineage}`,
      ts: seq,
      from: 'alice',
      client: 'c',
      topic: `${stream}/${topic}`,
      ...(form === 'plain' ? { data: seq } : form === 'retained' ? { data: seq, retain: true } : { retain: true, deleted: true }),
    }
    this.#log.push(envelope)
    this.#fold(envelope)
    for (const listener of this.listeners) listener(envelope)
  }

  trim(below: number): void {
    this.#first = Math.max(this.#first, Math.min(below, this.#log.length))
  }

  /** Back to an older time: under a new epoch, or under the same one, as when a copied store goes another way. */
  restore(lost: number, isNewEpoch: boolean): void {
    this.#log = this.#log.slice(0, Math.max(0, this.#log.length - lost))
    this.#lineage++
    if (isNewEpoch) this.#epoch++
    this.#log = this.#log.map((envelope, at) => ({ ...envelope, pos: this.#posOf(at + 1) }))
    this.#first = Math.min(this.#first, Math.max(1, this.#log.length))
    this.#state.clear()
    for (const envelope of this.#log) this.#fold(envelope)
  }

  entries(_stream: string, query: EntriesQuery, signal?: AbortSignal, onNext?: (after: string) => void): Promise<EntriesPage> {
    return this.#later(signal, () => {
      const page = this.#entries(query)
      if (!page.upToDate) onNext?.(page.next)
      return page
    })
  }

  state(_stream: string, query: { readonly topic?: string; readonly after?: string }, signal?: AbortSignal): Promise<StatePage> {
    return this.#later(signal, () => this.#statePage(query))
  }

  #statePage(query: { readonly topic?: string; readonly after?: string }): StatePage {
    const after = query.after === undefined ? 0 : this.#seqOf(query.after)
    const filter = new TopicFilter(query.topic ?? '#')
    const all = [...this.#state.values()]
      .filter((envelope) => this.#seqOf(envelope.pos as string) > after && filter.matches(envelope.topic.slice(stream.length + 1)))
      .sort((a, b) => this.#seqOf(a.pos as string) - this.#seqOf(b.pos as string))
    const entries = all.slice(0, this.pageEntriesMax)
    const upToDate = entries.length === all.length
    return { entries, next: upToDate ? this.head : (entries.at(-1)?.pos as string), pos: this.head, upToDate }
  }

  #entries({ after, topic = '#' }: EntriesQuery): EntriesPage {
    const begin = after === undefined || after === 'earliest' ? this.#first - 1 : this.#check(after)
    const filter = new TopicFilter(topic)
    const entries: Envelope[] = []
    let at = begin
    // A page covers a few entries, matching or not.
    for (; at < this.#log.length && at < begin + this.pageEntriesMax; at++) {
      const envelope = this.#log[at] as Envelope
      if (filter.matches(envelope.topic.slice(stream.length + 1))) entries.push(envelope)
    }
    return { entries, next: this.#posOf(at), head: this.head, first: this.first, upToDate: at === this.#log.length }
  }

  /** In the order of P-2.9 to P-2.13. */
  #check(pos: string): number {
    const seq = this.#seqOf(pos)
    const gone = (code: 'epoch' | 'ahead' | 'trimmed'): ClientError =>
      new ClientError(code, code, { reason: code, first: this.first, head: this.head })
    if (pos.slice(0, 8) !== this.#epochName()) throw gone('epoch')
    if (seq > this.#log.length) throw gone('ahead')
    if (seq < this.#first - 1) throw gone('trimmed')
    if (pos !== this.#posOf(seq)) throw gone('epoch')
    return seq
  }

  #later<T>(signal: AbortSignal | undefined, compute: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const done = (): void => void this.requests.splice(this.requests.indexOf(request), 1)
      const request: Answerable = {
        signal,
        answer: () => {
          done()
          try {
            resolve(compute())
          } catch (error) {
            reject(error)
          }
        },
        fail: () => {
          done()
          reject(new ClientError('network'))
        },
      }
      this.requests.push(request)
    })
  }

  #fold(envelope: Envelope): void {
    if (envelope.deleted) this.#state.delete(envelope.topic)
    else if (envelope.retain) this.#state.set(envelope.topic, envelope)
  }

  #epochName(): string {
    return `epoch${String(this.#epoch).padStart(3, '0')}`
  }

  #mark(): string {
    return `m${String(this.#lineage).padStart(3, '0')}`
  }

  #posOf(seq: number): string {
    return `${this.#epochName()}.${seq}.${seq === 0 ? '0000' : (this.#beginnings.get(seq) ?? '0000')}`
  }

  #seqOf(pos: string): number {
    return Number(pos.split('.')[1])
  }
}
