/** A Redis of our own, that keeps nothing. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Child } from '../../brokers/child.ts'
import { freePort } from '../../brokers/ports.ts'

export interface OwnRedis {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

export async function startRedis(folder: string): Promise<OwnRedis> {
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const { child } = await Child.start({
    command: 'redis-server',
    args: ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder],
    outputFile: join(folder, 'output'),
    ready: (output) => output.includes('Ready to accept connections'),
  })
  return { url: `redis://127.0.0.1:${port}`, pid: child.pid, stop: () => child.end('SIGTERM') }
}
