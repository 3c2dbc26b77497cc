/**
 * Hints as bytes: everything that one node has to say in one turn is one message. A line of JSON with the sender,
 * then the payloads of its ephemeral messages one after the other.
 */
import type { Hint } from '../seams/hints.ts'

type Ephemeral = Extract<Hint, { type: 'ephemeral' }>

/** What is gathered for one message. Of the heads of one stream the newest stays. */
export class HintBatch {
  /** About as many as the message will have. */
  bytes = 0
  count = 0
  readonly #heads = new Map<string, number>()
  readonly #takeovers: [session: string, generation: number][] = []
  readonly #ephemerals: [stream: string, topic: string, from: string, client: string, bytes: number][] = []
  readonly #payloads: Buffer[] = []
  #revoked = false

  add(hint: Hint): void {
    this.count++
    this.bytes += sizeOf(hint)
    switch (hint.type) {
      case 'head':
        return void this.#heads.set(hint.stream, Math.max(hint.seq, this.#heads.get(hint.stream) ?? 0))
      case 'takeover':
        return void this.#takeovers.push([hint.session, hint.generation])
      case 'revoked':
        this.#revoked = true
        return
      case 'ephemeral':
        this.#ephemerals.push([hint.stream, hint.topic, hint.from, hint.client, hint.payload.length])
        // The message is made later in this turn; the bytes may be the sender's read buffer.
        return void this.#payloads.push(Buffer.from(hint.payload))
    }
  }

  encode(node: string): Buffer {
    const header: Header = {
      v: version,
      node,
      ...(this.#revoked ? { revoked: true } : {}),
      ...(this.#takeovers.length > 0 ? { takeovers: this.#takeovers } : {}),
      ...(this.#heads.size > 0 ? { heads: [...this.#heads] } : {}),
      ...(this.#ephemerals.length > 0 ? { ephemerals: this.#ephemerals } : {}),
    }
    return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...this.#payloads])
  }
}

/** About how many bytes of a message the hint takes. */
export function sizeOf(hint: Hint): number {
  const rest = 48
  if (hint.type === 'revoked') return rest
  if (hint.type === 'takeover') return rest + hint.session.length
  if (hint.type === 'head') return rest + hint.stream.length
  return rest + hint.stream.length + hint.topic.length + hint.from.length + hint.client.length + hint.payload.length
}

/** The sender and its hints; undefined for bytes that no node of this release would send. */
export function decodeHints(message: Buffer): { readonly node: string; readonly hints: readonly Hint[] } | undefined {
  const end = message.indexOf(newline)
  const header = end < 0 ? undefined : parsed(message.toString('utf8', 0, end))
  if (!isHeader(header)) return undefined
  const { node, revoked = false, takeovers = [], heads = [], ephemerals = [] } = header
  const hints: Hint[] = revoked ? [{ type: 'revoked' }] : []
  for (const [session, generation] of takeovers) hints.push({ type: 'takeover', session, generation })
  for (const [stream, seq] of heads) hints.push({ type: 'head', stream, seq })
  let at = end + 1
  for (const [stream, topic, from, client, bytes] of ephemerals) {
    const hint: Ephemeral = { type: 'ephemeral', stream, topic, from, client, payload: message.subarray(at, (at += bytes)) }
    hints.push(hint)
  }
  return at === message.length ? { node, hints } : undefined
}

const version = 1
const newline = 10
/** What MQTT can carry: a longer topic could not be delivered. */
const topicBytesMax = 65_535

interface Header {
  readonly v: number
  readonly node: string
  readonly revoked?: boolean
  readonly takeovers?: readonly (readonly [string, number])[]
  readonly heads?: readonly (readonly [string, number])[]
  readonly ephemerals?: readonly (readonly [string, string, string, string, number])[]
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isHeader(json: unknown): json is Header {
  if (typeof json !== 'object' || json === null) return false
  const { v, node, revoked = false, takeovers = [], heads = [], ephemerals = [] } = json as Record<string, unknown>
  return (
    v === version &&
    typeof node === 'string' &&
    typeof revoked === 'boolean' &&
    isListOf(takeovers, isNamedNumber) &&
    isListOf(heads, isNamedNumber) &&
    isListOf(ephemerals, isEphemeral)
  )
}

function isListOf(value: unknown, holds: (row: readonly unknown[]) => boolean): boolean {
  return Array.isArray(value) && value.every((row) => Array.isArray(row) && holds(row))
}

function isNamedNumber(row: readonly unknown[]): boolean {
  return row.length === 2 && typeof row[0] === 'string' && isCount(row[1])
}

function isEphemeral(row: readonly unknown[]): boolean {
  const [, topic, , , bytes] = row
  const texts = row.slice(0, 4)
  return (
    row.length === 5 &&
    texts.every((text) => typeof text === 'string') &&
    isCount(bytes) &&
    Buffer.byteLength(topic as string) <= topicBytesMax
  )
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
