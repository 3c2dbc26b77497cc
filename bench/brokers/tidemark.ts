/** Our server, as a user runs it. */
import { existsSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadDevelopmentKey, mintDevelopmentToken } from '../../auth/development.ts'
import type { Credentials } from '../load/packets.ts'
import type { Broker, Rights } from './broker.ts'
import { Child } from './child.ts'
import { freePort } from './ports.ts'

const root = new URL('../../', import.meta.url).pathname
const keyName = 'dev-key'
const tokenTtlMs = 24 * 3_600_000
/** Not one of those that end the server. */
const collectSignal = 'SIGWINCH'

export interface TidemarkOptions {
  readonly folder: string
  /** From dist/ instead of the sources, where start-up is what is measured. */
  readonly dist: boolean
  /** Where memory is measured: the collector can be asked, which changes nothing else. */
  readonly collectable?: boolean
  readonly env?: Readonly<Record<string, string>>
  /** As in the configuration; the embedded store where it is not given. */
  readonly store?: string
  readonly hints?: string
  /** The folder of another node, whose tokens this one takes too. */
  readonly keyOf?: string
}

export async function startTidemark(options: TidemarkOptions): Promise<Broker> {
  const { folder } = options
  await mkdir(folder, { recursive: true })
  if (options.keyOf !== undefined) await copyFile(join(options.keyOf, keyName), join(folder, keyName))
  const [mqttPort, httpPort] = [await freePort(), await freePort()]
  const start = (): Promise<{ child: Child; readyMs: number }> => {
    const shared = [
      ...(options.store === undefined ? [] : ['--store', options.store]),
      ...(options.hints === undefined ? [] : ['--hints', options.hints]),
    ]
    const settings = ['--data', folder, '--mqtt-port', String(mqttPort), '--http-port', String(httpPort), ...shared]
    return Child.start({
      command: process.execPath,
      args: [...nodeArguments(options), ...programOf(options.dist), 'serve', ...settings],
      cwd: root,
      env: { ...withoutSettings(), ...options.env },
      outputFile: join(folder, 'output'),
      ready: (output) => /^tidemark ready .*\n/m.test(output),
    })
  }
  let { child, readyMs } = await start()
  return {
    name: 'tidemark',
    get pid() {
      return child.pid
    },
    get readyMs() {
      return readyMs
    },
    mqttUrl: `mqtt://127.0.0.1:${mqttPort}`,
    wsUrl: `ws://127.0.0.1:${httpPort}/mqtt`,
    httpUrl: `http://127.0.0.1:${httpPort}`,
    credentials: (count, rights) => credentialsFor(folder, count, rights),
    async collectGarbage() {
      for (let round = 0; round < 3; round++) {
        child.signal(collectSignal)
        await sleep(500)
      }
    },
    async restart() {
      await child.end('SIGKILL')
      ;({ child, readyMs } = await start())
    },
    stop: () => child.end('SIGTERM'),
  }
}

async function credentialsFor(folder: string, count: number, rights: Rights = {}): Promise<Credentials[]> {
  const key = await loadDevelopmentKey(folder)
  const mint = async (number: number): Promise<Credentials> => {
    const name = `bench-${number}`
    return { user: name, password: await mintDevelopmentToken({ key, audience: 'tidemark', name, ttlMs: tokenTtlMs, ...rights }) }
  }
  return await Promise.all(Array.from({ length: count }, (_, number) => mint(number)))
}

function nodeArguments({ collectable = false }: TidemarkOptions): string[] {
  if (!collectable) return []
  const collect = `process.on('${collectSignal}', () => globalThis.gc())`
  return ['--expose-gc', '--import', `data:text/javascript,${encodeURIComponent(collect)}`]
}

/** `bin/tidemark.js` takes the sources wherever they are; the built program is started by itself. */
function programOf(dist: boolean): string[] {
  if (!dist) return [join(root, 'bin/tidemark.js')]
  const built = join(root, 'dist/cli/main.js')
  if (!existsSync(built)) throw new Error('--dist needs dist/: run `npm run build` first')
  const run = `import { main } from ${JSON.stringify(built)}; process.exitCode = await main(process.argv.slice(1))`
  return ['--input-type=module', '-e', run, '--']
}

function withoutSettings(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEMARK_')))
}
