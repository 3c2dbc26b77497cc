/** Who takes part in a run, and how it comes to its end. */
import { pause } from '../faults/nemesis.ts'
import { missingParts } from '../faults/world.ts'
import type { WillEvent } from '../record.ts'
import { readerOf, relayStreams, streams, topicsOf, writerOf, type Context } from './context.ts'
import { publishOverHttp, raceConditions, readOverHttp, readPage, readState, request } from './http.ts'
import { beTwins, intrude, leaveWills, revokeGuests, withdrawGuests } from './others.ts'
import { keep, lookIn } from './plain.ts'
import { publishExactlyOnce, publishOnce, speakLive } from './publishers.ts'
import { putAgain } from './putters.ts'
import { follow, roam, SyncWire } from './sync.ts'

const team = ['spaces/team']
const drainMs = 90_000
/** The others notice that a node has died, and publish its wills. */
const willsMs = 40_000
const catchUpMs = 120_000
/** Where something was waited for in vain already, no more than that is waited for the rest. */
const vainMs = 15_000

export class Workload {
  readonly #context: Context
  readonly #writers: Promise<void>[]
  readonly #readers: Promise<void>[]
  /** What came to the readers that have to have everything: the texts of the last entries. */
  readonly #endsSeen = new Map<string, Set<string>>()
  /** Wills that are due. */
  readonly #wills = new Map<number, string>()
  #failed: unknown

  readonly #streams: readonly string[]

