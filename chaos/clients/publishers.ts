/** The plain door: QoS 1 that is never repeated, and QoS 2 in a kept session that is repeated until it is over. */
import type { Packet } from 'mqtt-packet'
import { pick, type Random } from '../random.ts'
import { tokenOf } from '../tokens.ts'
import type { Context, Message, Sender } from './context.ts'
import { Wire } from './wire.ts'

const windowSize = 12
/** Of all connections. */
const webSocketShare = 0.25

/** Publishes to one stream; what was under way when a connection ends stays unknown. */
export async function publishOnce(context: Context, name: string, user: string, streams: readonly string[]): Promise<void> {
  const sender: Sender = { door: 'qos1', user, client: name }
  await publishUnrepeated(context, name, user, {
    message: (random) => newMessage(context, random, name, streams),
    sender: () => sender,
    told: 'acked',
    burstMax: 6,
    windowMax: windowSize,
    restMs: [20, 120],
  })
}

export interface Unrepeated {
  readonly message: (random: Random) => Message
  readonly sender: (message: Message) => Sender
  /** What a PUBACK says of a message. */
  readonly told: 'acked' | 'taken'
  /** Messages of a turn, and without their PUBACK. */
  readonly burstMax: number
  readonly windowMax: number
  readonly restMs: readonly [number, number]
}

/** Publishes at QoS 1 over one connection after the other, and nothing twice. */
export async function publishUnrepeated(
  context: Context,
  name: string,
  user: string,
  { message: newOne, sender, told, burstMax, windowMax, restMs }: Unrepeated,
): Promise<void> {
  const random = context.random(name)
  await context.again(
    random,
    async () => {
      const conn = context.connection()
      const underWay = new Map<number, Message>()
      const received = (packet: Packet): void => {
        if (packet.cmd !== 'puback') return
        const message = underWay.get(packet.messageId ?? 0)
        if (!message) return
        underWay.delete(packet.messageId ?? 0)
        context.recorder.add({ k: told, m: message.m, conn })
      }
      const wire = await opened(context, random, { clientId: name, user, clean: true, received })
      if (!wire) return
      let messageId = 0
      while (!wire.isOver && !context.isDone(underWay.size)) {
        for (let burst = Math.floor(random() * burstMax); burst > 0 && !context.draining && underWay.size < windowMax; burst--) {
          messageId = (messageId % 50_000) + 1
          const message = newOne(random)
          underWay.set(messageId, message)
          context.sending(message, sender(message), conn)
          wire.publish(message.topic, message.text, { qos: 1, messageId, retain: message.retain })
        }
        await context.rest(random, ...restMs)
      }
      wire.destroy()
      await wire.closed
    },
    () => context.draining,
  )
}

/** QoS 0: sent and forgotten. */
export async function speakLive(context: Context, name: string, user: string, streams: readonly string[]): Promise<void> {
  const random = context.random(name)
  await context.again(
    random,
    async () => {
      const conn = context.connection()
      const wire = await opened(context, random, { clientId: name, user, clean: true, received: () => {} })
      if (!wire) return
      while (!wire.isOver && !context.draining) {
        const stream = pick(random, streams)
        const message = context.message(random, stream, `${stream}/live/${Math.floor(random() * 3)}`)
        context.sending(message, { door: 'qos0', user, client: name }, conn)
        wire.publish(message.topic, message.text, { qos: 0 })
        await context.rest(random, 20, 200)
      }
      wire.destroy()
      await wire.closed
    },
    () => context.draining,
  )
}

/** QoS 2: sends again what was under way, with DUP, in the old order [MQTT-4.4.0-1]. */
export async function publishExactlyOnce(context: Context, name: string, user: string, streams: readonly string[]): Promise<void> {
  const random = context.random(name)
  const sender: Sender = { door: 'qos2', user, client: name }
  /** In the order of the first sending. */
  const underWay = new Map<number, { readonly message: Message; released: boolean }>()
  let messageId = 0
  let wire: Wire | undefined
  await context.again(
    random,
    async () => {
      const conn = context.connection()
      const received = (packet: Packet): void => {
        const id = 'messageId' in packet ? (packet.messageId ?? 0) : 0
        const known = underWay.get(id)
        if (!known) return
        if (packet.cmd === 'pubrec') {
          if (!known.released) context.recorder.add({ k: 'acked', m: known.message.m, conn })
          known.released = true
          wire?.send({ cmd: 'pubrel', messageId: id })
        } else if (packet.cmd === 'pubcomp') underWay.delete(id)
      }
      const sub = context.subscription()
      const call = context.recorder.now()
      wire = await opened(context, random, { clientId: name, user, clean: false, received })
      if (!wire) return
      context.recorder.add({ k: 'open', t: call, sub, door: 'plain', node: -1, reader: name, user, clean: false, present: wire.present })
      for (const [id, { message, released }] of underWay) {
        if (released) wire.send({ cmd: 'pubrel', messageId: id })
        else publish(wire, message, id, conn, true)
      }
      while (!wire.isOver && !context.isDone(underWay.size)) {
        if (!context.draining && underWay.size < 6) {
          do messageId = (messageId % 100) + 1
          while (underWay.has(messageId))
          const message = newMessage(context, random, name, streams)
          underWay.set(messageId, { message, released: false })
          publish(wire, message, messageId, conn, false)
        }
        await context.rest(random, 20, 100)
      }
      wire.destroy()
      await wire.closed
    },
    () => context.isDone(underWay.size),
  )

  function publish(to: Wire, message: Message, id: number, conn: number, dup: boolean): void {
    context.sending(message, sender, conn)
    to.publish(message.topic, message.text, { qos: 2, messageId: id, retain: message.retain, dup })
  }
}

/** A connection to some node; undefined where it cannot be had now. */
export async function opened(
  context: Context,
  random: Random,
  options: {
    readonly clientId: string
    readonly user: string
    readonly clean: boolean
    readonly received: (packet: Packet) => void
    readonly will?: { readonly topic: string; readonly payload: string }
    readonly token?: string
    readonly node?: number
  },
): Promise<Wire | undefined> {
  const { user, token = tokenOf(user), node: wanted, ...rest } = options
  const node = wanted === undefined ? pick(random, context.world.nodes) : context.world.nodes[wanted]
  if (!node) throw new Error(`there is no node ${wanted}`)
  const { aws } = context.world
  try {
    if (aws) return await Wire.open({ ...rest, token, port: 0, admitted: await aws.admitted(node.http.port, user, rest.clientId) })
    const webSocket = random() < webSocketShare
    return await Wire.open({ ...rest, token, webSocket, port: webSocket ? node.http.port : node.mqtt.port })
  } catch {
    // The server is away, or says no for a while: that is what the run is about.
    return undefined
  }
}

function newMessage(context: Context, random: Random, name: string, streams: readonly string[]): Message {
  const stream = pick(random, streams)
  const retain = random() < 0.2
  return context.message(random, stream, `${stream}/${name}/${Math.floor(random() * 7)}`, { retain })
}
