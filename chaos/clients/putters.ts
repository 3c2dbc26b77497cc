/** The put door: ids, conditions and deletions. What was not answered is put again with the same id. */
import type { Packet } from 'mqtt-packet'
import { pick, type Random } from '../random.ts'
import { topicsOf, type Context, type Message, type Sender } from './context.ts'
import { opened } from './publishers.ts'
import type { Wire } from './wire.ts'

interface Put {
  readonly message: Message
  readonly body: string
  readonly more: { readonly id: string; readonly if?: string }
}

interface Answer {
  readonly id: string
  readonly pos?: string
  readonly duplicate?: boolean
  readonly error?: string
  readonly current?: { readonly pos: string } | null
}

const refused = 0x80
const visitMs = 3_000

/** Several putters that contend for the same retained topics. */
export async function putAgain(context: Context, name: string, user: string, streams: readonly string[]): Promise<void> {
  const random = context.random(name)
  const client = context.clientOf(user, name)
  const sender: Sender = { door: 'put', user, client }
  const underWay = new Map<string, Put>()
  /** The retained entry of each contended topic, as far as this client knows: its position, or null where there is none. */
  const believed = new Map<string, string | null>()
  let wire: Wire | undefined
  let packetId = 0
  await context.again(
    random,
    async () => {
      const conn = context.connection()
      wire = await opened(context, random, { clientId: name, user, clean: true, received: (packet) => answered(packet, conn) })
      if (!wire) return
      if (((await wire.subscribe(`reply/${client}/#`)) ?? refused) < refused) {
        for (const put of underWay.values()) send(wire, put, conn)
        // AWS may lose an answer, and then nobody hears of it on this connection.
        const untilMs = performance.now() + (context.world.aws ? visitMs : Infinity)
        while (!wire.isOver && !context.isDone(underWay.size) && performance.now() < untilMs) {
          for (let burst = Math.floor(random() * 4); burst > 0 && !context.draining && underWay.size < 6; burst--) {
            const put = newPut(context, random, streams, believed)
            underWay.set(put.more.id, put)
            send(wire, put, conn)
          }
          await context.rest(random, 20, 150)
        }
      }
      wire.destroy()
      await wire.closed
    },
    () => context.isDone(underWay.size),
  )

  function send(to: Wire, put: Put, conn: number): void {
    packetId = (packetId % 50_000) + 1
    context.sending(put.message, sender, conn, put.more)
    to.publish(`put/${put.message.topic}`, to.signed(put.body), { qos: 1, messageId: packetId })
  }

  function answered(packet: Packet, conn: number): void {
    if (packet.cmd !== 'publish') return // The PUBACK of a put says nothing of the entry [P-8.4].
    const { id, pos, duplicate = false, error, current } = JSON.parse(packet.payload.toString()) as Answer
    const put = underWay.get(id)
    if (!put) return
    const { m, topic, text, retain } = put.message
    if (pos !== undefined) {
      context.recorder.add({ k: 'acked', m, conn, pos, duplicate })
      if (retain) believed.set(topic, text === '' ? null : pos)
    } else {
      const shown = current === undefined ? {} : { current: current?.pos ?? null }
      context.recorder.add({ k: 'refused', m, conn, code: error ?? '', ...shown })
      if (current !== undefined) believed.set(topic, current?.pos ?? null)
    }
    underWay.delete(id)
  }
}

function newPut(context: Context, random: Random, streams: readonly string[], believed: ReadonlyMap<string, string | null>): Put {
  const stream = pick(random, streams)
  const isRelayed = stream.startsWith('outbox/')
  const isContended = !isRelayed && random() < 0.6
  const topic = `${topicsOf(stream)}/${isContended ? 'contended' : 'put'}/${Math.floor(random() * 4)}`
  const retain = !isRelayed && (isContended || random() < 0.3)
  const deletes = retain && random() < 0.15
  const message = context.message(random, stream, topic, { retain, deletes })
  const id = `m${message.m}`
  const believes = believed.get(topic)
  const condition = isContended && random() < 0.8 ? (believes ?? 'none') : undefined
  const more = { id, ...(condition === undefined ? {} : { if: condition }) }
  const since = context.newest.get(stream)?.pos
  const content = deletes ? {} : { text: message.text }
  return { message, more, body: JSON.stringify({ ...more, ...content, retain, ...(since === undefined ? {} : { since }) }) }
}
