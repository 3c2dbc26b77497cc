/**
 * Who holds a client id among all nodes. A connection claims the name of its session; the node whose connection held it until then
 * gets a notice, which it finds with its next beat if no hint has told it before [P-4.26].
 */
import type { Documents, StoredDocument } from '../seams/documents.ts'
import type { Hints } from '../seams/hints.ts'

export interface TenuresParts {
  readonly documents: Documents
  readonly hints: Hints
  /** The name of this node, and those of all that are alive. */
  node(): string
  nodes(): Promise<readonly string[]>
  /** Closes the connection that holds the session here, if its tenure is not newer; false where one is just being opened. */
  evict(session: string, upTo: number): boolean
}

/** `left` is the tenure that has ended: while the record is of that generation nobody holds the name. */
interface TenureRecord {
  readonly left: number
  readonly leftMs: number
}

const tenures = 'tenures'
/** Keys are `{node}/{the last tenure that has a successor}/{session}`. */
const notices = 'evictions'
const pageMax = 1_000

export class Tenures {
  readonly #parts: TenuresParts
  readonly #stopListening: () => void

  constructor(parts: TenuresParts) {
    this.#parts = parts
    this.#stopListening = parts.hints.listen((hint) => {
      // Where it comes too early the notice does it.
      if (hint.type === 'takeover') parts.evict(hint.session, hint.generation - 1)
    })
  }

  /** Durable when it resolves: from then on whoever held the session is on the way out. */
  async enter(session: string): Promise<number> {
    const { documents, hints } = this.#parts
    const node = this.#parts.node()
    const before = await documents.get(tenures, session)
    const { generation } = await documents.claim(tenures, session, node)
    for (const holder of await this.#holders(before, generation)) {
      if (holder !== node) await documents.put(notices, `${holder}/${generation - 1}/${session}`, null)
    }
    if (before) hints.send({ type: 'takeover', session, generation })
    return generation
  }

  /** The nodes that may hold what was claimed. */
  async #holders(before: StoredDocument | undefined, generation: number): Promise<readonly string[]> {
    // Somebody came between, and nobody knows who.
    if (generation !== (before?.generation ?? 0) + 1) return await this.#parts.nodes()
    return before && !hasLeft(before) ? [before.owner] : []
  }

  /** The connection is over. The record stays for a while: tenures must go on rising. */
  async leave(session: string, tenure: number, nowMs: number): Promise<void> {
    await this.#parts.documents.put(tenures, session, { left: tenure, leftMs: nowMs } satisfies TenureRecord, tenure)
  }

  /** Evicts those for whom a notice came. */
  async makeWay(): Promise<void> {
    const { documents } = this.#parts
    const prefix = `${this.#parts.node()}/`
    for (const { key } of await documents.list(notices, { prefix, limit: pageMax })) {
      const [upTo, ...session] = key.slice(prefix.length).split('/')
      if (this.#parts.evict(session.join('/'), Number(upTo))) await documents.remove(notices, key)
    }
  }

  /** Nobody looks for them any more. */
  async removeNotices(dead: string): Promise<void> {
    const { documents } = this.#parts
    for (;;) {
      const page = await documents.list(notices, { prefix: `${dead}/`, limit: pageMax })
      for (const { key } of page) await documents.remove(notices, key)
      if (page.length < pageMax) return
    }
  }

  /** Removes what is only kept so that tenures rise. */
  async removeEnded(beforeMs: number): Promise<void> {
    const { documents } = this.#parts
    for (let after = ''; ;) {
      const page = await documents.list(tenures, { after, limit: pageMax })
      for (const tenure of page) {
        if (hasLeft(tenure) && (tenure.value as TenureRecord).leftMs < beforeMs)
          await documents.remove(tenures, tenure.key, tenure.generation)
      }
      if (page.length < pageMax) return
      after = page.at(-1)?.key ?? after
    }
  }

  close(): void {
    this.#stopListening()
  }
}

function hasLeft({ value, generation }: StoredDocument): boolean {
  return (value as TenureRecord | null)?.left === generation
}
