/** Programs of this folder as child processes. They end with this process at the latest. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from './waiting.ts'

const living = new Set<ChildProcess>()

/** Starts `{name}.ts` of this folder. */
export function startProgram(
  name: string,
  args: readonly string[],
  stdio: StdioOptions,
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const program = fileURLToPath(new URL(`../${name}.ts`, import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], { stdio, env: { ...process.env, ...env } })
  if (living.size === 0) process.once('exit', () => living.forEach((each) => each.kill('SIGKILL')))
  living.add(child)
  child.once('close', () => living.delete(child))
  return child
}

/** Waits for the end of a program that must succeed; its error output is told otherwise. */
export async function succeeded(child: ChildProcess, what: string, timeoutMs: number): Promise<void> {
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code, signal] = (await within(timeoutMs, `the end of ${what}`, once(child, 'close'))) as [number | null, string | null]
  if (code !== 0) throw new Error(`${what} ended with ${code ?? signal}: ${stderr}`)
}

/** A program that answers each line with one line. */
export class LineServer {
  readonly #child: ChildProcess
  readonly #waiting: ((line: string) => void)[] = []
  #failed: ((error: Error) => void) | undefined

  constructor(child: ChildProcess) {
    this.#child = child
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => this.#waiting.shift()?.(line))
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('close', (code, signal) => this.#failed?.(new Error(`the program ended with ${code ?? signal}: ${stderr}`)))
  }

  ask(line: string, timeoutMs: number): Promise<string> {
    const answer = new Promise<string>((resolve, reject) => {
      this.#waiting.push(resolve)
      this.#failed = reject
    })
    this.#child.stdin?.write(`${line}\n`)
    return within(timeoutMs, `the answer to ${line}`, answer)
  }

  async end(): Promise<void> {
    this.#failed = undefined
    this.#child.stdin?.end()
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await within(10_000, 'the end of the program', once(this.#child, 'close'))
  }
}
