/**
 * A MongoDB for tests: the server that `MONGODB_URL` names, or a FerretDB of our own on a free port, one for each test file.
 * Every call of `freshUrl` names another database.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { connect as connectTcp, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { MongoClient } from 'mongodb'
import { skipLoudly } from '../skipping.ts'
import { removeFolder, tempFolder } from '../temp.ts'
import { within } from '../waiting.ts'
import { ferretArguments, ferretPath } from './binary.ts'

export interface TestMongo {
  /** The address of a database that nobody has used. */
  freshUrl(): string
  stop(): Promise<void>
}

export interface MongoOptions {
  /** Of FerretDB. */
  readonly flags?: readonly string[]
  /** Only a FerretDB of our own will do. */
  readonly alone?: boolean
}

/** Skips the tests, loudly, where there is no server and none of ours was built; fails where CI is set. */
export async function startMongo(context: Mocha.Context, options: MongoOptions = {}): Promise<TestMongo> {
  const { flags = [], alone = flags.length > 0 } = options
  const given = process.env['MONGODB_URL']
  if (given !== undefined && !alone) return mongoAt(given)
  const binary = ferretPath()
  if (!existsSync(binary)) skipLoudly(context, 'FerretDB is missing here (run test/servers/ferretdb/build.sh, or set MONGODB_URL)')
  const folder = await tempFolder()
  const port = await freePort()
  const env = { ...process.env, DO_NOT_TRACK: '1' }
  const server = spawn(binary, [...ferretArguments(folder, port), ...flags], { env, stdio: 'ignore' })
  await within(listening(port, server), 'FerretDB to listen')
  const mongo = mongoAt(`mongodb://127.0.0.1:${port}/?maxPoolSize=1`)
  return {
    ...mongo,
    async stop() {
      const gone = new Promise<void>((resolve) => void server.once('exit', () => resolve()))
      if (server.exitCode === null && server.signalCode === null) {
        server.kill('SIGKILL')
        await within(gone, 'FerretDB to end')
      }
      await removeFolder(folder)
    },
  }
}

function mongoAt(url: string): TestMongo {
  const made: string[] = []
  return {
    freshUrl() {
      const name = `tidemark-test-${randomUUID()}`
      made.push(name)
      return databaseUrl(url, name)
    },
    async stop() {
      if (made.length === 0) return
      const client = await MongoClient.connect(url)
      for (const name of made) await client.db(name).dropDatabase()
      await client.close()
    },
  }
}

function databaseUrl(url: string, name: string): string {
  const [, server = '', , query = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]*)(\/[^?]*)?(\?.*)?$/.exec(url) ?? []
  return `${server}/${name}${query}`
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** Tries until something accepts at the port: the server tells nobody when it does. */
function listening(port: number, server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('FerretDB ended before it listened'))
    server.once('exit', ended)
    const attempt = (): void => {
      const socket = connectTcp({ host: '127.0.0.1', port })
      socket.once('connect', () => {
        socket.destroy()
        server.off('exit', ended)
        resolve()
      })
      socket.once('error', () => setTimeout(attempt, 5).unref())
    }
    attempt()
  })
}
