/** What one sync filter must be shown, from its SUBACK on. */
import { parsePosition, type Position } from '../../../protocol/positions.ts'
import { counts } from './counts.ts'
import type { Start } from './ops.ts'
import { matches, violation, type Entry, type Truth } from './truth.ts'

export type Json = Record<string, unknown>

/** What every reader of a run is held to. */
export interface World {
  readonly truth: Truth
  readonly epoch: string
  /** The oldest readable seq; while a trim is under way, the one that it is to be. */
  readonly first: number
  readonly inflightMax: number
  /** Positions that readers were shown. */
  readonly seen: string[]
}

export interface SyncRequest {
  /** The filter as subscribed. */
  readonly text: string
  readonly filter: string
  readonly qos: number
  readonly start: Start
  readonly position: string | undefined
  /** Head and first when the SUBSCRIBE was sent. */
  readonly headMin: number
  readonly firstMin: number
}

export class SyncModel {
  readonly request: SyncRequest
  readonly #world: World
  readonly #asked: Position | undefined
  #state: 'starting' | 'snapshot' | 'snapshot ended' | 'tail' | 'over' = 'starting'
  /** Everything that matches up to here has come. */
  #sent = 0
  #snapshot: Entry[] = []
  #snapshotPos = ''
  #headSeen = 0
  /** The seq up to which it was last told that it is caught up. */
  #caughtUpAt = -1

  constructor(world: World, request: SyncRequest) {
    this.#world = world
    this.request = request
    this.#asked = request.position === undefined ? undefined : parsePosition(request.position)
  }

  /** Whether the topic of an envelope is one of this filter's. */
  isFor(topic: string, qos: number): boolean {
    const { text, filter } = this.request
    const first = text.slice(0, text.indexOf('/') + 1)
    return qos === this.request.qos && topic.startsWith(first) && matches(filter, topic.slice(first.length))
  }

