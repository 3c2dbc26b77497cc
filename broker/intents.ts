/**
 * QoS 2 publishes of a session [P-4.3]. Each packet id stands for the entry id its publish will have. In a clean=0
 * session that intent is durable before the append, so that a publish repeated after a crash finds the
 * same id and appends nothing; it is removed before PUBCOMP.
 */
import { randomUUID } from 'node:crypto'
import { asSyncError } from '../protocol/errors.ts'
import type { Link } from './link.ts'
import { intentsCollection } from './session-record.ts'

interface OpenIntent {
  readonly id: string
  /** `stored`: known from before this connection, not yet repeated on it. */
  state: 'stored' | 'appending' | 'received'
}

/** An intent on disk: the entry id, and where its entry can be found if it was appended. */
interface StoredIntent {
  readonly id: string
  readonly stream: string
  /** The head when the id was chosen. */
  readonly since: number
}

export class Intents {
  readonly #link: Link
  #open: Map<number, OpenIntent> | undefined = undefined
  /** Appends that wait for an intent in front of them. */
  #behind: (() => void)[] = []
  #storing = 0

  constructor(link: Link) {
    this.#link = link
  }

  /** Whether an intent is on its way to the disk: nothing passes it. */
  get waiting(): boolean {
    return this.#storing > 0
  }

  /** Calls once every intent begun so far is durable. */
  behind(append: () => void): void {
    this.#behind.push(append)
  }

  /** A PUBLISH with this packet id has come. */
  begin(packetId: number, stream: string): { readonly id: string } | 'appending' | 'received' | 'full' {
    const open = (this.#open ??= new Map<number, OpenIntent>())
    const known = open.get(packetId)
    if (known?.state === 'appending' || known?.state === 'received') return known.state
    if (known) {
      known.state = 'appending'
      return known
    }
    if (open.size >= this.#link.hub.limits.qos2OpenMax) return 'full'
    const intent: OpenIntent = { id: randomUUID(), state: 'appending' }
    open.set(packetId, intent)
    if (!this.#link.clean) this.#store(packetId, intent, stream)
    return intent
  }

  /** The entry is on disk. */
  received(packetId: number): void {
    const intent = this.#open?.get(packetId)
    if (intent) intent.state = 'received'
  }

  /** The client has let go of the packet id. Resolves when a new publish may use it. */
  release(packetId: number): Promise<void> | undefined {
    if (!this.#open?.delete(packetId) || this.#link.clean) return undefined
    return this.#link.hub.log.documents.remove(intentsCollection, this.#key(packetId)).then(() => {})
  }

  /** Reads the intents of the session, and finds in the log which of them were carried out. */
  async restore(): Promise<void> {
    const { key, hub } = this.#link
    const stored = await hub.log.documents.list(intentsCollection, { prefix: `${key}/`, limit: hub.limits.qos2OpenMax })
    for (const { key: name, value } of stored) {
      const intent = value as StoredIntent
      const state = (await this.#isLogged(intent)) ? 'received' : 'stored'
      this.#open ??= new Map<number, OpenIntent>()
      this.#open.set(Number(name.slice(key.length + 1)), { id: intent.id, state })
    }
  }

  /** The log itself is asked, because many later entries may have pushed the id out of the remembered ones. */
  async #isLogged({ id, stream: name, since }: StoredIntent): Promise<boolean> {
    const { log } = this.#link.hub
    const stream = await log.stream(name)
    await log.confirmHead(stream)
    for (let seq = Math.max(since + 1, stream.first); seq <= stream.headSeq;) {
      const buckets = await log.read(stream, seq)
      for (const bucket of buckets) {
        for (let index = 0; bucket.hasGivenIds && index < bucket.count; index++) {
          if (bucket.givenId(index) === id && bucket.from(index) === this.#link.uid) return true
        }
        seq = bucket.lastSeq + 1
      }
    }
    return false
  }

  #store(packetId: number, { id }: OpenIntent, name: string): void {
    const { log } = this.#link.hub
    this.#storing++
    log
      .stream(name)
      .then((stream) =>
        log.documents.put(intentsCollection, this.#key(packetId), { id, stream: name, since: stream.headSeq } satisfies StoredIntent),
      )
      .catch((error: unknown) => this.#link.refuse(asSyncError(error)))
      .finally(() => {
        if (--this.#storing > 0) return
        for (const append of this.#behind.splice(0)) if (!this.#link.closed) append()
      })
  }

  #key(packetId: number): string {
    return `${this.#link.key}/${packetId}`
  }
}
