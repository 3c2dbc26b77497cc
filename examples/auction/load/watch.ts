/** One watcher, as the SDK or on a bare socket: the same door of the server, the same envelopes. */
import { connect } from 'tidemark/client'
import { parsePosition } from 'tidemark/protocol'
import { streamName } from '../rules.ts'
import { login } from './login.ts'
import { openSocket, payloadOf } from './socket.ts'

/** Resolves, with what ends it, when it has caught up. `told`: an entry has come, by its number in the log. */
export type Watch = (origin: string, name: string, told: (seq: number) => void) => Promise<() => Promise<void>>

/** As a page does it. One that ends later will have missed what comes then. */
export const watchBySdk: Watch = async (origin, name, told) => {
  const { url } = await login(origin, name)
  const client = connect({ url, transport: 'mqtt', getToken: async () => (await login(origin, name)).token })
  await new Promise<void>((resolve, reject) => {
    const read = async (): Promise<void> => {
      const entries = client.stream(streamName).entries({ onProgress: ({ live }) => live && resolve() })
      for await (const { seq, ephemeral } of entries) if (!ephemeral) told(seq)
    }
    read().catch(reject)
  })
  return () => client.close()
}

/** Costs a fraction: 1,000 of the SDK in one machine would be a measurement of themselves. */
export const watchBySocket: Watch = async (origin, name, told) => {
  const socket = await openSocket(origin, { name, clientId: name, topics: [`sync/${streamName}/#`] }, (packet) => {
    const { pos, ctl } = (payloadOf(packet) ?? {}) as { pos?: string; ctl?: string }
    if (pos !== undefined && ctl === undefined) told(parsePosition(pos).seq)
  })
  return () => Promise.resolve(socket.terminate())
}