  constructor(context: Context) {
    this.#context = context
    const without = missingParts(context.world.options)
    this.#streams = without.includes('relay') ? streams : [...streams, ...relayStreams]
    context.recorder.listen((event) => {
      const text = event.k === 'got' ? event.e[6] : event.k === 'plain' ? event.text : ''
      const reader = event.k === 'got' || event.k === 'plain' ? this.#readerOf.get(event.sub) : undefined
      if (event.k === 'open') this.#readerOf.set(event.sub, event.reader)
      if (event.k === 'will') this.#due(event)
      for (const [m, start] of this.#wills) if (text.startsWith(start)) this.#wills.delete(m)
      if (reader !== undefined) for (const [end, seen] of this.#endsSeen) if (text === end) seen.add(reader)
    })
    const watch = (work: Promise<void>): Promise<void> => work.catch((error: unknown) => void (this.#failed ??= error))
    this.#writers = [
      publishOnce(context, 'once-a', 'alice', ['users/alice', ...team]),
      publishOnce(context, 'once-b', 'bob', ['users/bob', ...team]),
      publishOnce(context, 'once-c', 'bob', team),
      publishExactlyOnce(context, 'exactly-a', 'alice', ['users/alice', ...team]),
      publishExactlyOnce(context, 'exactly-b', 'bob', ['users/bob']),
      putAgain(context, 'put-a', 'alice', ['users/alice', ...team]),
      putAgain(context, 'put-b', 'bob', ['users/bob', ...team]),
      putAgain(context, 'put-c', 'bob', team),
      publishOverHttp(context, 'http-a'),
      publishOverHttp(context, 'http-b'),
      raceConditions(context, 'race-a'),
      raceConditions(context, 'race-b'),
      speakLive(context, 'live-a', 'alice', ['users/alice', ...team]),
      speakLive(context, 'live-b', 'bob', ['users/bob', ...team]),
      leaveWills(context, 'will-a'),
      leaveWills(context, 'will-b'),
      revokeGuests(context, 'x'),
      revokeGuests(context, 'y'),
      intrude(context, 'intruder'),
      beTwins(context, 'twin-a'),
      beTwins(context, 'twin-b'),
      beTwins(context, 'twin-c'),
      ...(without.includes('relay') ? [] : ['put-r', 'put-s', 'put-t'].map((name) => putAgain(context, name, 'alice', ['outbox/alice']))),
      ...(without.includes('members') ? [] : [withdrawGuests(context, 'w')]),
    ].map(watch)
    this.#readers = [
      ...this.#streams.map((stream) => follow(context, followerOf(stream), stream)),
      roam(context, 'roam-a'),
      roam(context, 'roam-b'),
      keep(context, 'kept-alice', 'alice', ['users/alice', ...team]),
      keep(context, 'kept-bob', 'bob', ['users/bob', ...team]),
      lookIn(context, 'brief', 'carol', team),
      readOverHttp(context, 'pages-a'),
      readOverHttp(context, 'pages-b'),
    ].map(watch)
  }

  readonly #readerOf = new Map<number, string>()

  /** Resolves with what was waited for in vain. */
  async finish(): Promise<string[]> {
    const context = this.#context
    const missing: string[] = []
    context.draining = true
    if (!(await endsWithin(drainMs, Promise.all(this.#writers)))) missing.push('the end of what was being published')
    // Where a DISCONNECT was sent nobody knows whether a will comes: those are not waited for.
    for (const deadline = performance.now() + willsMs; this.#wills.size > 0 && performance.now() < deadline;) await pause(50)
    for (const stream of this.#streams) {
      // Nobody but the relay writes to an inbox.
      if (stream.startsWith('inbox/')) continue
      const text = await this.#publishEnd(stream, missing.length > 0 ? vainMs : catchUpMs)
      if (text === undefined) {
        missing.push(`an entry that ${stream} takes`)
        continue
      }
      const readers = readersOf(stream)
      const seen = this.#endsSeen.get(text) ?? new Set()
      const deadline = performance.now() + (missing.length > 0 ? vainMs : catchUpMs)
      while (readers.some((reader) => !seen.has(reader)) && performance.now() < deadline) await pause(50)
      for (const reader of readers) if (!seen.has(reader)) missing.push(`the last entry of ${stream} for ${reader}`)
    }
    const readNode = async ({ index }: { readonly index: number }): Promise<void> => {
      for (const stream of this.#streams) missing.push(...(await this.#readAll(index, stream)))
    }
    await Promise.all(context.world.nodes.map(readNode))
    context.stopping = true
    await Promise.all([...this.#readers, ...this.#writers])
    if (this.#failed) throw this.#failed
    return missing
  }

  #due({ m, what }: WillEvent): void {
    if (what === 'armed') this.#wills.set(m, `m${m} `)
    else if (what === 'disarmed') this.#wills.delete(m)
  }

  /** Ends without waiting for anything that may never come. */
  async abandon(): Promise<void> {
    this.#context.draining = this.#context.stopping = true
    await endsWithin(30_000, Promise.all([...this.#readers, ...this.#writers]))
  }

  /** Appends one more entry, for everybody to see that they have everything; undefined where it cannot be appended. */
  async #publishEnd(stream: string, patienceMs: number): Promise<string | undefined> {
    const context = this.#context
    const random = context.random(`end of ${stream}`)
    const message = context.message(random, stream, `${topicsOf(stream)}/end`)
    const user = writerOf[stream] ?? readerOf(stream)
    this.#endsSeen.set(message.text, new Set())
    const id = `m${message.m}`
    for (const deadline = performance.now() + patienceMs; performance.now() < deadline;) {
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
    let after: string | undefined = 'earliest'
    for (let tries = 0; after !== undefined && tries < 150; tries++) {
      const page = await readPage(context, node, stream, { after, limit: 1_000, final: true })
      after = page?.upToDate === true ? undefined : (page?.next ?? after)
      if (!page) await pause(200)
    }
    if (after !== undefined) missing.push(`all pages of ${stream} from node ${node}`)
    let hasState = false
    for (let tries = 0; !hasState && tries < 100; tries++) {
      if (tries > 0) await pause(200)
      hasState = await readState(context, node, stream, true)
    }
    if (!hasState) missing.push(`the state of ${stream} from node ${node}`)
    const deadline = performance.now() + catchUpMs
    let hasReplayed = false
    while (!hasReplayed && performance.now() < deadline) hasReplayed = await this.#replay(node, stream, deadline)
    if (!hasReplayed) missing.push(`a replay of ${stream} from node ${node}`)
    return missing
  }

  /** The whole stream from its beginning; false where the connection could not be had, or ended before. */
  async #replay(node: number, stream: string, deadline: number): Promise<boolean> {
    const [user, reader] = [readerOf(stream), `final-${node}`]
    const door = new SyncWire(this.#context)
    const wire = await door.open(reader, user, Math.random, { node })
    const following = wire && (await door.subscribe({ reader, user, stream, node, filter: '#', from: 'earliest', final: true }))
    const isCaughtUp = (): boolean => following?.caughtUpAt !== undefined
    const isOver = (): boolean => !following || wire.isOver || isCaughtUp() || performance.now() > deadline
    while (!isOver()) await pause(30)
    wire?.destroy()
    await wire?.closed
    if (!isCaughtUp()) await pause(500)
    return isCaughtUp()
  }
}

/** Who has to have every entry. */
function readersOf(stream: string): string[] {
  if (stream === 'outbox/alice') return relayStreams.map(followerOf)
  const kept = [...(stream === 'users/bob' ? [] : ['kept-alice']), ...(stream === 'users/alice' ? [] : ['kept-bob'])]
  return [followerOf(stream), ...kept]
}

function followerOf(stream: string): string {
  return `follow-${stream.replace('/', '-')}`
}

async function endsWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)))
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
