/** Databases for nodes that share one: a real one where there is one, and the stand-in that answers from memory. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ferretArguments, ferretPath } from '../../test/support/mongo/binary.ts'
import { childArguments, childModule } from '../load/child-modules.ts'
import type { CommandCounts, FromStandIn } from '../mongo/stand-in.ts'
import { Child } from './child.ts'
import { answers, freePort } from './ports.ts'

export interface Database {
  readonly name: string
  /** Of a database that nobody has used. */
  freshUrl(): string
  stop(): Promise<void>
}

export interface StandIn extends Database {
  /** Commands it was sent since its start. */
  commands(): Promise<CommandCounts>
}

/** The server that `MONGODB_URL` names, or FerretDB on SQLite; undefined where neither is there. */
export async function startDatabase(folder: string): Promise<Database | undefined> {
  const given = process.env['MONGODB_URL']
  if (given !== undefined && given !== '') return { name: 'MongoDB', freshUrl: freshUrls(given), stop: () => Promise.resolve() }
  const binary = ferretPath()
  if (!existsSync(binary)) return undefined
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const { child } = await Child.start({
    command: binary,
    args: ferretArguments(folder, port),
    env: { ...process.env, DO_NOT_TRACK: '1' },
    outputFile: join(folder, 'output'),
    ready: () => answers(port),
  })
  // Over SQLite it takes one write at a time: more connections only wait for each other.
  const url = `mongodb://127.0.0.1:${port}/?maxPoolSize=1`
  return { name: 'FerretDB on SQLite', freshUrl: freshUrls(url), stop: () => child.end('SIGKILL') }
}

export async function startStandIn(kind: 'null' | 'keep'): Promise<StandIn> {
  const module = childModule(new URL('../mongo/stand-in', import.meta.url))
  const child = fork(module, [kind], { execArgv: childArguments() })
  const ready = await answerOf(child, 'ready')
  return {
    name: kind === 'null' ? 'a server that keeps nothing' : 'a server in memory',
    freshUrl: freshUrls(`mongodb://127.0.0.1:${ready.port}/?heartbeatFrequencyMS=60000`),
    async commands() {
      const answer = answerOf(child, 'commands')
      child.send('commands')
      return (await answer).counts
    },
    async stop() {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

async function answerOf<Type extends FromStandIn['type']>(child: ChildProcess, type: Type): Promise<FromStandIn & { type: Type }> {
  const gone = once(child, 'exit').then(([code]) => {
    throw new Error(`the stand-in for MongoDB ended with ${String(code)}`)
  })
  gone.catch(() => {}) // Whoever waits for the message hears of it.
  for (;;) {
    const [message] = (await Promise.race([once(child, 'message'), gone])) as [FromStandIn]
    if (message.type === type) return message as FromStandIn & { type: Type }
  }
}

function freshUrls(url: string): () => string {
  const [, server = '', , query = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]*)(\/[^?]*)?(\?.*)?$/.exec(url) ?? []
  let made = 0
  return () => `${server}/tidemark-bench-${Date.now().toString(36)}-${made++}${query}`
}
