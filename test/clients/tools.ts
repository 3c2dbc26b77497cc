/** Programs that the tests of foreign clients run. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'chai'
import { Inbox, within } from '../support/waiting.ts'

const living = new Set<ChildProcess>()

/** Ends what is left; for `afterEach`. */
export function endPrograms(): void {
  for (const child of living) child.kill('SIGKILL')
}

/** A program whose output is read line by line. */
export class Program {
  readonly lines = new Inbox<string>()
  readonly #child: ChildProcess
  readonly #over: Promise<number | null>

  constructor(command: string, args: readonly string[], input?: string) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    living.add(this.#child)
    this.#child.stdin?.on('error', () => {}) // It may end before it has read all.
    this.#child.stdin?.end(input)
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      let rest = ''
      stream?.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop() as string
        for (const line of lines) this.lines.add(line)
      })
    }
    this.#over = once(this.#child, 'close').then(([status]) => {
      living.delete(this.#child)
      this.lines.end(`${command} has ended`)
      return status as number | null
    })
  }

  /** Waits for its good end; returns what it wrote. */
  async done(timeoutMs = 30_000): Promise<readonly string[]> {
    const status = await within(this.#over, `${this.#child.spawnfile} to end`, timeoutMs).catch((error: Error) => {
      throw new Error(`${error.message}; it wrote ${this.lines.all.length} lines, the last ${this.lines.all.at(-1)}`)
    })
    expect(status, this.lines.all.slice(-5).join('\n')).to.equal(0)
    return this.lines.all
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal)
    await within(this.#over, `${this.#child.spawnfile} to end by ${signal}`)
  }
}
