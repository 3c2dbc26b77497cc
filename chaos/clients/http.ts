/** HTTP: publishing with an id, pages of history and state, positions that other nodes gave, revocations. */
import { pick } from '../random.ts'
import type { Sighting } from '../record.ts'
import { tokenOf } from '../tokens.ts'
import { readerOf, streams, writerOf, type Context, type Message, type Sender } from './context.ts'

interface Envelope {
  readonly pos: string
  readonly id: string
  readonly ts: number
  readonly from: string
  readonly client: string
  readonly topic: string
  readonly retain?: boolean
  readonly deleted?: boolean
  readonly data?: unknown
  readonly text?: string
  readonly base64?: string
}

interface Page {
  readonly entries: readonly Envelope[]
  readonly next: string
  readonly head?: string
  readonly pos?: string
  readonly first?: string
  readonly upToDate: boolean
}

const patienceMs = 15_000

/** The payload as text, whatever form shows it. */
export function sightingOf(envelope: Envelope): Sighting {
  const { pos, id, ts, from, client, topic, retain = false, deleted = false, data, text, base64 } = envelope
  const shown = text ?? (base64 === undefined ? (data === undefined ? '' : JSON.stringify(data)) : Buffer.from(base64, 'base64').toString())
  return [pos, id, ts, from, client, topic, shown, deleted ? 'd' : retain ? 'r' : '']
}

export interface Answer {
  readonly status: number
  readonly body: unknown
}

