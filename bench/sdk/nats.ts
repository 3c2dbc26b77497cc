/** NATS JetStream over WebSocket with everything as it is by default. */
import type { Payload, Subject, Target } from './subject.ts'

/** What is used of `@nats-io/nats-core` and `@nats-io/jetstream`, which are not of this package. */
export interface NatsModules {
  wsconnect(options: { readonly servers: string }): Promise<{ close(): Promise<void> }>
  jetstream(connection: unknown): {
    publish(subject: string, payload: string): Promise<unknown>
    readonly consumers: { get(stream: string, options?: { readonly deliver_policy: string }): Promise<Consumer> }
  }
  jetstreamManager(connection: unknown): Promise<{
    readonly streams: { add(config: { readonly name: string; readonly subjects: readonly string[] }): Promise<unknown> }
  }>
}

interface Consumer {
  consume(): Promise<AsyncIterable<{ json(): unknown }>>
}

/** A stream must have been made before anything is read or published. */
export async function makeNatsStream(modules: NatsModules, { url, stream }: Target): Promise<void> {
  const connection = await modules.wsconnect({ servers: url })
  await (await modules.jetstreamManager(connection)).streams.add({ name: stream, subjects: [`${stream}.>`] })
  await connection.close()
}

export async function openNats(modules: NatsModules, { url, stream }: Target): Promise<Subject> {
  const connection = await modules.wsconnect({ servers: url })
  const jetstream = modules.jetstream(connection)
  return {
    connected: () => Promise.resolve(),
    async read(from, take, ready) {
      // Without a name it is an ordered consumer, from the first message on.
      const consumer = await jetstream.consumers.get(stream, from === 'first' ? undefined : { deliver_policy: 'new' })
      const messages = await consumer.consume()
      ready?.()
      for await (const message of messages) if (take(message.json() as Payload)) break
    },
    publish: (payload) => jetstream.publish(`${stream}.load`, JSON.stringify(payload)),
    close: () => connection.close(),
  }
}
