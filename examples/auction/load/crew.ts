/** The processes of the load: the server with the back end in one, the watchers in some others. */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { login } from './login.ts'
import type { FromWatchers, ReportOrder, WatchersOrder, WatchersReport } from './watchers.ts'

export interface House {
  readonly origin: string
  /** Processor time that it has taken. */
  cpuMs(): Promise<number>
  stop(): Promise<void>
}

/** The example as anybody starts it, on an empty folder. */
export async function startHouse(): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-auction-'))
  const program = fileURLToPath(new URL('../server.ts', import.meta.url))
  const env = { ...process.env, PORT: '0', DATA: folder, MINUTES: '60' }
  const child = spawn(process.execPath, [...process.execArgv, program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  process.once('exit', () => child.kill())
  const origin = await new Promise<string>((resolve, reject) => {
    let printed = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text
      const found = /auction ready (http:\S+)/.exec(printed)?.[1]
      if (found) resolve(found)
    })
    child.once('exit', (code) => reject(new Error(`the auction ended with ${String(code)} before it was ready: ${printed}`)))
  })
  return {
    origin,
    async cpuMs() {
      const { url } = await login(origin, 'measurer')
      const metrics = await (await fetch(`${url}/metrics`)).text()
      return Number(/^process_cpu_seconds_total (\S+)/m.exec(metrics)?.[1]) * 1_000
    },
    async stop() {
      child.kill()
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Watchers in one process. */
export class WatchersProcess {
  readonly #child: ChildProcess = fork(new URL('./watchers.ts', import.meta.url), { serialization: 'advanced' })
  readonly #gone: Promise<never>

  constructor() {
    this.#gone = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`a process of watchers ended with ${String(code)}`)
    })
    this.#gone.catch(() => {}) // Whoever waits for an answer hears of it.
  }

  async join(order: WatchersOrder): Promise<void> {
    await this.#ask(order)
  }

  async report(order: ReportOrder): Promise<WatchersReport> {
    const answer = await this.#ask(order)
    if (!('report' in answer)) throw new Error('the watchers have answered something else')
    return answer.report
  }

  end(): void {
    this.#child.disconnect()
  }

  async #ask(order: WatchersOrder | ReportOrder): Promise<FromWatchers> {
    const answered = once(this.#child, 'message') as Promise<[FromWatchers]>
    this.#child.send(order)
    const [answer] = await Promise.race([answered, this.#gone])
    if ('failed' in answer) throw new Error(answer.failed)
    return answer
  }
}
