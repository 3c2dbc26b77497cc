/** An entry on its way into the log. */
import type { SyncError } from '../protocol/errors.ts'

/** What the topic's last retained entry must be for the append to happen [P-9.12]. */
export type Condition =
  | { readonly is: 'none' }
  | { readonly is: 'position'; readonly seq: number; readonly mark: string; readonly epoch: string }
  | { readonly is: 'id'; readonly id: string }

/** Who waits for a draft. Called once per draft, in the order of the stream; must not throw. */
export interface DraftSink {
  settled(draft: Draft): void
}

/** A whole PUBLISH packet, `[start, end)` of `source`, with two bytes for a packet id at `idOffset`. */
export interface Frame {
  readonly source: Buffer
  readonly start: number
  readonly end: number
  readonly idOffset: number
}

export interface DraftFields extends Frame {
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** The encoded user and client. */
  readonly from: string
  readonly client: string
  /** The entry id the client gave; empty where it gave none. */
  readonly id: string
  readonly condition: Condition | undefined
  /** The newest seq the client knew when it first sent this id. */
  readonly since: number | undefined
  /** Whether a retained topic that somebody else created may be deleted. */
  readonly mayDeleteAny: boolean
  /** When the publisher's token was issued, ms: one who was withdrawn later may not publish. Undefined where nobody can be withdrawn. */
  readonly issuedAtMs: number | undefined
  /** When the server had the packet, ms. */
  readonly receivedMs: number
  readonly sink: DraftSink
  /** For the sink's own use. */
  readonly tag: number
}

type Optional = 'id' | 'condition' | 'since' | 'mayDeleteAny' | 'issuedAtMs' | 'tag'
export type DraftRequest = Omit<DraftFields, Optional> & Partial<{ [Name in Optional]: DraftFields[Name] | undefined }>

/** The fields, then the outcome: read `seq`, `mark`, `duplicate` and `error` once `settled` is true. */
export class Draft {
  readonly topic: string
  readonly source: Buffer
  readonly start: number
  readonly end: number
  readonly idOffset: number
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly from: string
  readonly client: string
  readonly id: string
  readonly condition: Condition | undefined
  readonly since: number | undefined
  readonly mayDeleteAny: boolean
  readonly issuedAtMs: number | undefined
  readonly receivedMs: number
  readonly sink: DraftSink
  readonly tag: number
  /** Of another stream: this one is appended together with it or later, never without it. */
  after: Draft | undefined = undefined
  /** It erases the stream before it [P-17.2], and has a bucket to itself. */
  erases = false
  /** The commit that it was last built into, by number. */
  commit = 0
  settled = false
  seq = 0
  mark = ''
  /** Nothing was appended: the same entry stands at `seq` already [P-9.6]. */
  duplicate = false
  error: SyncError | undefined = undefined

  /** For the path of every message: all fields, always in this order, so that all drafts have one shape. */
  constructor(fields: DraftFields) {
    this.topic = fields.topic
    this.source = fields.source
    this.start = fields.start
    this.end = fields.end
    this.idOffset = fields.idOffset
    this.qos = fields.qos
    this.retain = fields.retain
    this.from = fields.from
    this.client = fields.client
    this.id = fields.id
    this.condition = fields.condition
    this.since = fields.since
    this.mayDeleteAny = fields.mayDeleteAny
    this.issuedAtMs = fields.issuedAtMs
    this.receivedMs = fields.receivedMs
    this.sink = fields.sink
    this.tag = fields.tag
  }

  /** For everybody else. */
  static of(request: DraftRequest): Draft {
    const { topic, source, start, end, idOffset, qos, retain, from, client, receivedMs, sink } = request
    const { id = '', condition, since, mayDeleteAny = true, issuedAtMs, tag = 0 } = request
    return new Draft({
      source,
      start,
      end,
      idOffset,
      topic,
      qos,
      retain,
      from,
      client,
      id,
      condition,
      since,
      mayDeleteAny,
      issuedAtMs,
      receivedMs,
      sink,
      tag,
    })
  }

  get bytes(): number {
    return this.end - this.start
  }

  get payload(): Buffer {
    return this.source.subarray(this.idOffset + 2, this.end)
  }

  /** A retained entry without payload takes the topic out of the state [MQTT-3.3.1-10]. */
  get deletes(): boolean {
    return this.retain && this.idOffset + 2 === this.end
  }

  /** Whether the state at the head decides what becomes of it. */
  get needsJudgement(): boolean {
    return this.id !== '' || this.issuedAtMs !== undefined || this.condition !== undefined || (!this.mayDeleteAny && this.deletes)
  }
}

/** A PUBLISH packet with an empty packet id: the form in which entries are packed, stored and sent. */
export function encodeFrame(topic: string, payload: Uint8Array): Frame {
  const topicBytes = Buffer.byteLength(topic)
  const remaining = 4 + topicBytes + payload.length
  const header = remaining < 128 ? 2 : remaining < 16_384 ? 3 : remaining < 2_097_152 ? 4 : 5
  const source = Buffer.allocUnsafe(header + remaining)
  source[0] = publishQos1
  let at = 1
  for (let rest = remaining; ;) {
    const more = rest > 127
    source[at++] = (rest & 127) | (more ? 128 : 0)
    rest >>= 7
    if (!more) break
  }
  source.writeUInt16BE(topicBytes, at)
  source.write(topic, at + 2)
  const idOffset = at + 2 + topicBytes
  source.writeUInt16BE(0, idOffset)
  source.set(payload, idOffset + 2)
  return { source, start: 0, end: source.length, idOffset }
}

/** First byte of a PUBLISH at QoS 1, neither DUP nor RETAIN. */
export const publishQos1 = 0x32
