/** Clients with wills, clients whose token is revoked, and clients that try what they may not. */
import { pause } from '../faults/nemesis.ts'
import { between, pick, type Random } from '../random.ts'
import { tokenOf } from '../tokens.ts'
import { streams, writerOf, type Context } from './context.ts'
import { request } from './http.ts'
import { leave, openReader, subscribe } from './plain.ts'
import { opened } from './publishers.ts'

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
  await beGuests(context, name, { how: 'revoke', lingerMs: 10_000 })
}

/** A guest reads the space until its owner withdraws it, and tries to go on. */
export async function withdrawGuests(context: Context, name: string): Promise<void> {
  await beGuests(context, name, { how: 'withdraw', lingerMs: 4_000 })
}

interface Guests {
  readonly how: 'revoke' | 'withdraw'
  /** How long they try to go on. */
  readonly lingerMs: number
}

/** One guest after the other, each until its rights are taken away. */
async function beGuests(context: Context, name: string, { how, lingerMs }: Guests): Promise<void> {
  const random = context.random(name)
  const stream = 'spaces/team'
  let number = 0
  const end = async (uid: string): Promise<boolean> => {
    const call = context.recorder.now()
    const node = Math.floor(random() * context.world.nodes.length)
    if (how === 'revoke') {
      const answer = await request(context, node, '/v1/revocations', { user: 'operator', method: 'POST', body: { uid } })
      if (answer?.status === 204) context.recorder.add({ k: 'revoked', call, uid })
      return answer?.status === 204
    }
    const answer = await request(context, node, `/v1/streams/${stream}/members/${uid}`, { user: 'alice', method: 'DELETE' })
    if (answer?.status !== 200) return false
    context.recorder.add({ k: 'withdrawn', call, uid, stream, pos: (answer.body as { pos: string }).pos })
    return true
  }
  await context.again(
    random,
    async () => {
      const user = `guest-${name}-${++number}`
      let isOver = false
      const reading = readAs(context, user, random, () => isOver)
      await context.rest(random, 300, 2_500)
      while (!context.stopping && !context.isVain && !(await end(user))) await pause(500)
      await context.linger(lingerMs)
      isOver = true
      await reading
    },
    () => context.draining,
  )
}

/** Connects again and again with one token. */
async function readAs(context: Context, user: string, random: Random, isOver: () => boolean): Promise<void> {
  const token = tokenOf(user)
  while (!isOver() && !context.stopping) {
    const reader = await openReader(context, random, { clientId: user, user, token })
    if (reader) {
      const { wire, sub } = reader
      await subscribe(context, wire, sub, 'spaces/team/#')
      while (!wire.isOver && !isOver() && !context.stopping) await pause(50)
      await leave(context, reader)
    }
    await pause(300)
  }
}

/** Two connections with one client id: the older one goes on reading, as a phone that does not know it was replaced. */
export async function beTwins(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  let number = 0
  await context.again(
    random,
    async () => {
      const options = { clientId: `${name}-${++number}`, user: 'alice' }
      const older = await openReader(context, random, options)
      if (!older) return
      await subscribe(context, older.wire, older.sub, 'users/alice/#')
      await context.rest(random, 100, 1_000)
      const newer = older.wire.isOver ? undefined : await openReader(context, random, options)
      if (newer) {
        await subscribe(context, newer.wire, newer.sub, 'users/alice/#')
        context.recorder.add({ k: 'replaced', sub: older.sub })
        await context.linger(6_000, () => older.wire.isOver)
        // Where the older one is still there after its time, it is to show whether it still gets something.
        for (let left = 10; left > 0 && !older.wire.isOver && !newer.wire.isOver && !context.draining; left--) {
          const message = context.message(random, 'users/alice', `users/alice/${name}`)
          context.sending(message, { door: 'qos1', user: 'alice', client: options.clientId }, context.connection())
          newer.wire.publish(message.topic, message.text, { qos: 1, messageId: left })
          await context.linger(1_000, () => older.wire.isOver)
        }
        await leave(context, newer)
      }
      await leave(context, older)
    },
    () => context.draining,
  )
}

/** Publishes and subscribes where it has no grant. */
export async function intrude(context: Context, name: string): Promise<void> {
  const random = context.random(name)
  await context.again(
    random,
    async () => {
      const conn = context.connection()
      const reader = await openReader(context, random, { clientId: name, user: 'carol' })
      if (!reader) return
      await subscribe(context, reader.wire, reader.sub, 'users/bob/#')
      const stream = pick(random, ['spaces/team', 'users/alice'])
      const message = context.message(random, stream, `${stream}/intruder`)
      context.sending(message, { door: 'qos1', user: 'carol', client: name }, conn, { forbidden: true })
      reader.wire.publish(message.topic, message.text, { qos: 1, messageId: 1 })
      await context.linger(3_000, () => reader.wire.isOver)
      await leave(context, reader)
      await context.rest(random, 500, 2_000)
    },
    () => context.draining,
  )
}
