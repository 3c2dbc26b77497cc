/** Clients with wills, clients whose token is revoked, and clients that try what they may not. */
import type { Packet } from 'mqtt-packet'
import { pause } from '../faults/nemesis.ts'
import { between, pick } from '../random.ts'
import { tokenOf } from '../tokens.ts'
import { streams, writerOf, type Context } from './context.ts'
import { request } from './http.ts'
import { subscribe } from './plain.ts'
import { opened } from './publishers.ts'
import { acknowledge, type Wire } from './wire.ts'

/** Connects with a will, stays for a while, and leaves in good order or not. */
export async function leaveWills(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(
    random,
    async () => {
      const stream = pick(random, streams)
      const user = writerOf[stream] ?? ''
      const message = context.message(random, stream, `${stream}/wills/${name}`)
      context.sending(message, { door: 'will', user, client: name }, context.connection())
      const will = { topic: message.topic, payload: message.text }
      const wire = await opened(context, random, { clientId: name, user, clean: true, received: () => {}, will })
      if (!wire) return
      context.recorder.add({ k: 'will', m: message.m, what: 'armed' })
      const untilMs = performance.now() + between(random, 100, 4_000)
      while (!wire.isOver && performance.now() < untilMs && !context.draining) await pause(50)
      if (!wire.isOver && random() < 0.3) {
        context.recorder.add({ k: 'will', m: message.m, what: 'disarmed' })
        wire.disconnect()
      } else wire.destroy()
      await wire.closed
      context.recorder.add({ k: 'will', m: message.m, what: 'ended' })
    },
    () => context.draining,
  )
}

/** A guest reads the space until an operator revokes it, and tries to go on. */
export async function revokeGuests(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  let number = 0
  await context.again(
    random,
    async () => {
      const user = `guest-${name}-${++number}`
      const token = tokenOf(user)
      const reading = readAs(context, user, token, random)
      await context.rest(random, 1_000, 5_000)
      for (let done = false; !done && !context.stopping;) {
        const call = context.recorder.now()
        const node = Math.floor(random() * context.world.nodes.length)
        const answer = await request(context, node, '/v1/revocations', { user: 'operator', method: 'POST', body: { uid: user } })
        done = answer?.status === 204
        if (done) context.recorder.add({ k: 'revoked', call, uid: user })
        else await pause(500)
      }
      await reading.over(12_000)
    },
    () => context.draining,
  )
}

/** A guest reads the space until its owner withdraws it, and tries to go on. */
export async function withdrawGuests(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  const stream = 'spaces/team'
  let number = 0
  await context.again(
    random,
    async () => {
      const user = `guest-${name}-${++number}`
      const reading = readAs(context, user, tokenOf(user), random)
      await context.rest(random, 500, 3_000)
      for (let done = false; !done && !context.stopping;) {
        const call = context.recorder.now()
        const node = Math.floor(random() * context.world.nodes.length)
        const answer = await request(context, node, `/v1/streams/${stream}/members/${user}`, { user: 'alice', method: 'DELETE' })
        if (answer?.status === 200) {
          done = true
          context.recorder.add({ k: 'withdrawn', call, uid: user, stream, pos: (answer.body as { pos: string }).pos })
        } else await pause(500)
      }
      await reading.over(5_000)
    },
    () => context.draining,
  )
}

function readAs(context: Context, user: string, token: string, random: () => number): { over(lingerMs: number): Promise<void> } {
  let untilMs = Infinity
  const running = (async () => {
    while (performance.now() < untilMs && !context.stopping) {
      const sub = context.subscription()
      const call = context.recorder.now()
      let wire: Wire | undefined
      const received = (packet: Packet): void => {
        if (packet.cmd !== 'publish') return
        const { topic, payload, dup, retain } = packet
        context.recorder.add({ k: 'plain', sub, topic, text: payload.toString(), dup, retain })
        acknowledge(wire, packet)
      }
      wire = await opened(context, random, { clientId: user, user, clean: true, received, token })
      if (wire) {
        context.recorder.add({ k: 'open', t: call, sub, door: 'plain', node: -1, reader: user, user, clean: true, present: wire.present })
        await subscribe(context, wire, sub, 'spaces/team/#')
        while (!wire.isOver && performance.now() < untilMs && !context.stopping) await pause(50)
        wire.destroy()
        await wire.closed
        context.recorder.add({ k: 'over', sub })
      }
      await pause(300)
    }
  })()
  return {
    over(lingerMs) {
      untilMs = performance.now() + lingerMs
      return running
    },
  }
}

/** Two connections with one client id: the older one goes on reading, as a phone that does not know it was replaced. */
export async function beTwins(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  let number = 0
  await context.again(
    random,
    async () => {
      const clientId = `${name}-${++number}`
      const older = await readUntilClosed(context, clientId, random)
      if (!older) return
      await context.rest(random, 100, 1_000)
      const newer = older.isOver ? undefined : await readUntilClosed(context, clientId, random)
      if (newer) context.recorder.add({ k: 'replaced', sub: older.sub })
      await Promise.race([older.closed, pause(newer ? 25_000 : 0)])
      older.destroy()
      newer?.destroy()
    },
    () => context.draining,
  )
}

interface Twin {
  readonly sub: number
  readonly isOver: boolean
  readonly closed: Promise<void>
  destroy(): void
}

async function readUntilClosed(context: Context, clientId: string, random: () => number): Promise<Twin | undefined> {
  const sub = context.subscription()
  const call = context.recorder.now()
  let wire: Wire | undefined
  const received = (packet: Packet): void => {
    if (packet.cmd !== 'publish') return
    const { topic, payload, dup, retain } = packet
    context.recorder.add({ k: 'plain', sub, topic, text: payload.toString(), dup, retain })
    acknowledge(wire, packet)
  }
  wire = await opened(context, random, { clientId, user: 'alice', clean: true, received })
  if (!wire) return undefined
  const connection = wire
  context.recorder.add({ k: 'open', t: call, sub, door: 'plain', node: -1, reader: clientId, user: 'alice', clean: true, present: false })
  await subscribe(context, connection, sub, 'users/alice/#')
  return {
    sub,
    get isOver() {
      return connection.isOver
    },
    closed: connection.closed,
    destroy: () => connection.destroy(),
  }
}

/** Publishes and subscribes where it has no grant. */
export async function intrude(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(
    random,
    async () => {
      const sub = context.subscription()
      const call = context.recorder.now()
      const conn = context.connection()
      const received = (packet: Packet): void => {
        if (packet.cmd !== 'publish') return
        context.recorder.add({
          k: 'plain',
          sub,
          topic: packet.topic,
          text: packet.payload.toString(),
          dup: packet.dup,
          retain: packet.retain,
        })
      }
      const wire = await opened(context, random, { clientId: name, user: 'carol', clean: true, received })
      if (!wire) return
      context.recorder.add({ k: 'open', t: call, sub, door: 'plain', node: -1, reader: name, user: 'carol', clean: true, present: false })
      await subscribe(context, wire, sub, 'users/bob/#')
      const stream = pick(random, ['spaces/team', 'users/alice'])
      const message = context.message(random, stream, `${stream}/intruder`)
      context.sending(message, { door: 'qos1', user: 'carol', client: name }, conn, { forbidden: true })
      wire.publish(message.topic, message.text, { qos: 1, messageId: 1 })
      await Promise.race([wire.closed, pause(3_000)])
      wire.destroy()
      context.recorder.add({ k: 'over', sub })
      await context.rest(random, 500, 2_000)
    },
    () => context.draining,
  )
}
