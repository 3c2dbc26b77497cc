/** Our SDK with everything as it is by default, and a durable outbox. */
import { connect, type OutboxStore } from '../../client/index.ts'
import type { OwnTarget, Payload, Subject } from './subject.ts'

/** `outbox`: undefined in a page, where IndexedDB is the default. */
export function openTidemark({ url, token, stream: name }: OwnTarget, outbox: OutboxStore | undefined): Subject {
  // Each has a connection of its own, also where several are in one page.
  const client = connect({ url, getToken: () => token, account: name, shareTabs: false, ...(outbox && { outbox }) })
  const stream = client.stream(name)
  return {
    connected: () =>
      new Promise((resolve) => {
        const look = (): void => {
          if (client.status.get().connection !== 'online') return
          end()
          resolve()
        }
        const end = client.status.subscribe(look)
        look()
      }),
    async read(from, take, ready) {
      const reader = stream.entries({
        from: from === 'first' ? 'earliest' : 'now',
        ...(ready && { onProgress: ({ live }: { readonly live: boolean }): void => (live ? ready() : undefined) }),
      })
      for await (const { data } of reader) if (take(data as Payload)) break
    },
    publish: (payload) => stream.publish('load', payload),
    close: () => client.close(),
  }
}
