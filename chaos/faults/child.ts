/** One program that is started, killed, frozen and started again; it ends with this process at the latest. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { connect } from 'node:net'

/** Generous: the machine may be busy with other things. */
const startMs = 150_000
const living = new Set<ChildProcess>()
process.once('exit', () => living.forEach((child) => child.kill('SIGKILL')))

export interface ChildOptions {
  readonly name: string
  readonly port: number
  /** Where its output goes. */
  readonly outputFile: string
  readonly command: () => { readonly words: readonly string[]; readonly env?: Readonly<Record<string, string>> }
}

export class Child {
  readonly #options: ChildOptions
  readonly #output: WriteStream
  #process: ChildProcess | undefined
  #paused = false

  constructor(options: ChildOptions) {
    this.#options = options
    this.#output = createWriteStream(options.outputFile, { flags: 'a' })
  }

  get name(): string {
    return this.#options.name
  }

  get port(): number {
    return this.#options.port
  }

  get running(): boolean {
    return this.#process !== undefined
  }

  get paused(): boolean {
    return this.#paused
  }

  /** Resolves when it accepts connections; rejects if it ends before. */
  async start(): Promise<void> {
    if (this.#process) return
    const { words, env = {} } = this.#options.command()
    const [program, ...args] = words as [string, ...string[]]
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...cleanEnvironment(), ...env } })
    living.add(child)
    this.#process = child
    child.stdin?.on('error', () => {}) // Who has ended is told nothing any more.
    child.stdout?.pipe(this.#output, { end: false })
    child.stderr?.pipe(this.#output, { end: false })
    child.once('exit', () => {
      living.delete(child)
      if (this.#process === child) this.#process = undefined
    })
    const deadline = performance.now() + startMs
    while (!(await accepts(this.port))) {
      if (this.#process !== child) throw new Error(`${this.name} ended before it listened; see ${this.#options.outputFile}`)
      if (performance.now() > deadline) {
        await this.stop()
        throw new Error(`${this.name} neither listens nor ends; see ${this.#options.outputFile}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
  }

  /** Sends the signal and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process
    if (!child) return
    const ended = once(child, 'exit')
    this.resume()
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
    await ended
    clearTimeout(late)
  }

  /** One line to its standard input. */
  tell(line: string): void {
    this.#process?.stdin?.write(`${line}\n`)
  }

  pause(): void {
    if (this.#process?.kill('SIGSTOP')) this.#paused = true
  }

  resume(): void {
    if (this.#paused) this.#process?.kill('SIGCONT')
    this.#paused = false
  }
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TIDEMARK_|NODE_OPTIONS$)/.test(name)))
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
