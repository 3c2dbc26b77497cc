/** One stream of a store, looked at from its first stored entry to its head: no hole, no double, and a snapshot that is the fold of the entries. */
import { isDeepStrictEqual } from 'node:util'
import { emptyMark } from '../protocol/positions.ts'
import type { Limits } from '../seams/limits.ts'
import type { Bucket } from './bucket.ts'
import { Fold } from './fold.ts'
import { Snapshots } from './snapshots.ts'
import type { Store, StreamRecord } from './stores/store.ts'

const readBytesMax = 1024 * 1024
/** A stream that is wrong all over need not be told entry by entry. */
const findingsMax = 100

export class StreamCheck {
  readonly #store: Store
  readonly #stream: string
  readonly #limits: Limits
  #record: StreamRecord | undefined = undefined
  readonly findings: string[] = []
  buckets = 0
  entries = 0
  /** The fold of the entries from `#base` on. */
  #fold: Fold
  #base = 1
  /** Topics that an entry from `#base` on has set or deleted; not kept where all entries are there. */
  #touched = new Set<string>()
  #ts = 0
  #compared = false

  constructor(store: Store, stream: string, limits: Limits) {
    this.#store = store
    this.#stream = stream
    this.#limits = limits
    this.#fold = new Fold(limits)
  }

