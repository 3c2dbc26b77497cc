/** A watcher that freezes: it subscribes as a page does, and from then on nobody reads its socket. */
import { generate } from 'mqtt-packet'
import { connect } from 'tidemark/client'
import { WebSocket } from 'ws'
import { streamName } from '../rules.ts'
import { login } from './login.ts'

/** Connections that one user may have [P-13.21], and some to spare. */
const perUser = 50
/** More than the buffers of the system take for a socket that is not read, so that the server has to hold back. */
const ballast = { entries: 128, bytes: 65_536 }

/** Ends them. */
export async function freeze(origin: string, count: number): Promise<() => void> {
  const sockets: WebSocket[] = []
  for (let at = 0; at < count; at += perUser) {
    const name = `frozen-${at}`
    await loadBallast(origin, name)
    const { token, url } = await login(origin, name)
    const numbers = Array.from({ length: Math.min(perUser, count - at) }, (_, number) => number)
    sockets.push(...(await Promise.all(numbers.map((number) => frozen(`${url.replace('http', 'ws')}/mqtt`, token, name, number)))))
  }
  return () => sockets.forEach((socket) => socket.terminate())
}

async function loadBallast(origin: string, name: string): Promise<void> {
  const { url } = await login(origin, name)
  const client = connect({ url, transport: 'mqtt', getToken: async () => (await login(origin, name)).token })
  const own = client.stream(`users/${name}`)
  await Promise.all(Array.from({ length: ballast.entries }, () => own.publish('ballast', 'x'.repeat(ballast.bytes), { as: 'text' })))
  await client.close()
}

async function frozen(url: string, token: string, name: string, number: number): Promise<WebSocket> {
  const socket = new WebSocket(url, 'mqtt')
  return await new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('open', () => {
      socket.send(
        generate({
          cmd: 'connect',
          clientId: `${name}-${number}`,
          clean: true,
          username: name,
          password: Buffer.from(token),
          keepalive: 0,
        }),
      )
      const topics = [`sync/${streamName}/#`, `sync@earliest/users/${name}/#`]
      socket.send(generate({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) }))
    })
    let bytes = 0
    socket.on('message', (data: Buffer) => {
      bytes += data.length
      // Behind the four bytes of the CONNACK comes the SUBACK.
      if (bytes <= 4) return
      socket.pause()
      resolve(socket)
    })
    socket.once('close', () => reject(new Error(`the server closes ${name}-${number}`)))
  })
}
