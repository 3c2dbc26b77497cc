/** Each sync subscription, and each reader of the SDK: every matching entry from its beginning on, in order, or an explicit reset [P-6.1 to P-6.20]. */
import type { ControlEvent, GotEvent, OpenEvent } from '../record.ts'
import { matches, type Entry, type Facts, type StreamLog } from './facts.ts'
import { seqOf } from './positions.ts'
import { Notes, type Finding } from './promise.ts'

type Told = GotEvent | ControlEvent

export function syncReaders(facts: Facts): Finding {
  const notes = new Notes()
  const subscriptions = new Map<number, { readonly open: OpenEvent; readonly told: Told[] }>()
  for (const event of facts.record) {
    if (event.k === 'open' && event.door !== 'plain') subscriptions.set(event.sub, { open: event, told: [] })
    else if (event.k === 'got' || event.k === 'ctl') subscriptions.get(event.sub)?.told.push(event)
  }
  for (const { open, told } of subscriptions.values()) new Reading(facts.log(open.stream ?? ''), open, notes).follow(told)
  return notes
}

class Reading {
  readonly #log: StreamLog
  readonly #open: OpenEvent
  readonly #notes: Notes
  /** Everything matching up to here was sent; undefined before that is known. */
  #at: number | undefined
  /** What a snapshot still has to bring. */
  #snapshot: Entry[] | undefined
  #snapshotAt = 0
  #over = false
  readonly #filter: string

  constructor(log: StreamLog, open: OpenEvent, notes: Notes) {
    this.#log = log
    this.#open = open
    this.#notes = notes
    this.#filter = `${open.stream}/${open.filter}`
    const from = seqOf(open.from)
    if (from >= 0) this.#at = from
    // Nobody tells where it begins: nothing is trimmed on that path.
    else if (open.door === 'sdk') this.#at = 0
  }

  follow(told: readonly Told[]): void {
    for (const event of told) {
      this.#expect(!this.#over, () => `something came after \`reset\` or \`ended\`, at ${event.t}`)
      if (event.k === 'got') this.#got(event)
      else this.#control(event)
    }
  }

  #got({ e: [pos], t }: GotEvent): void {
    const seq = seqOf(pos)
    if (this.#snapshot) {
      const wanted = this.#snapshot.shift()
      this.#expect(wanted?.seq === seq, () => `the snapshot at ${this.#snapshotAt} shows ${pos} instead of ${wanted?.pos} at ${t}`)
      return
    }
    this.#expect(this.#at !== undefined, () => `${pos} came before the first \`at\`, at ${t}`)
    if (this.#at !== undefined) {
      const wanted = this.#next(this.#at)
      this.#expect(wanted === seq, () => `${pos} came at ${t} instead of seq ${wanted}, after ${this.#at}`)
    }
    this.#at = seq
  }

  #control({ ctl, pos, first, t }: ControlEvent): void {
    const seq = seqOf(pos)
    if (ctl === 'reset' || ctl === 'ended') this.#over = true
    else if (ctl === 'snapshot-start') {
      this.#snapshotAt = seq
      this.#snapshot = this.#log.state(seq).filter(({ topic }) => matches(this.#filter, topic))
    } else if (ctl === 'snapshot-end') {
      this.#expect(this.#snapshot?.length === 0, () => `the snapshot at ${seq} ended ${this.#snapshot?.length} topics too early, at ${t}`)
      this.#snapshot = undefined
      this.#at = seq
    } else if (ctl === 'at') {
      if (this.#at === undefined) {
        if (this.#open.from === 'earliest')
          this.#expect(
            seq === seqOf(first) - 1 || seqOf(first) <= 0,
            () => `earliest begins after ${pos}, where the first is ${first}, at ${t}`,
          )
      } else {
        const wanted = this.#next(this.#at)
        this.#expect(seq >= this.#at && (wanted === undefined || wanted > seq), () => {
          return `\`at\` ${pos} came at ${t} after ${this.#at}, and seq ${wanted} had not`
        })
      }
      this.#at = seq
    }
  }

  /** The first matching entry after a seq. */
  #next(after: number): number | undefined {
    for (let seq = after + 1; seq <= this.#log.lastSeq; seq++) {
      const entry = this.#log.entries.get(seq)
      if (entry && matches(this.#filter, entry.topic)) return seq
    }
    return undefined
  }

  #expect(holds: boolean, wrong: () => string): void {
    const { reader, sub, from, filter } = this.#open
    this.#notes.expect(holds, () => `${this.#log.name}: ${reader}, subscription ${sub} of ${filter} from ${from}: ${wrong()}`)
  }
}
