/** A run of those who take part, and how it comes to its end. */
import { pause } from '../faults/nemesis.ts'
import type { WillEvent } from '../record.ts'
import { castAtAws, castOf, everyStream, followerOf } from './cast.ts'
import { readerOf, relayStreams, topicsOf, writerOf, type Context } from './context.ts'
import { readPage, readState, request } from './http.ts'
import { Patience } from './patience.ts'
import { SyncWire } from './sync.ts'

export class Workload {
  readonly #context: Context
  readonly #writers: Promise<void>[]
  readonly #readers: Promise<void>[]
  /** What came to the readers that have to have everything: the texts of the last entries. */
  readonly #endsSeen = new Map<string, Set<string>>()
  /** Wills that are due. */
  readonly #wills = new Map<number, string>()
  readonly #patience: Patience
  #failed: unknown

  constructor(context: Context) {
    this.#context = context
    this.#patience = new Patience(context.recorder, ['follow-', 'kept-', 'final-'], context.slowness)
    context.recorder.listen((event) => {
      const text = event.k === 'got' ? event.e[6] : event.k === 'plain' ? event.text : ''
      const reader = event.k === 'got' || event.k === 'plain' ? this.#readerOf.get(event.sub) : undefined
      if (event.k === 'open') this.#readerOf.set(event.sub, event.reader.split('.')[0] ?? '')
      if (event.k === 'will') this.#due(event)
      for (const [m, start] of this.#wills) if (text.startsWith(start)) this.#wills.delete(m)
      if (reader !== undefined) for (const [end, seen] of this.#endsSeen) if (text === end) seen.add(reader)
    })
    const watch = (work: Promise<void>): Promise<void> => work.catch((error: unknown) => void (this.#failed ??= error))
    const { writers, readers } = context.world.aws ? castAtAws(context) : castOf(context)
    this.#writers = writers.map(watch)
    this.#readers = readers.map(watch)
  }

  readonly #readerOf = new Map<number, string>()

  /** Resolves with what was waited for in vain. */
  async finish(): Promise<string[]> {
    const context = this.#context
    const missing: string[] = []
    context.draining = true
    const miss = (...what: readonly string[]): void => {
      if (what.length > 0) this.#patience.lose()
      missing.push(...what)
    }
    if (!(await this.#ends(Promise.all(this.#writers)))) {
      miss('the end of what was being published')
      context.isVain = true
    }
    // Where a DISCONNECT was sent nobody knows whether a will comes: those are not waited for.
    const goesOn = this.#patience.begin()
    while (this.#wills.size > 0 && goesOn()) await pause(50)
    // Nobody but the relay writes to an inbox.
    const written = everyStream.filter((stream) => !stream.startsWith('inbox/'))
    miss(...(await Promise.all(written.map((stream) => this.#seeEnd(stream)))).flat())
    const readings = context.world.nodes.flatMap(({ index }) => everyStream.map((stream) => this.#readAll(index, stream)))
    miss(...(await Promise.all(readings)).flat())
    context.stopping = true
    await Promise.all([...this.#readers, ...this.#writers])
    if (this.#failed) throw this.#failed
    return missing
  }

  /** Whether the work comes to its end while there is patience. */
  async #ends(work: Promise<unknown>): Promise<boolean> {
    const goesOn = this.#patience.begin()
    const over = work.then(() => true)
    while (goesOn()) if (await Promise.race([over, pause(100).then(() => false)])) return true
    return false
  }

  /** Whether everybody who has to have everything gets one more entry. */
  async #seeEnd(stream: string): Promise<string[]> {
    const goesOn = this.#patience.begin()
    const text = await this.#publishEnd(stream, goesOn)
    if (text === undefined) return [`an entry that ${stream} takes`]
    const readers = this.#context.world.aws ? followersOf(stream) : readersOf(stream)
    const seen = this.#endsSeen.get(text) ?? new Set()
    while (readers.some((reader) => !seen.has(reader)) && goesOn()) await pause(50)
    return readers.filter((reader) => !seen.has(reader)).map((reader) => `the last entry of ${stream} for ${reader}`)
  }

  #due({ m, what }: WillEvent): void {
    if (what === 'armed') this.#wills.set(m, `m${m} `)
    else if (what === 'disarmed') this.#wills.delete(m)
  }

  /** Ends without waiting for anything that may never come. */
  async abandon(): Promise<void> {
    this.#context.draining = this.#context.stopping = true
    await this.#ends(Promise.all([...this.#readers, ...this.#writers]))
  }

  /** Appends one more entry, for everybody to see that they have everything; undefined where it cannot be appended. */
  async #publishEnd(stream: string, goesOn: () => boolean): Promise<string | undefined> {
    const context = this.#context
    const random = context.random(`end of ${stream}`)
    const message = context.message(random, stream, `${topicsOf(stream)}/end`)
    const user = writerOf[stream] ?? readerOf(stream)
    this.#endsSeen.set(message.text, new Set())
    const id = `m${message.m}`
    while (goesOn()) {
      const conn = context.connection()
      context.sending(message, { door: 'http', user, client: '~http' }, conn, { id })
      const body = { id, topic: message.topic.slice(stream.length + 1), text: message.text }
      const answer = await request(context, 0, `/v1/streams/${stream}/entries`, { user, method: 'POST', body })
      const { pos, duplicate = false } = (answer?.body ?? {}) as { pos?: string; duplicate?: boolean }
      if (pos !== undefined) {
        context.recorder.add({ k: 'acked', m: message.m, conn, pos, duplicate })
        return message.text
      }
      await pause(500)
    }
    return undefined
  }

  /** The whole stream by every door of a node. */
  async #readAll(node: number, stream: string): Promise<string[]> {
    const context = this.#context
    const missing: string[] = []
    const goesOn = this.#patience.begin()
    let after: string | undefined = 'earliest'
    while (after !== undefined && goesOn()) {
      const page = await readPage(context, node, stream, { after, limit: 1_000, final: true })
      after = page?.upToDate === true ? undefined : (page?.next ?? after)
      if (!page) await pause(200)
    }
    if (after !== undefined) missing.push(`all pages of ${stream} from node ${node}`)
    let hasState = false
    while (!hasState && goesOn()) {
      hasState = await readState(context, node, stream, true)
      if (!hasState) await pause(200)
    }
    if (!hasState) missing.push(`the state of ${stream} from node ${node}`)
    // AWS replays nothing; HTTP was asked.
    let hasReplayed = context.world.aws !== undefined
    while (!hasReplayed && goesOn()) hasReplayed = await this.#replay(node, stream, goesOn)
    if (!hasReplayed) missing.push(`a replay of ${stream} from node ${node}`)
    return missing
  }

  /** The whole stream from its beginning; false where the connection could not be had, or ended before. */
  async #replay(node: number, stream: string, goesOn: () => boolean): Promise<boolean> {
    const [user, reader] = [readerOf(stream), `final-${node}-${stream.replace('/', '-')}`]
    const door = new SyncWire(this.#context)
    const wire = await door.open(reader, user, Math.random, { node })
    const following = wire && (await door.subscribe({ reader, user, stream, node, filter: '#', from: 'earliest', final: true }))
    const isCaughtUp = (): boolean => following?.caughtUpAt !== undefined
    const isOver = (): boolean => !following || wire.isOver || isCaughtUp() || !goesOn()
    while (!isOver()) await pause(30)
    wire?.destroy()
    await wire?.closed
    if (!isCaughtUp()) await pause(500)
    return isCaughtUp()
  }
}

/** Readers of a stream, and of the inbox that its messages go to. */
function followersOf(stream: string): string[] {
  return stream === 'outbox/alice' ? relayStreams.map(followerOf) : [followerOf(stream)]
}

/** Who has to have every entry. */
function readersOf(stream: string): string[] {
  if (stream === 'outbox/alice') return followersOf(stream)
  const kept = [...(stream === 'users/bob' ? [] : ['kept-alice']), ...(stream === 'users/alice' ? [] : ['kept-bob'])]
  return [followerOf(stream), ...kept]
}
