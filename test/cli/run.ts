/** The program, run as a user runs it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { main } from '../../cli/main.ts'
import { compiledProgram } from '../support/program.ts'
import { cleanEnvironment } from '../support/server.ts'

export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly command?: readonly string[]
}

/** Runs `tidemark` with these arguments to its end. */
export async function tidemark(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const [command, ...before] = (options.command ?? [process.execPath, await compiledProgram()]) as [string, ...string[]]
  const { cwd, env, input } = options
  const child = spawn(command, [...before, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...cleanEnvironment(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.end(input ?? '')
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** As `tidemark`, in this process: much faster, for commands that end by themselves and read no input. */
export async function inProcess(args: readonly string[]): Promise<Run> {
  const written = { stdout: '', stderr: '' }
  const { stdout, stderr } = process
  const streams = { stdout, stderr }
  const restore = (['stdout', 'stderr'] as const).map((name) => {
    const stream = streams[name]
    const write = stream.write.bind(stream)
    stream.write = (text: string | Uint8Array): boolean => {
      written[name] += String(text)
      return true
    }
    return () => void (stream.write = write)
  })
  try {
    return { code: await main(args), ...written }
  } finally {
    for (const undo of restore) undo()
  }
}
