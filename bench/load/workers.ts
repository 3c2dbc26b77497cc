/** A run over several processes: each gets some of the publishers with all of their subscribers. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { childArguments, childModule } from './child-modules.ts'
import type { LoadCounts, LoadObserver, LoadOptions } from './options.ts'
// Also what brings the worker into a build.
import type { FromWorker, ToWorker } from './worker.ts'

export async function forkedRuns(options: LoadOptions, numbers: readonly number[], observer: LoadObserver): Promise<LoadCounts[]> {
  const count = Math.min(options.processes, numbers.length)
  const workers = Array.from({ length: count }, () => new Worker())
  try {
    await Promise.all(
      workers.map((worker, at) => {
        worker.send({ type: 'connect', options, numbers: numbers.filter((_, index) => index % count === at) })
        return worker.next('connected')
      }),
    )
    for (const worker of workers) worker.send({ type: 'measure' })
    const [first] = workers as [Worker]
    await first.next('counting')
    observer.counting?.()
    await first.next('counted')
    observer.counted?.()
    return await Promise.all(workers.map((worker) => worker.result()))
  } finally {
    for (const worker of workers) worker.end()
  }
}

class Worker {
  readonly #child: ChildProcess
  readonly #inbox: FromWorker[] = []
  readonly #gone: Promise<never>
  #arrived: () => void = () => {}

  constructor() {
    this.#child = fork(childModule(new URL('./worker', import.meta.url)), { execArgv: childArguments(), serialization: 'advanced' })
    this.#gone = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`a process of the load generator ended with ${String(code)}`)
    })
    this.#gone.catch(() => {}) // Whoever waits for a message hears of it.
    this.#child.on('message', (message: FromWorker) => {
      this.#inbox.push(message)
      this.#arrived()
    })
  }

  send(message: ToWorker): void {
    this.#child.send(message)
  }

  async next(type: FromWorker['type']): Promise<FromWorker> {
    for (;;) {
      const at = this.#inbox.findIndex((message) => message.type === type || message.type === 'failed')
      const [found] = at < 0 ? [] : this.#inbox.splice(at, 1)
      if (found?.type === 'failed') throw new Error(found.message)
      if (found) return found
      await Promise.race([new Promise<void>((resolve) => (this.#arrived = resolve)), this.#gone])
    }
  }

  async result(): Promise<LoadCounts> {
    return ((await this.next('result')) as FromWorker & { type: 'result' }).counts
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}
