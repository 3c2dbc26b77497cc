/** A browser's locks and channels, for clients of one process. */
import type { TabPlatform } from '../../client/tabs/platform.ts'

interface Queued {
  readonly begin: () => void
}

/** Web Locks, exclusive ones only: in the order asked. */
export class FakeBrowser implements TabPlatform {
  readonly #queues = new Map<string, Queued[]>()
  readonly locks: TabPlatform['locks'] = {
    request: (name, { signal }, held) =>
      new Promise((resolve, reject) => {
        const queue = this.#queues.get(name) ?? []
        this.#queues.set(name, queue)
        const leave = (): void => {
          queue.splice(queue.indexOf(queued), 1)
          queue[0]?.begin()
        }
        const giveUp = (): void => {
          queue.splice(queue.indexOf(queued), 1)
          reject(signal.reason as Error)
        }
        let hasBegun = false
        const queued: Queued = {
          begin: () => {
            if (hasBegun) return
            hasBegun = true
            signal.removeEventListener('abort', giveUp)
            setImmediate(() => void held().then(resolve, reject).finally(leave))
          },
        }
        if (signal.aborted) return reject(signal.reason as Error)
        signal.addEventListener('abort', giveUp)
        queue.push(queued)
        if (queue.length === 1) queued.begin()
      }),
  }

  /** How often a message comes: once, unless a test says otherwise. */
  copies: (message: object) => number = () => 1

  channel(name: string): BroadcastChannel {
    const channel = new BroadcastChannel(name)
    const post = channel.postMessage.bind(channel)
    channel.postMessage = (message: object) => {
      for (let copies = this.copies(message); copies > 0; copies--) post(message)
    }
    return channel
  }
}
