/** NATS with JetStream, over WebSocket. Server and clients are installed outside the repository, by version. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Child } from './child.ts'
import { answers, freePort } from './ports.ts'
import { findProgram } from './programs.ts'

const serverVersion = '2.15.2'
const clients = ['@nats-io/nats-core@3.4.0', '@nats-io/jetstream@3.4.0'] as const

/** As it stands in rows. */
export const natsVersion = `nats-server ${serverVersion}`

export interface NatsServer {
  readonly name: string
  readonly pid: number
  /** Over WebSocket. */
  readonly url: string
  /** Of its own protocol over TCP. */
  readonly port: number
  stop(): Promise<void>
}

/** The folder in which they are; undefined, with a word on the console, where they are not and cannot be installed. */
export function installNats(): string | undefined {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tidemark-bench', `nats-${serverVersion}`)
  const go = findProgram('go') ?? '/usr/local/go/bin/go'
  const run = (command: string, args: readonly string[]): unknown =>
    execFileSync(command, args, { env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' }, stdio: ['ignore', 'ignore', 'pipe'] })
  try {
    mkdirSync(folder, { recursive: true })
    if (!existsSync(join(folder, 'nats-server'))) run(go, ['install', `github.com/nats-io/nats-server/v2@v${serverVersion}`])
    if (!existsSync(join(folder, 'node_modules')))
      run('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--save-exact', ...clients])
    return folder
  } catch (error) {
    console.error(`  NATS cannot be installed here: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  }
}

/** `always`: every message is on disk before it is acknowledged. By default that is so within two minutes. */
export async function startNats(programs: string, folder: string, syncs: 'default' | 'always'): Promise<NatsServer> {
  await mkdir(folder, { recursive: true })
  const [port, webSocketPort] = [await freePort(), await freePort()]
  const file = join(folder, 'nats.conf')
  await writeFile(
    file,
    `listen: "127.0.0.1:${port}"
websocket { listen: "127.0.0.1:${webSocketPort}", no_tls: true }
jetstream { store_dir: ${JSON.stringify(folder)}${syncs === 'always' ? ', sync_interval: always' : ''} }
`,
  )
  const { child } = await Child.start({
    command: join(programs, 'nats-server'),
    args: ['-c', file],
    outputFile: join(folder, 'output'),
    ready: async (output) => output.includes('Server is ready') && (await answers(webSocketPort)),
  })
  return {
    name: syncs === 'always' ? 'NATS with sync_interval: always' : 'NATS',
    pid: child.pid,
    url: `ws://127.0.0.1:${webSocketPort}`,
    port,
    stop: () => child.end('SIGTERM'),
  }
}
