/** The peer: Eclipse Mosquitto, in memory as it comes, or 2.1 with its SQLite plug-in. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Broker } from './broker.ts'
import { Child } from './child.ts'
import { answers, freePort } from './ports.ts'
import { findProgram } from './programs.ts'

export interface MosquittoOptions {
  readonly binary: string
  readonly folder: string
  /** Lines of its configuration beyond the listeners. */
  readonly settings: readonly string[]
}

/** So that nothing is dropped for a reader that was away. */
export const raisedLimits: readonly string[] = ['max_inflight_messages 1000', 'max_queued_messages 0']

/** The binary, or undefined where this machine has none. */
export function findMosquitto(): string | undefined {
  return findProgram('mosquitto')
}

/** Mosquitto 2.1 and its persistence plug-in, or undefined. */
export function findMosquittoSqlite(): { binary: string; plugin: string } | undefined {
  const given = process.env['MOSQUITTO21']
  const binary = given === undefined || given === '' ? findProgram('mosquitto-2.1') : given
  if (binary === undefined || !existsSync(binary)) return undefined
  const name = 'mosquitto_persist_sqlite.so'
  const near = dirname(binary)
  const plugin = [
    process.env['MOSQUITTO21_PLUGIN'] ?? '',
    join(near, name),
    join(near, 'plugins/persist-sqlite', name),
    join(near, '../plugins/persist-sqlite', name),
    join(near, '../lib', name),
    join(near, '../lib/mosquitto', name),
    join('/usr/lib/x86_64-linux-gnu', name),
    join('/usr/local/lib', name),
  ].find((path) => path !== '' && existsSync(path))
  return plugin === undefined ? undefined : { binary, plugin }
}

/** Written through to the disk before PUBACK, as far as it can be told to. */
export function sqliteSettings(plugin: string, folder: string): string[] {
  return [
    `plugin ${plugin}`,
    `plugin_opt_db_file ${join(folder, 'mosquitto.sqlite3')}`,
    'plugin_opt_sync full',
    'plugin_opt_flush_period 0',
  ]
}

/** Like `mosquitto version 2.0.11`. */
export function mosquittoVersion(binary: string): string {
  try {
    return execFileSync(binary, ['-h'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0] ?? binary
  } catch (error) {
    // Asked for help it ends with an error, and prints it all the same.
    return (error as { stdout?: string }).stdout?.split('\n')[0] ?? binary
  }
}

/** Starts it, with a WebSocket listener where its build has one. */
export async function startMosquitto(options: MosquittoOptions): Promise<Broker> {
  const ports = { mqtt: await freePort(), ws: await freePort() }
  try {
    return await start(options, ports.mqtt, ports.ws)
  } catch {
    return await start(options, ports.mqtt, undefined)
  }
}

async function start({ binary, folder, settings }: MosquittoOptions, mqttPort: number, wsPort: number | undefined): Promise<Broker> {
  await mkdir(folder, { recursive: true })
  const webSocket = wsPort === undefined ? [] : [`listener ${wsPort} 127.0.0.1`, 'protocol websockets']
  // Started as root it would change to a user that may not write here.
  const lines = ['allow_anonymous true', 'user root', ...settings, `listener ${mqttPort} 127.0.0.1`, ...webSocket]
  const file = join(folder, 'mosquitto.conf')
  await writeFile(file, `${lines.join('\n')}\n`)
  const { child, readyMs } = await Child.start({
    command: binary,
    args: ['-c', file],
    outputFile: join(folder, 'output'),
    ready: async () => (await answers(mqttPort)) && (wsPort === undefined || (await answers(wsPort))),
  })
  return {
    name: 'mosquitto',
    pid: child.pid,
    readyMs,
    mqttUrl: `mqtt://127.0.0.1:${mqttPort}`,
    wsUrl: wsPort === undefined ? undefined : `ws://127.0.0.1:${wsPort}/`,
    httpUrl: undefined,
    credentials: () => Promise.resolve([]),
    collectGarbage: () => Promise.resolve(),
    restart: () => Promise.reject(new Error('in memory, it would come back empty')),
    stop: () => child.end('SIGTERM'),
  }
}