/** Undefined where there was no answer. */
export async function request(
  context: Context,
  node: number,
  path: string,
  { user, method = 'GET', body }: { readonly user: string; readonly method?: string; readonly body?: unknown },
): Promise<Answer | undefined> {
  const headers: Record<string, string> = { authorization: `Bearer ${tokenOf(user)}`, connection: 'close' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  try {
    const response = await fetch(`http://127.0.0.1:${context.world.nodes[node]?.http.port}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(patienceMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? null : JSON.parse(text) }
  } catch {
    return undefined // No answer is no answer: the connection was cut, or the server is away.
  }
}

/** Publishes one entry after the other, each until it is answered. */
export async function publishOverHttp(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(
    random,
    async () => {
      const stream = pick(random, streams)
      const user = writerOf[stream] ?? ''
      const sender: Sender = { door: 'http', user, client: '~http' }
      const topic = `http/${Math.floor(random() * 5)}`
      const message = context.message(random, stream, `${stream}/${topic}`, { retain: random() < 0.3 })
      const { m, text, retain } = message
      for (let isOver = false; !isOver && !context.stopping && !context.isVain;) {
        const node = Math.floor(random() * context.world.nodes.length)
        isOver = (await publish(context, node, message, sender, { id: `m${m}`, topic, text, retain })) !== undefined
        if (!isOver) await context.rest(random, 100, 600)
      }
    },
    () => context.draining,
  )
}

/**
 * Writes one retained topic after the other, each time with the position that it knows as the condition and at another node than
 * before: what a node has not heard of yet decides nothing.
 */
export async function raceConditions(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  const { nodes } = context.world
  await context.again(
    random,
    async () => {
      const stream = pick(random, streams)
      const sender: Sender = { door: 'http', user: writerOf[stream] ?? '', client: '~http' }
      const topic = `raced/${name}/${Math.floor(random() * 3)}`
      let node = Math.floor(random() * nodes.length)
      let known = context.raced.get(`${stream}/${topic}`) ?? null
      for (let rounds = 1 + Math.floor(random() * 4); rounds > 0 && !context.draining; rounds--, node = (node + 1) % nodes.length) {
        const message = context.message(random, stream, `${stream}/${topic}`, { retain: true })
        const body = { id: `m${message.m}`, topic, text: message.text, retain: true, if: known ?? 'none' }
        const { pos, current } = (await publish(context, node, message, sender, body)) ?? {}
        // Without an answer nobody knows what stands there: the next conflict says it.
        if (pos !== undefined) known = pos
        else if (current !== undefined) known = current?.pos ?? null
      }
      context.raced.set(`${stream}/${topic}`, known)
    },
    () => context.draining,
  )
}

/** Undefined where there was no answer. */
async function publish(
  context: Context,
  node: number,
  message: Message,
  sender: Sender,
  body: { readonly id: string; readonly if?: string; readonly [member: string]: unknown },
): Promise<Published | undefined> {
  const { m, stream } = message
  const conn = context.connection()
  context.sending(message, sender, conn, { id: body.id, ...(body.if === undefined ? {} : { if: body.if }) })
  const answer = await request(context, node, `/v1/streams/${stream}/entries`, { user: sender.user, method: 'POST', body })
  if (!answer || answer.status >= 500) return undefined
  const published = answer.body as Published
  const { pos, duplicate = false, code = '', current } = published
  if (pos !== undefined) context.recorder.add({ k: 'acked', m, conn, pos, duplicate })
  else context.recorder.add({ k: 'refused', m, conn, code, ...(current === undefined ? {} : { current: current?.pos ?? null }) })
  return published
}

interface Published {
  readonly pos?: string
  readonly duplicate?: boolean
  readonly code?: string
  readonly current?: { readonly pos: string } | null
}

/** Asks for pages of history and state, and what a node says to a position that another one has just given. */
export async function readOverHttp(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(random, async () => {
    const stream = pick(random, streams)
    const node = Math.floor(random() * context.world.nodes.length)
    const newest = context.newest.get(stream)?.pos
    const what = random()
    if (what < 0.25) await readState(context, node, stream)
    else if (what < 0.35)
      await readPage(context, node, stream, { limit: 50, reverse: true, ...(newest === undefined ? {} : { before: newest }) })
    else if (what < 0.4) await readPage(context, node, stream, { limit: 50, reverse: true })
    else if (what < 0.5) await readPage(context, node, stream, { limit: 50, since: Date.now() - 3_000, until: Date.now() - 1_000 })
    else if (what < 0.85 && newest !== undefined) await readPage(context, node, stream, { after: newest, limit: 50 })
    else await readPage(context, node, stream, { limit: 0 })
    await context.rest(random, 20, 200)
  })
}

interface PageQuery {
  readonly after?: string
  readonly before?: string
  readonly since?: number
  readonly until?: number
  readonly reverse?: boolean
  readonly limit: number
  readonly final?: boolean
}

export async function readPage(
  context: Context,
  node: number,
  stream: string,
  { final = false, limit, ...range }: PageQuery,
): Promise<Page | undefined> {
  const call = context.recorder.now()
  const { after = range.before } = range
  const query = Object.entries({ limit, ...range })
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  const answer = await request(context, node, `/v1/streams/${stream}/entries?${query}`, { user: readerOf(stream) })
  if (answer?.status === 410 && after !== undefined) {
    const { reason, head, first } = answer.body as { reason: string; head: string; first: string }
    context.recorder.add({ k: 'gone', call, node, stream, after, reason, head, first })
  }
  if (answer?.status !== 200) return undefined
  const page = answer.body as Page
  const { next, head = '', first = '', upToDate } = page
  const entries = page.entries.map(sightingOf)
  context.recorder.add({
    k: 'page',
    call,
    node,
    stream,
    entries,
    next,
    head,
    first,
    upToDate,
    ...range,
    ...(final ? { final } : {}),
  })
  return page
}

export async function readState(context: Context, node: number, stream: string, final = false): Promise<boolean> {
  const call = context.recorder.now()
  const answer = await request(context, node, `/v1/streams/${stream}/state?limit=1000`, { user: readerOf(stream) })
  if (answer?.status !== 200) return false
  const { entries, next, pos = '', upToDate } = answer.body as Page
  const seen = entries.map(sightingOf)
  context.recorder.add({
    k: 'page',
    state: true,
    call,
    node,
    stream,
    entries: seen,
    next,
    head: pos,
    first: '',
    upToDate,
    ...(final ? { final } : {}),
  })
  return upToDate
}
