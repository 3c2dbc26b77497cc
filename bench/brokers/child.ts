/** A child process that writes its output to a file, so that reading it costs the benchmark nothing. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const startTimeoutMs = 120_000
const pollMs = 5

export interface ChildOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Where stdout and stderr go. */
  readonly outputFile: string
  /** Asked again and again until it says true. */
  ready(output: string): boolean | Promise<boolean>
}

const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

export class Child {
  readonly pid: number
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>

  /** Starts it; resolves when it is ready, with how long that took. Rejects with its output if it ends before. */
  static async start(options: ChildOptions): Promise<{ child: Child; readyMs: number }> {
    const began = performance.now()
    const child = new Child(options)
    while (!(await options.ready(readFileSync(options.outputFile, 'utf8')))) {
      const readyMs = performance.now() - began
      if (!child.#alive || readyMs > startTimeoutMs) {
        await child.end('SIGKILL')
        throw new Error(`${options.command} did not start: ${readFileSync(options.outputFile, 'utf8').slice(-500).trim()}`)
      }
      await sleep(pollMs)
    }
    return { child, readyMs: performance.now() - began }
  }

  private constructor({ command, args, cwd, env, outputFile }: ChildOptions) {
    const output = openSync(outputFile, 'w')
    this.#process = spawn(command, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: env ?? process.env,
      stdio: ['ignore', output, output],
    })
    closeSync(output)
    living.add(this.#process)
    this.#exited = once(this.#process, 'exit').catch(() => {}) // A command that is not there is told by `ready`.
    void this.#exited.finally(() => living.delete(this.#process))
    this.pid = this.#process.pid ?? 0
  }

  get #alive(): boolean {
    return this.pid !== 0 && this.#process.exitCode === null && this.#process.signalCode === null
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.#alive) return
    this.#process.kill(signal)
    await this.#exited
  }
}
