/** Servers for tests: in this process, or as a child that can be killed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { loadDevelopmentKey, mintDevelopmentToken, type DevelopmentTokenRequest } from '../../auth/development.ts'
import type { Settings } from '../../cli/config.ts'
import { startServer, type RunningServer, type ServerOverrides } from '../../cli/server.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { compiledProgram } from './program.ts'
import { tempFolder } from './temp.ts'

export type TokenOptions = Omit<Partial<DevelopmentTokenRequest>, 'key' | 'name'>

export interface ServerUrls {
  readonly mqtt: string
  readonly ws: string
  readonly http: string
}

export interface TestServerOptions {
  /** Whatever is given wins; ports, data folder and store come from here otherwise. */
  readonly settings?: Settings
  readonly overrides?: ServerOverrides
  /** Default `memory`, kept across `restart`. */
  readonly store?: 'memory' | 'level'
  /** The data folder; default a new one. */
  readonly folder?: string
}

export interface TestServer {
  readonly folder: string
  readonly urls: ServerUrls
  readonly ports: { readonly mqtt: number; readonly http: number }
  /** The parts of the running server; another after `restart`. */
  readonly running: RunningServer
  /** A development token of the user. */
  token(name: string, options?: TokenOptions): Promise<string>
  /** Graceful; may be called again. */
  stop(): Promise<void>
  /** Stops and starts on the same ports and data, with other settings if given. */
  restart(settings?: Settings): Promise<void>
}

/** Starts a server in this process. It ends with `stop`, and its folder with the process. */
export async function testServer(options: TestServerOptions = {}): Promise<TestServer> {
  const folder = options.folder ?? (await tempFolder())
  const [mqttPort, httpPort] = (await freePorts(2)) as [number, number]
  const overrides = options.store === 'level' ? options.overrides : { store: new MemoryStore(), ...options.overrides }
  let settings: Settings = { data: folder, mqttPort, httpPort, ...options.settings }
  let running = await startServer(settings, overrides)
  const { ports, mqttUrl, wsUrl, httpUrl } = running.addresses
  // Where AWS IoT Core carries MQTT there is no listener of ours.
  const mqtt = ports.mqtt ?? mqttPort
  settings = { ...settings, mqttPort: mqtt, httpPort: ports.http }
  return {
    folder,
    urls: { mqtt: mqttUrl, ws: wsUrl ?? mqttUrl, http: httpUrl },
    ports: { mqtt, http: ports.http },
    get running() {
      return running
    },
    token: (name, tokenOptions) => developmentToken(folder, name, tokenOptions),
    stop: () => running.stop(),
    async restart(changed) {
      await running.stop()
      settings = { ...settings, ...changed }
      running = await startServer(settings, overrides)
    },
  }
}

export interface ChildServerOptions {
  /** Written to a configuration file; ports and data folder come from here otherwise. */
  readonly settings?: Settings
  /** More arguments of `serve`. */
  readonly args?: readonly string[]
  /** Added to an environment without `TIDEMARK_…`. */
  readonly env?: Readonly<Record<string, string>>
  /** Words before the program, such as `['prlimit', '--fsize=1000000']`; must end by executing what follows them. */
  readonly command?: readonly string[]
  /** The data folder; default a new one. */
  readonly folder?: string
}

export interface ChildExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ChildServer {
  readonly folder: string
  readonly urls: ServerUrls
  readonly ports: { readonly mqtt: number; readonly http: number }
  readonly pid: number
  /** What the current process has written so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves when the current process is gone. */
  readonly exited: Promise<ChildExit>
  token(name: string, options?: TokenOptions): Promise<string>
  /** Sends the signal and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<ChildExit>
  /** Starts again on the same ports and data; resolves at the ready line. */
  start(): Promise<void>
}

