/** Redis, for hints between nodes. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Child } from './child.ts'
import { answers, freePort } from './ports.ts'
import { findProgram } from './programs.ts'

export interface RedisProcess {
  readonly url: string
  stop(): Promise<void>
}

/** Undefined where this machine has no redis-server. */
export async function startRedis(folder: string): Promise<RedisProcess | undefined> {
  const command = findProgram('redis-server')
  if (command === undefined) return undefined
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const { child } = await Child.start({ command, args, outputFile: join(folder, 'output'), ready: () => answers(port) })
  return { url: `redis://127.0.0.1:${port}`, stop: () => child.end('SIGTERM') }
}