  /** What is due at this head and has not come; undefined where nothing is. */
  missing(head: number): string | undefined {
    if (this.#state === 'over' || this.#caughtUpAt === head) return undefined
    return `${this.request.text} is ${this.#state} at ${this.#sent}, caught up at ${this.#caughtUpAt}`
  }

  envelope(json: Json): void {
    const { truth, epoch, seen } = this.#world
    const pos = json['pos'] as string
    const { seq, mark, epoch: itsEpoch } = parsePosition(pos)
    const entry = truth.at(seq)
    if (!entry || entry.mark !== mark || itsEpoch !== epoch) this.#wrong('[P-8.13]', `${pos} is no entry`)
    const text = json['text'] ?? (json['deleted'] === true ? '' : undefined)
    if (json['topic'] !== entry.topic || text !== entry.text || (json['retain'] === true) !== entry.retain) {
      this.#wrong('[P-3.20]', `seq ${seq} is ${JSON.stringify(json)}, the log has ${JSON.stringify(entry)}`)
    }
    counts.envelopes++
    seen.push(pos)
    if (this.#state === 'snapshot') {
      const due = this.#snapshot.shift()
      if (due?.seq !== seq) this.#wrong('[P-6.16]', `seq ${seq} in the snapshot instead of ${due?.seq}`)
      counts.snapshotEntries++
      return
    }
    if (this.#state !== 'tail') this.#wrong(this.#state === 'over' ? '[P-6.11]' : '[P-6.15]', `seq ${seq} came`)
    const due = this.#due()
    if (due?.seq !== seq) this.#wrong('[P-6.8]', `seq ${seq} came, ${due?.seq} was due`)
    this.#sent = seq
  }

  control(json: Json): void {
    if (this.#state === 'over') this.#wrong('[P-6.11]', `${JSON.stringify(json)} after the end`)
    switch (json['ctl']) {
      case 'at':
        return this.#at(json)
      case 'reset':
        return this.#reset(json)
      case 'snapshot-start':
        return this.#snapshotStart(json)
      case 'snapshot-end':
        if (this.#state !== 'snapshot' || this.#snapshot.length > 0 || json['pos'] !== this.#snapshotPos) {
          this.#wrong('[P-6.16]', `${JSON.stringify(json)} with ${this.#snapshot.length} to come`)
        }
        this.#state = 'snapshot ended'
        counts.snapshots++
        return
      default:
        this.#wrong('[P-6.9]', JSON.stringify(json))
    }
  }

  #snapshotStart(json: Json): void {
    const seq = this.#known(json['pos'])
    const { start, headMin, filter } = this.request
    if (this.#state !== 'starting' || start !== 'snapshot' || seq < headMin) this.#wrong('[P-6.16]', JSON.stringify(json))
    this.#state = 'snapshot'
    this.#sent = seq
    this.#snapshotPos = json['pos'] as string
    this.#snapshot = this.#world.truth.state(seq, filter)
  }

  #at(json: Json): void {
    const [seq, head] = [this.#known(json['pos']), this.#known(json['head'])]
    this.#known(json['first'])
    if (head < this.#headSeen || head < seq) this.#wrong('[P-6.10]', `the head went back to ${head} from ${this.#headSeen}`)
    if (this.#state === 'snapshot') this.#wrong('[P-6.16]', 'at within a snapshot')
    if (this.#state === 'starting') {
      this.#startedAt(seq, head)
      this.#sent = seq
    }
    const due = this.#due()
    if (due && due.seq <= seq) this.#wrong('[P-6.10]', `at ${seq} although seq ${due.seq} has not been sent`)
    if (seq < this.#sent) this.#wrong('[P-6.10]', `at ${seq} although more has been sent`)
    this.#state = 'tail'
    this.#sent = seq
    this.#headSeen = head
    if (seq === head) {
      this.#caughtUpAt = head
      counts.caughtUp++
    }
    this.#world.seen.push(json['pos'] as string)
  }

  /** Where it begins is where it was asked to [P-2.17]. */
  #startedAt(seq: number, head: number): void {
    const { truth, epoch, first } = this.#world
    const { start, headMin, firstMin } = this.request
    const asked = this.#asked
    const where = `began at ${seq}, said that the head was ${head}`
    if (head < headMin) this.#wrong('[P-2.18]', where)
    if (start === 'snapshot') this.#wrong('[P-6.16]', where)
    if (start === 'now' && seq < headMin) this.#wrong('[P-6.1]', where)
    if (start === 'earliest' && (seq < firstMin - 1 || seq > first - 1)) this.#wrong('[P-2.15]', where)
    if (!asked) return
    const served = asked.epoch === epoch && asked.seq === seq && truth.markAt(seq) === asked.mark && seq >= firstMin - 1
    if (!served) this.#wrong('[P-2.17]', where)
  }

  #reset(json: Json): void {
    const [head, first] = [this.#known(json['head']), this.#known(json['first'])]
    const reason = json['reason'] as 'trimmed' | 'epoch' | 'ahead'
    const why = `${JSON.stringify(json)}, the first is ${this.#world.first}`
    if (this.#state === 'snapshot') this.#wrong('[P-6.16]', why)
    if (this.#state === 'starting') this.#refused(reason, head, why)
    else if (reason !== 'trimmed' || this.#world.first <= this.#sent + 1) this.#wrong('[P-6.20]', why)
    if (first > head) this.#wrong('[P-2.8]', why)
    this.#state = 'over'
    counts.resets[reason]++
  }

  /** Whether the reason is the true one. */
  #refused(reason: 'trimmed' | 'epoch' | 'ahead', head: number, why: string): void {
    const { truth, epoch, first } = this.#world
    const { start, headMin, firstMin } = this.request
    const asked = this.#asked
    if (!asked) {
      // Only a trim since the SUBSCRIBE can have come in between.
      if (reason !== 'trimmed' || first <= firstMin || (start !== 'earliest' && first <= headMin + 1)) this.#wrong('[P-2.17]', why)
      return
    }
    const foreign = asked.epoch !== epoch
    if (reason === 'epoch' && !foreign && truth.markAt(asked.seq) === asked.mark) this.#wrong('[P-2.13]', why)
    if (reason === 'ahead' && (foreign || asked.seq <= headMin)) this.#wrong('[P-2.11]', why)
    if (reason === 'ahead' && head < headMin) this.#wrong('[P-2.18]', why)
    if (reason === 'trimmed' && (foreign || asked.seq >= first - 1)) this.#wrong('[P-2.12]', why)
  }

  /** The next entry that matches. */
  #due(): Entry | undefined {
    return this.#world.truth.entries.slice(this.#sent).find(({ topic }) => matches(this.request.filter, topic))
  }

  /** The seq of a position that the server named; it must be one of this history. */
  #known(pos: unknown): number {
    const { epoch, seq, mark } = parsePosition(pos as string)
    if (epoch !== this.#world.epoch || this.#world.truth.markAt(seq) !== mark) this.#wrong('[P-2.4]', `${String(pos)} is no position`)
    return seq
  }

  #wrong(clause: string, what: string): never {
    const { text, headMin, firstMin } = this.request
    const asked = `asked when the head was ${headMin} and the first ${firstMin}`
    return violation(`${clause} ${text} (${asked}, now ${this.#state}, sent ${this.#sent}): ${what}`)
  }
}