/** Starts `tidemark serve` as a child process; resolves at its ready line, rejects with its stderr if it ends before. */
export async function childServer(options: ChildServerOptions = {}): Promise<ChildServer> {
  const folder = options.folder ?? (await tempFolder())
  const [mqttPort, httpPort] = (await freePorts(2)) as [number, number]
  const settings: Settings = { data: folder, mqttPort, httpPort, ...options.settings }
  const file = join(await tempFolder(), 'tidemark.json')
  await writeFile(file, JSON.stringify(settings))
  const words = [...(options.command ?? []), process.execPath, await compiledProgram(), 'serve', '--config', file, ...(options.args ?? [])]
  const run = (): Child => new Child(words, options.env)
  let child = run()
  const ready = await child.ready
  const port = (name: string): number => Number(new RegExp(` ${name}=\\S*:(\\d+)`).exec(ready)?.[1])
  // Where AWS IoT Core carries MQTT there is none here.
  const ports = { mqtt: ready.includes(' mqtt=') ? port('mqtt') : mqttPort, http: port('http') }
  if (settings.mqttPort !== ports.mqtt || settings.httpPort !== ports.http) {
    await writeFile(file, JSON.stringify({ ...settings, mqttPort: ports.mqtt, httpPort: ports.http }))
  }
  return {
    folder,
    ports,
    urls: { mqtt: `mqtt://127.0.0.1:${ports.mqtt}`, ws: `ws://127.0.0.1:${ports.http}/mqtt`, http: `http://127.0.0.1:${ports.http}` },
    get pid() {
      return child.pid
    },
    get stdout() {
      return child.stdout
    },
    get stderr() {
      return child.stderr
    },
    get exited() {
      return child.exited
    },
    token: (name, tokenOptions) => developmentToken(folder, name, tokenOptions),
    kill: (signal = 'SIGTERM') => child.kill(signal),
    async start() {
      child = run()
      await child.ready
    },
  }
}

/** One run of the program. Its process group ends with this process at the latest. */
class Child {
  readonly #process: ChildProcess
  readonly exited: Promise<ChildExit>
  readonly ready: Promise<string>
  stdout = ''
  stderr = ''

  constructor(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [command, ...args] = words as [string, ...string[]]
    // A group of its own, so that whatever it starts ends with it.
    this.#process = spawn(command, args, { env: { ...cleanEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    living.add(this.#process)
    if (!killsAtExit) process.once('exit', killAll)
    killsAtExit = true
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    // `close` comes after all output was read.
    this.exited = once(this.#process, 'close').then(([code, signal]) => {
      living.delete(this.#process)
      return { code: code as number | null, signal: signal as NodeJS.Signals | null }
    })
    this.ready = this.#readyLine()
    this.ready.catch(() => {}) // Whoever waits for it hears of it.
  }

  get pid(): number {
    return this.#process.pid as number
  }

  async kill(signal: NodeJS.Signals): Promise<ChildExit> {
    if (living.has(this.#process)) this.#process.kill(signal)
    return await this.exited
  }

  async #readyLine(): Promise<string> {
    const line = new Promise<string>((resolve) => {
      this.#process.stdout?.on('data', () => {
        const found = /^tidemark ready .*$/m.exec(this.stdout)
        if (found && this.stdout.endsWith('\n')) resolve(found[0])
      })
    })
    const early = this.exited.then(({ code, signal }) => {
      throw new Error(`the server ended before it was ready (${code ?? signal}): ${this.stderr}`)
    })
    return await Promise.race([line, early])
  }
}

const living = new Set<ChildProcess>()
let killsAtExit = false

function killAll(): void {
  for (const { pid } of living) {
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
  }
}

/** The environment without settings of whoever runs the tests. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEMARK_')))
}

/** A token as `tidemark token` prints it, for the server with this data folder. */
export async function developmentToken(folder: string, name: string, options: TokenOptions = {}): Promise<string> {
  return mintDevelopmentToken({ audience: 'tidemark', ...options, key: await loadDevelopmentKey(folder), name })
}

/**
 * Ports that nobody listens on, below those the system gives to outgoing connections: a server that is started
 * again finds its port, and a client that keeps trying never connects to itself.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    if (!ports.includes(port) && (await isFree(port))) ports.push(port)
  }
  return ports
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen({ port, host: '127.0.0.1' })
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
