/** Readers on the plain door: kept sessions that come and go, and brief ones. */
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { between, pick, type Random } from '../random.ts'
import type { Context } from './context.ts'
import { opened } from './publishers.ts'
import { acknowledge, type Wire } from './wire.ts'

export interface PlainReader {
  /** Of the connection, in the record. */
  readonly sub: number
  readonly wire: Wire
}

export interface PlainOptions {
  readonly clientId: string
  readonly user: string
  readonly clean?: boolean
  readonly token?: string
  /** Acknowledges by default. */
  readonly came?: (packet: IPublishPacket, wire: Wire | undefined) => void
}

/** A connection whose deliveries are recorded; undefined where it cannot be had now. */
export async function openReader(context: Context, random: Random, options: PlainOptions): Promise<PlainReader | undefined> {
  const { clientId, user, clean = true, token, came = (packet, to) => acknowledge(to, packet) } = options
  const sub = context.subscription()
  const call = context.recorder.now()
  let wire: Wire | undefined
  const received = (packet: Packet): void => {
    if (packet.cmd !== 'publish') return
    const { topic, payload, dup, retain } = packet
    context.recorder.add({ k: 'plain', sub, topic, text: payload.toString(), dup, retain })
    came(packet, wire)
  }
  wire = await opened(context, random, { clientId, user, clean, received, ...(token === undefined ? {} : { token }) })
  if (!wire) return undefined
  const { present } = wire
  const served = context.recorder.now()
  context.recorder.add({ k: 'open', t: call, sub, door: 'plain', node: -1, reader: clientId, user, clean, present, served })
  return { sub, wire }
}

/** Ends the connection without a word, and waits for that. */
export async function leave(context: Context, { sub, wire }: PlainReader): Promise<void> {
  wire.destroy()
  await wire.closed
  context.recorder.add({ k: 'over', sub })
}

/**
 * A clean=0 session on whole streams. Now and then it subscribes again what it holds, which moves nothing [P-4.14]. A CONNECT that was
 * not answered may have found the session discarded, because of a trim, and made a new one [P-4.22]: then it takes another client id.
 */
export async function keep(context: Context, name: string, user: string, streams: readonly string[]): Promise<void> {
  const random = context.random(name)
  const held = new Set<string>()
  let clientId = name
  let number = 1
  let trims = 0
  let isUnsure = false
  await context.again(random, async () => {
    if (isUnsure && trims !== context.trims) {
      context.recorder.add({ k: 'abandoned', reader: clientId })
      clientId = `${name}.${++number}`
      held.clear()
    }
    const waiting: IPublishPacket[] = []
    const came = (packet: IPublishPacket, to: Wire | undefined): void => {
      // Some acknowledgements come late, and some never.
      if (random() < 0.9 || context.draining) acknowledge(to, packet)
      else waiting.push(packet)
    }
    const reader = await openReader(context, random, { clientId, user, clean: false, came })
    isUnsure = reader === undefined
    if (!reader) return
    trims = context.trims
    const { wire, sub } = reader
    if (!wire.present) held.clear()
    // As most clients do: they subscribe at every connection, present or not.
    if (wire.present && random() < 0.8) for (const stream of held) await subscribe(context, wire, sub, `${stream}/#`)
    const untilMs = performance.now() + between(random, 300, 8_000)
    while (!wire.isOver && !context.stopping && (context.draining || performance.now() < untilMs)) {
      for (const stream of streams) {
        if (held.has(stream) && (random() > 0.02 || context.draining)) continue
        if (await subscribe(context, wire, sub, `${stream}/#`)) held.add(stream)
      }
      await context.rest(random, 50, 200)
      for (const packet of waiting.splice(0)) acknowledge(wire, packet)
    }
    if (random() < 0.3) wire.disconnect()
    else wire.destroy()
    await wire.closed
    context.recorder.add({ k: 'over', sub })
    if (!context.draining) await context.linger(random() < 0.2 ? 0 : between(random, 500, 4_000))
  })
}

/** clean=1: what is retained, and then everything as long as the connection lives. */
export async function lookIn(context: Context, name: string, user: string, streams: readonly string[]): Promise<void> {
  const random = context.random(name)
  await context.again(random, async () => {
    const reader = await openReader(context, random, { clientId: name, user })
    if (!reader) return
    const filter = `${pick(random, streams)}/${pick(random, ['#', 'contended/#'])}`
    if (await subscribe(context, reader.wire, reader.sub, filter)) await context.rest(random, 200, 6_000)
    await leave(context, reader)
  })
}

export async function subscribe(context: Context, wire: Wire, sub: number, filter: string): Promise<boolean> {
  const call = context.recorder.now()
  context.recorder.add({ k: 'subscribed', t: call, call, sub, filter, code: -1 })
  const code = await wire.subscribe(filter, (granted) => context.recorder.add({ k: 'subscribed', call, sub, filter, code: granted }))
  return code !== undefined && code <= 1
}
