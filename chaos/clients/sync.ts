/** Readers on the sync door: some follow a stream all the time, some come and go with every kind of beginning. */
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { pause } from '../faults/nemesis.ts'
import { between, pick } from '../random.ts'
import type { Sighting } from '../record.ts'
import { readerOf, streams, type Context } from './context.ts'
import { sightingOf } from './http.ts'
import { opened } from './publishers.ts'
import { acknowledge, type Wire } from './wire.ts'

interface Control {
  readonly ctl: string
  readonly reason?: string
  readonly pos?: string
  readonly head?: string
  readonly first?: string
}

/** One subscription as it goes on. */
export interface Following {
  readonly sub: number
  last: Sighting | undefined
  /** Caught up, as the server said. */
  caughtUpAt: string | undefined
  reset: string | undefined
}

interface Place {
  readonly reader: string
  readonly user: string
  readonly stream: string
  /** Below the stream. */
  readonly filter: string
  /** `now`, `earliest`, `snapshot` or a position. */
  readonly from: string
  readonly node?: number
  readonly final?: boolean
}

/** Routes what comes on one connection to the subscription it is for. */
export class SyncWire {
  readonly #context: Context
  readonly #byFirst = new Map<string, Following>()
  #wire: Wire | undefined

  constructor(context: Context) {
    this.#context = context
  }

  get wire(): Wire | undefined {
    return this.#wire
  }

  async open(
    clientId: string,
    user: string,
    random: () => number,
    more: { node?: number; token?: string } = {},
  ): Promise<Wire | undefined> {
    const received = (packet: Packet): void => void (packet.cmd === 'publish' && this.#take(packet))
    this.#wire = await opened(this.#context, random, { clientId, user, clean: true, received, ...more })
    void this.#wire?.closed.then(() => this.#end())
    return this.#wire
  }

  /** Undefined where it was not granted. A subscription of this connection to another filter with the same beginning must not stand. */
  async subscribe({ reader, user, stream, filter, from, node = -1, final = false }: Place): Promise<Following | undefined> {
    const sub = this.#context.subscription()
    const first = from === 'now' ? 'sync' : `sync@${from}`
    const following: Following = { sub, last: undefined, caughtUpAt: undefined, reset: undefined }
    this.#context.recorder.add({ k: 'open', sub, door: 'sync', node, reader, user, stream, filter, from, ...(final ? { final } : {}) })
    const before = this.#byFirst.get(first)
    if (before) this.#context.recorder.add({ k: 'over', sub: before.sub })
    // What comes before the SUBACK belongs to the subscription before it, which is over: it is not looked at.
    this.#byFirst.delete(first)
    const code = await this.#wire?.subscribe(`${first}/${stream}/${filter}`, (granted) => {
      if (granted <= 1) this.#byFirst.set(first, following)
    })
    if (code !== undefined && code <= 1) return following
    this.#context.recorder.add({ k: 'over', sub })
    return undefined
  }

  #take(packet: IPublishPacket): void {
    acknowledge(this.#wire, packet)
    const following = this.#byFirst.get(packet.topic.split('/')[0] ?? '')
    if (!following) return
    const message = JSON.parse(packet.payload.toString()) as Control & Parameters<typeof sightingOf>[0] & { readonly ephemeral?: boolean }
    const { sub } = following
    if (message.ephemeral === true) {
      const [, , , , , topic, text] = sightingOf(message)
      this.#context.recorder.add({ k: 'live', sub, topic, text })
    } else if (message.ctl) {
      const { ctl, reason, pos, head, first } = message
      const told = { ...(reason === undefined ? {} : { reason }), ...(pos === undefined ? {} : { pos }) }
      this.#context.recorder.add({
        k: 'ctl',
        sub,
        ctl,
        ...told,
        ...(head === undefined ? {} : { head }),
        ...(first === undefined ? {} : { first }),
      })
      if (ctl === 'at' && pos === head) following.caughtUpAt = pos
      if (ctl === 'reset' || ctl === 'ended') following.reset = reason ?? ctl
    } else {
      following.last = sightingOf(message)
      this.#context.recorder.add({ k: 'got', sub, e: following.last })
    }
  }

  #end(): void {
    for (const { sub } of this.#byFirst.values()) this.#context.recorder.add({ k: 'over', sub })
    this.#byFirst.clear()
  }
}

/** Reads the whole stream from its beginning, going on after every fault from where it was. */
export async function follow(context: Context, name: string, stream: string): Promise<void> {
  const random = context.random(name)
  const user = readerOf(stream)
  let from = 'earliest'
  await context.again(random, async () => {
    const door = new SyncWire(context)
    const wire = await door.open(name, user, random)
    if (!wire) return
    const following = await door.subscribe({ reader: name, user, stream, filter: '#', from })
    const untilMs = performance.now() + between(random, 5_000, 60_000)
    const goesOn = (): boolean => following !== undefined && following.reset === undefined && !wire.isOver
    while (goesOn() && !context.stopping) {
      await pause(100)
      if (performance.now() > untilMs && !context.draining) break
    }
    if (following?.reset !== undefined) from = 'earliest'
    else if (following?.last) from = following.last[0]
    wire.destroy()
    await wire.closed
  })
}

/** Subscribes here and there, from now, from positions, from snapshots, to parts of a stream; and again on the same connection. */
export async function roam(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(random, async () => {
    const stream = pick(random, streams)
    const user = readerOf(stream)
    const door = new SyncWire(context)
    const wire = await door.open(name, user, random)
    if (!wire) return
    // Two filters with one beginning could not be told apart by what they deliver.
    const filters = new Map<string, string>()
    for (let rounds = 1 + Math.floor(random() * 4); rounds > 0 && !wire.isOver && !context.stopping; rounds--) {
      const newest = context.newest.get(stream)?.pos ?? 'earliest'
      const from = pick(random, ['now', 'now', 'earliest', 'snapshot', newest, newest, newest])
      const filter = filters.get(from) ?? pick(random, ['#', '#', 'contended/#', 'http/+'])
      filters.set(from, filter)
      await door.subscribe({ reader: name, user, stream, filter, from })
      await context.rest(random, 50, 2_500)
    }
    wire.destroy()
    await wire.closed
  })
}