  get hasSnapshot(): boolean {
    return Boolean(this.#record?.snapshot)
  }

  /** Whether the stream was trimmed, or its snapshot replaced, since the look at it began: then what was found need not be so. */
  async isOutdated(): Promise<boolean> {
    const { record } = await this.#store.load(this.#stream)
    return !isDeepStrictEqual(record, this.#record)
  }

  /** Looks at it once; `seen` hears of every bucket. Rejects where it cannot be read further. */
  async run(seen: () => void): Promise<void> {
    const { last, record } = await this.#store.load(this.#stream)
    this.#record = record
    const head = last?.lastSeq ?? 0
    this.#checkRecord(head)
    let next = 1
    while (next <= head) {
      const page = await this.#store.read(this.#stream, { from: next, to: head, bytesMax: readBytesMax })
      if (page.length === 0) return this.#complain(`${range(next, head)} missing`)
      for (const bucket of page) {
        this.#follow(bucket, next)
        this.#checkEntries(bucket)
        next = bucket.lastSeq + 1
        this.buckets++
        this.entries += bucket.count
        seen()
        await this.#checkMarks(bucket)
      }
    }
    // A snapshot whose entries are all gone can only be read.
    if (!this.#compared && record?.snapshot) await this.#loadSnapshot()
  }

  #checkRecord(head: number): void {
    const { first, snapshot, markBefore } = this.#record ?? { first: 1, snapshot: null, markBefore: emptyMark }
    if (first < 1 || first > head + 1) this.#complain(`it begins at seq ${first} and ends at ${head}`)
    if (first === 1 && markBefore !== emptyMark) this.#complain(`it begins at seq 1 and has the mark ${markBefore} before it`)
    if (first > 1 && (snapshot?.seq ?? 0) < first - 1) this.#complain(`it begins at seq ${first}, which no snapshot reaches`)
    if (snapshot && snapshot.seq > head)
      this.#complain(`its snapshot stands at seq ${snapshot.seq}, behind its head ${head}: entries are missing`)
  }

  /** Takes in where the bucket stands. What was trimmed may be gone in part. */
  #follow({ firstSeq, lastSeq }: Bucket, next: number): void {
    if (firstSeq === next) return
    if (firstSeq < next) return this.#complain(`${range(firstSeq, Math.min(lastSeq, next - 1))} there twice`)
    const from = Math.max(next, Math.min(this.#record?.first ?? 1, firstSeq))
    if (from < firstSeq) this.#complain(`${range(from, firstSeq - 1)} missing`)
    this.#base = firstSeq
    this.#touched = new Set()
    const nothing = { states: [], ids: [], idsForgottenUpTo: 0, withdrawn: new Map<string, number>(), senders: [] }
    this.#fold = Fold.restore(this.#limits, { seq: firstSeq - 1, mark: emptyMark, ...nothing })
  }

  #checkEntries(bucket: Bucket): void {
    const { ts } = bucket
    if (ts < this.#ts) this.#complain(`seq ${bucket.firstSeq} is older than the entry before it`)
    this.#ts = Math.max(this.#ts, ts)
    const within = new Map<string, number>()
    for (let index = 0; index < bucket.count; index++) {
      const seq = bucket.firstSeq + index
      const topic = bucket.topic(index)
      if (this.#stream !== 'open/-' && !topic.startsWith(`${this.#stream}/`)) this.#complain(`seq ${seq} has the topic ${topic}`)
      if (bucket.retain(index) && this.#base > 1) this.#touched.add(topic)
      const id = bucket.givenId(index)
      if (id === '') continue
      const from = bucket.from(index)
      const before = within.get(`${from} ${id}`) ?? this.#fold.id(from, id)?.seq
      if (before !== undefined) this.#complain(`the id ${id} of ${from} stands at seq ${before} and again at seq ${seq}`)
      within.set(`${from} ${id}`, seq)
    }
    this.#fold.apply(bucket)
  }

  async #checkMarks(bucket: Bucket): Promise<void> {
    const { first, markBefore, snapshot } = this.#record ?? { first: 1, markBefore: emptyMark, snapshot: null }
    const holds = (seq: number): boolean => bucket.firstSeq <= seq && seq <= bucket.lastSeq
    if (holds(first - 1) && bucket.mark !== markBefore)
      this.#complain(`seq ${first - 1} has the mark ${bucket.mark}, recorded is ${markBefore}`)
    if (!snapshot || !holds(snapshot.seq)) return
    this.#compared = true
    if (bucket.lastSeq !== snapshot.seq) return this.#complain(`its snapshot stands at seq ${snapshot.seq}, within a commit`)
    if (bucket.mark !== snapshot.mark) this.#complain(`seq ${snapshot.seq} has the mark ${bucket.mark}, its snapshot says ${snapshot.mark}`)
    await this.#checkSnapshot()
  }

  async #checkSnapshot(): Promise<void> {
    const snapshot = await this.#loadSnapshot()
    if (!snapshot) return
    const isWhole = this.#base === 1
    const expected = this.#fold.states()
    const found = snapshot.states().filter(({ entry }) => entry.seq >= this.#base || this.#touched.has(entry.topic))
    const differs = expected.find(({ entry, creator }) => {
      const there = snapshot.retained(entry.topic)
      return !there || !isDeepStrictEqual(there.entry, entry) || (isWhole && there.creator !== creator)
    })
    if (differs) return this.#complain(`its snapshot at seq ${snapshot.seq} differs from its entries at the topic ${differs.entry.topic}`)
    const added = found.find(({ entry }) => !this.#fold.retained(entry.topic))
    if (added) return this.#complain(`its snapshot at seq ${snapshot.seq} holds the topic ${added.entry.topic}, which its entries do not`)
    const known = Math.max(snapshot.idsForgottenUpTo, this.#fold.idsForgottenUpTo, this.#base - 1)
    const idsOf = (fold: Fold) => fold.ids().filter(({ seq }) => seq > known)
    if (!isDeepStrictEqual(idsOf(snapshot), idsOf(this.#fold)))
      this.#complain(`its snapshot at seq ${snapshot.seq} remembers other ids than its entries have`)
    const forgotten = [...this.#fold.withdrawn].find(([uid, ts]) => snapshot.withdrawn.get(uid) !== ts)
    const invented = isWhole && snapshot.withdrawn.size !== this.#fold.withdrawn.size
    if (forgotten || invented) this.#complain(`its snapshot at seq ${snapshot.seq} knows other withdrawn members than its entries`)
  }

  async #loadSnapshot(): Promise<Fold | undefined> {
    try {
      return await new Snapshots(this.#store, this.#limits).load(this.#stream, this.#record)
    } catch (error) {
      this.failed(error)
      return undefined
    }
  }

  #complain(finding: string): void {
    this.#add(`${this.#stream}: ${finding}`)
  }

  /** What could not be read. */
  failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    this.#add(message.includes(this.#stream) ? message : `${this.#stream}: ${message}`)
  }

  #add(finding: string): void {
    if (this.findings.length < findingsMax) this.findings.push(finding)
  }
}

function range(from: number, to: number): string {
  return from >= to ? `seq ${from} is` : `seq ${from} to ${to} are`
}
