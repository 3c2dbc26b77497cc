/** The database and the Redis behind the nodes, as processes of our own. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Child } from './child.ts'

/** The newest FerretDB that was built for the tests; undefined where there is none. */
export function findDatabase(): string | undefined {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tidemark-ci')
  if (!existsSync(cache)) return undefined
  const built = readdirSync(cache).filter((name) => name.startsWith('ferretdb-'))
  return built.map((name) => join(cache, name, 'ferretdb')).find((path) => existsSync(path))
}

export function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version']).status === 0
}

export function databaseChild(binary: string, folder: string, port: number): Child {
  const data = join(folder, 'database')
  mkdirSync(data, { recursive: true })
  const words = [
    binary,
    '--handler=sqlite',
    `--sqlite-url=file:${data}/`,
    `--state-dir=${data}`,
    `--listen-addr=127.0.0.1:${port}`,
    '--debug-addr=-',
    '--telemetry=disable',
    '--log-level=ERROR',
  ]
  const env = { DO_NOT_TRACK: '1' }
  return new Child({ name: 'database', port, outputFile: join(folder, 'database.log'), command: () => ({ words, env }) })
}

const stub = fileURLToPath(new URL('../../test/chaos/stub-server.ts', import.meta.url))

/** What the tests have for a primary of a replica set: its majority can be lost, and what it alone has rolled back. */
export function stubChild(folder: string, port: number): Child {
  const words = [process.execPath, '--import', 'tsx', stub, `${port}`, join(folder, 'stub.journal')]
  return new Child({ name: 'database', port, outputFile: join(folder, 'database.log'), command: () => ({ words }) })
}

export function redisChild(folder: string, port: number): Child {
  const words = ['redis-server', '--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  return new Child({ name: 'redis', port, outputFile: join(folder, 'redis.log'), command: () => ({ words }) })
}
