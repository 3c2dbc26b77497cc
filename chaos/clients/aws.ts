/** Through AWS IoT Core: plain devices, which hear only that AWS has their messages, and the SDK, which writes and reads. */
import { connect, ClientError, type Client } from '../../client/index.ts'
import type { Entry } from '../../client/entry.ts'
import { pause } from '../faults/nemesis.ts'
import { between, pick } from '../random.ts'
import type { Sighting } from '../record.ts'
import { tokenOf } from '../tokens.ts'
import { readerOf, streams, topicsOf, type Context, type Sender } from './context.ts'
import { publishUnrepeated } from './publishers.ts'

const windowSize = 12

/** Publishes plainly at QoS 1, never again; what AWS has taken must come into the log. */
export async function publishToAws(context: Context, name: string, user: string, to: readonly string[]): Promise<void> {
  await publishUnrepeated(context, name, user, {
    message: (random) => {
      const stream = pick(random, to)
      return context.message(random, stream, `${stream}/${name}/${Math.floor(random() * 7)}`)
    },
    // Whose it is AWS does not say [P-20.5].
    sender: ({ stream }) => ({ door: 'aws', user: stream.startsWith('spaces/') ? '~anonymous' : user, client: '~mqtt' }),
    told: 'taken',
    burstMax: 8,
    windowMax: 2 * windowSize,
    restMs: [10, 100],
  })
}

/** Publishes by the SDK, several at a time: it sends again what has no answer, and stands in the order of the calls. */
export async function publishBySdk(context: Context, name: string, user: string, to: readonly string[]): Promise<void> {
  const random = context.random(name)
  const client = sdk(context, user, name)
  const sender: Sender = { door: 'put', user, client: `${context.clientOf(user, name)}-…` }
  const conn = context.connection()
  const underWay = new Set<Promise<void>>()
  const publish = async (stream: string): Promise<void> => {
    const message = context.message(random, stream, `${topicsOf(stream)}/${name}/${Math.floor(random() * 5)}`, {
      retain: !stream.startsWith('outbox/') && random() < 0.3,
    })
    const { m, topic, text, retain } = message
    const id = `m${m}`
    context.sending(message, sender, conn, { id })
    try {
      const { pos, duplicate } = await client.stream(stream).publish(topic.slice(stream.length + 1), text, { id, retain, as: 'text' })
      context.recorder.add({ k: 'acked', m, conn, pos, duplicate })
    } catch (error) {
      // Closed at the end of a round that waited in vain; everything else is for the checker.
      if (!(error instanceof ClientError) || error.code === 'closed') return
      context.recorder.add({ k: 'refused', m, conn, code: error.code })
    }
  }
  await context.again(
    random,
    async () => {
      for (let burst = Math.floor(random() * 4); burst > 0 && !context.draining && underWay.size < windowSize; burst--) {
        const done = publish(pick(random, to)).finally(() => underWay.delete(done))
        underWay.add(done)
      }
      await context.rest(random, 20, 200)
    },
    () => context.isDone(underWay.size),
  )
  await client.close()
}

/** Reads the whole stream by the SDK, which makes good what AWS loses, doubles and reorders. */
export async function followBySdk(context: Context, name: string, stream: string): Promise<void> {
  const client = sdk(context, readerOf(stream), name)
  await read(context, { client, name, stream, from: 'earliest', isOver: () => context.stopping })
  await client.close()
}

/** Reads here and there from positions that somebody has just been given, each time by a connection of its own. */
export async function roamBySdk(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(random, async () => {
    const stream = pick(random, streams)
    const from = context.newest.get(stream)?.pos ?? 'earliest'
    const client = sdk(context, readerOf(stream), name)
    const untilMs = performance.now() + between(random, 300, 4_000)
    const isOver = (): boolean => performance.now() > untilMs || context.stopping
    await read(context, { client, name, stream, from, isOver })
    await client.close()
  })
}

interface Reading {
  readonly client: Client
  readonly name: string
  readonly stream: string
  readonly from: string
  readonly isOver: () => boolean
}

async function read(context: Context, { client, name, stream, from, isOver }: Reading): Promise<void> {
  const sub = context.subscription()
  context.recorder.add({ k: 'open', sub, door: 'sdk', node: -1, reader: name, user: readerOf(stream), stream, filter: '#', from })
  const entries = client.stream(stream).entries({ from, onResetGo: 'throw' })
  const reading = (async () => {
    for await (const entry of entries) context.recorder.add({ k: 'got', sub, e: sightingOf(entry) })
  })().catch((error: unknown) => {
    // A reader that has ended misses the last entry, which the end of the round waits for.
    context.recorder.add({ k: 'fault', what: `the reader ${name} of ${stream} has ended: ${String(error)}` })
  })
  const ended = reading.then(() => true)
  while (!isOver()) if (await Promise.race([ended, pause(50).then(() => false)])) break
  await entries.return()
  await reading
  context.recorder.add({ k: 'over', sub })
}

function sdk(context: Context, user: string, name: string): Client {
  const url = `http://127.0.0.1:${context.world.nodes[0]?.http.port}`
  return connect({ url, name, getToken: () => tokenOf(user), transport: 'mqtt', onWarning: () => {} })
}

function sightingOf({ pos, id, ts, from, client, stream, topic, data, retain, deleted }: Entry): Sighting {
  const text = typeof data === 'string' ? data : data === undefined ? '' : JSON.stringify(data)
  return [pos, id, ts, from, client, `${stream}/${topic}`, text, deleted ? 'd' : retain ? 'r' : '']
}
