/**
 * Who holds a client id among all nodes. A connection claims the name of its session; the node whose connection held it until then
 * gets a notice, which it finds with its next beat if no hint has told it before [P-4.26].
 */
import type { Documents, StoredDocument } from '../seams/documents.ts'
import type { Hints } from '../seams/hints.ts'
import { documentsPageMax } from '../seams/limits.ts'

export interface TenuresParts {
  readonly documents: Documents
  readonly hints: Hints
  /** The name of this node, and those of all that are alive. */
  node(): string
  nodes(): Promise<readonly string[]>
  /** Whether a connection here holds the session. */
  holds(session: string): boolean
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

export class Tenures {
  readonly #parts: TenuresParts
  readonly #stopListening: () => void
  /** Sessions of which the store is being asked who holds them. */
  readonly #asking = new Set<string>()

  constructor(parts: TenuresParts) {
    this.#parts = parts
    this.#stopListening = parts.hints.listen((hint) => {
      if (hint.type === 'takeover' && parts.holds(hint.session)) void this.#look(hint.session)
    })
  }

  /** A hint is no truth: who holds the session says the store. Where that does not answer, or too early, the notice does it. */
  async #look(session: string): Promise<void> {
    if (this.#asking.has(session)) return
    this.#asking.add(session)
    const tenure = await this.#parts.documents.get(tenures, session).catch(() => undefined)
    this.#asking.delete(session)
    if (tenure) this.#parts.evict(session, tenure.generation - 1)
  }

  /** Durable when it resolves: from then on whoever held the session is on the way out. */
  async enter(session: string): Promise<number> {
    const { documents, hints } = this.#parts
    const node = this.#parts.node()
    const before = await documents.get(tenures, session)
    // First the notice: who is told in vain connects again, who is not told would stay beside its successor.
    if (before && !hasLeft(before)) await this.#notify([before.owner], before.generation, session)
    const { generation } = await documents.claim(tenures, session, node)
    // Somebody came between, and nobody knows who.
    if (generation !== (before?.generation ?? 0) + 1) await this.#notify(await this.#parts.nodes(), generation - 1, session)
    if (before) hints.send({ type: 'takeover', session, generation })
    return generation
  }

  async #notify(holders: readonly string[], upTo: number, session: string): Promise<void> {
    const node = this.#parts.node()
    for (const holder of holders) if (holder !== node) await this.#parts.documents.put(notices, `${holder}/${upTo}/${session}`, null)
  }

  /** The connection is over. The record stays for a while: tenures must go on rising. */
  async leave(session: string, tenure: number, nowMs: number): Promise<void> {
    await this.#parts.documents.put(tenures, session, { left: tenure, leftMs: nowMs } satisfies TenureRecord, tenure)
  }

  /** Names of sessions with the prefix that a connection of some node holds, as far as one page of records tells; `next`: there are more. */
  async held(prefix: string, after: string): Promise<{ sessions: string[]; next: string | undefined }> {
    const page = await this.#parts.documents.list(tenures, { prefix, after, limit: documentsPageMax })
    return {
      sessions: page.filter((tenure) => !hasLeft(tenure)).map(({ key }) => key),
      next: page.length < documentsPageMax ? undefined : page.at(-1)?.key,
    }
  }

  /** Evicts those for whom a notice came. */
  async makeWay(): Promise<void> {
    const { documents } = this.#parts
    const prefix = `${this.#parts.node()}/`
    for (const { key } of await documents.list(notices, { prefix, limit: documentsPageMax })) {
      const [upTo, ...session] = key.slice(prefix.length).split('/')
      if (this.#parts.evict(session.join('/'), Number(upTo))) await documents.remove(notices, key)
    }
  }

  /** Ends the tenures of a dead node, and removes its notices, which nobody looks for any more. */
  async endOf(dead: string, nowMs: number): Promise<void> {
    await this.#forEach(tenures, '', async (tenure) => {
      if (tenure.owner === dead && !hasLeft(tenure)) await this.leave(tenure.key, tenure.generation, nowMs)
    })
    await this.#forEach(notices, `${dead}/`, async ({ key }) => void (await this.#parts.documents.remove(notices, key)))
  }

  /** Removes what is only kept so that tenures rise. */
  async removeEnded(beforeMs: number): Promise<void> {
    await this.#forEach(tenures, '', async (tenure) => {
      const isOld = hasLeft(tenure) && (tenure.value as TenureRecord).leftMs < beforeMs
      if (isOld) await this.#parts.documents.remove(tenures, tenure.key, tenure.generation)
    })
  }

  async #forEach(collection: string, prefix: string, work: (document: StoredDocument) => Promise<void>): Promise<void> {
    for (let after = ''; ;) {
      const page = await this.#parts.documents.list(collection, { prefix, after, limit: documentsPageMax })
      for (const document of page) await work(document)
      if (page.length < documentsPageMax) return
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
