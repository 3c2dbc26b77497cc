/** Watchers that freeze: they subscribe as a page does, and from then on nobody reads their sockets. */
import { connect } from 'tidemark/client'
import type { WebSocket } from 'ws'
import { streamName } from '../rules.ts'
import { login } from './login.ts'
import { openSocket } from './socket.ts'

/** Of the connections that one user may have [P-13.21]. */
const perUser = 50
/** More than the buffers of the system take for a socket that is not read, so that the server has to hold back. */
const ballast = { entries: 128, bytes: 65_536 }

/** The answer ends them. */
export async function freeze(origin: string, count: number): Promise<() => void> {
  const sockets: WebSocket[] = []
  for (let at = 0; at < count; at += perUser) {
    const name = `frozen-${at}`
    await publishBallast(origin, name)
    const topics = [`sync/${streamName}/#`, `sync@earliest/users/${name}/#`]
    const numbers = Array.from({ length: Math.min(perUser, count - at) }, (_, number) => number)
    sockets.push(...(await Promise.all(numbers.map((number) => frozen(origin, name, `${name}-${number}`, topics)))))
  }
  return () => sockets.forEach((socket) => socket.terminate())
}

async function publishBallast(origin: string, name: string): Promise<void> {
  const { url } = await login(origin, name)
  const client = connect({ url, transport: 'mqtt', getToken: async () => (await login(origin, name)).token })
  const own = client.stream(`users/${name}`)
  await Promise.all(Array.from({ length: ballast.entries }, () => own.publish('ballast', 'x'.repeat(ballast.bytes), { as: 'text' })))
  await client.close()
}

async function frozen(origin: string, name: string, clientId: string, topics: readonly string[]): Promise<WebSocket> {
  const socket = await openSocket(origin, { name, clientId, topics }, () => undefined)
  socket.pause()
  return socket
}
