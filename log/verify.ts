/** Walks a store and tells what is wrong with it. Nothing is changed; what is damaged stops nothing but the look at itself. */
import type { Limits } from '../seams/limits.ts'
import type { StoredDocument } from '../seams/documents.ts'
import { streamNames } from './contents.ts'
import { storeCollection } from './seal.ts'
import type { Store } from './stores/store.ts'
import { StreamCheck } from './verify-stream.ts'

export interface VerifyOptions {
  /** Those of the server: they say for how long ids are remembered. */
  readonly limits: Limits
  /** Where in streams a document says that somebody stands. */
  readonly placesIn?: (collection: string, document: StoredDocument) => readonly { readonly stream: string; readonly seq: number }[]
  readonly told?: (counts: VerifyCounts) => void
  /** Ends the walk: it rejects then. */
  readonly signal?: AbortSignal
}

export interface VerifyCounts {
  readonly streams: number
  readonly buckets: number
  readonly entries: number
  readonly snapshots: number
  readonly documents: number
  /** All findings; only the first ones are kept. */
  readonly findings: number
}

export interface Verdict {
  readonly counts: VerifyCounts
  /** Sentences that name stream and seq, or the document. */
  readonly findings: readonly string[]
}

const findingsKeptMax = 1_000
const triesMax = 3
const pageMax = 1_000

export async function verifyStore(store: Store, options: VerifyOptions): Promise<Verdict> {
  const { placesIn, signal } = options
  const findings: string[] = []
  const counts = { streams: 0, buckets: 0, entries: 0, snapshots: 0, documents: 0, findings: 0 }
  const complain = (finding: string): void => {
    counts.findings++
    if (findings.length < findingsKeptMax) findings.push(finding)
  }
  const seen = (): void => {
    signal?.throwIfAborted()
    options.told?.(counts)
  }
  const guarded = async (what: string, look: () => Promise<void>): Promise<void> => {
    try {
      await look()
    } catch (error) {
      signal?.throwIfAborted()
      complain(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  const lookAtDocument = async (collection: string, document: StoredDocument): Promise<void> => {
    counts.documents++
    for (const { stream, seq } of placesIn?.(collection, document) ?? []) {
      const head = (await store.load(stream)).last?.lastSeq ?? 0
      if (seq > head) complain(`${collection} ${document.key}: it stands at seq ${seq} of ${stream}, which ends at ${head}`)
    }
  }
  await guarded('the documents', async () => {
    for (const collection of await store.documents.collections()) {
      if (collection === storeCollection) continue
      await guarded(`the documents of ${collection}`, async () => {
        const list = (after: string) => store.documents.list(collection, { after, limit: pageMax })
        for (let page = await list(''); page.length > 0; page = await list(page.at(-1)?.key as string)) {
          for (const document of page) await guarded(`${collection} ${document.key}`, () => lookAtDocument(collection, document))
          seen()
        }
      })
    }
  })
  await guarded('the streams', async () => {
    for await (const stream of streamNames(store)) {
      const check = await checkStream(store, stream, options, seen)
      counts.streams++
      counts.buckets += check.buckets
      counts.entries += check.entries
      if (check.hasSnapshot) counts.snapshots++
      for (const finding of check.findings) complain(finding)
      seen()
    }
  })
  return { counts, findings }
}

/** Again where somebody has trimmed the stream meanwhile. */
async function checkStream(store: Store, stream: string, { limits, signal }: VerifyOptions, seen: () => void): Promise<StreamCheck> {
  for (let left = triesMax; ; left--) {
    const check = new StreamCheck(store, stream, limits)
    try {
      await check.run(seen)
    } catch (error) {
      signal?.throwIfAborted()
      check.failed(error)
    }
    if (check.findings.length === 0 || left === 1 || !(await check.isOutdated())) return check
  }
}
