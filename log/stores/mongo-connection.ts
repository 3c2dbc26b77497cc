/**
 * The connection to MongoDB: how it is opened, what every operation on it means, and what its errors say.
 *
 * The driver is loaded when the first store of this kind is opened. The URL holds a password, and the driver's errors may hold
 * parts of the URL or of what was written; so nothing of either is kept or logged but the error's name, code and sentence.
 */
import type { Db, Document, MongoClient, MongoClientOptions } from 'mongodb'
import { SyncError } from '../../protocol/errors.ts'
import {
  mongoConnectMsMax,
  mongoConnectionsMax,
  mongoMajorityMsMax,
  mongoOperationMsMax,
  mongoTriesMax,
  mongoTryPauseMsMax,
} from '../../seams/limits.ts'

/** Acknowledged is what a majority has in its journal; the database gives up waiting for that before the driver gives up waiting for the database. */
export const durable = { w: 'majority', journal: true, wtimeoutMS: mongoMajorityMsMax } as const
export const durableWrite = { w: 'majority', j: true, wtimeout: durable.wtimeoutMS } as const

const databaseDefault = 'tidemark'
const duplicateKeyCode = 11_000

/** Only where the URL says nothing else. */
const defaults: MongoClientOptions = {
  maxPoolSize: mongoConnectionsMax,
  connectTimeoutMS: mongoConnectMsMax,
  serverSelectionTimeoutMS: mongoConnectMsMax,
}

export interface MongoConnection {
  readonly client: MongoClient
  readonly database: Db
}

export async function connect(url: string): Promise<MongoConnection> {
  const { MongoClient, ReadConcern } = await import('mongodb')
  let client: MongoClient | undefined
  try {
    client = new MongoClient(url, {
      ...defaultsFor(url),
      appName: 'tidemark',
      // Every unknown outcome is resolved here, by sending the identical bucket again.
      retryWrites: false,
      promoteBuffers: true,
      socketTimeoutMS: mongoOperationMsMax,
    })
    await client.connect()
    // Said here and not of the client, where the URL would win.
    const concerns = { writeConcern: durable, readConcern: new ReadConcern('majority'), readPreference: 'primary' } as const
    return { client, database: client.db(databaseOf(url), concerns) }
  } catch (error) {
    await client?.close()
    throw new SyncError('store-unavailable', `the database cannot be used: ${sentenceOf(error)}`)
  }
}

/** What the server says of itself. Members are absent where a server does not know them. */
export async function hello(database: Db): Promise<{ setName?: string; msg?: string; localTime?: Date }> {
  return await database.command({ hello: 1 })
}

export function isDuplicate(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === duplicateKeyCode
}

export function isDuplicateCode(code: unknown): boolean {
  return code === duplicateKeyCode
}

/** An error of the database as it may be logged and shown. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return 'the driver failed'
  const { code } = error as { code?: unknown }
  const text = error.message.replaceAll(/mongodb(\+srv)?:\/\/\S*/g, 'mongodb://…')
  return `${error.name}${typeof code === 'number' ? ` ${code}` : ''}: ${text}`
}

export function unavailable(error: unknown): SyncError {
  return error instanceof SyncError
    ? error
    : new SyncError('store-unavailable', `the database did not answer as it should: ${sentenceOf(error)}`)
}

/** The insert command itself: the driver's own methods mix what the server refused with what was never answered. */
export async function insertCommand(database: Db, collection: string, documents: readonly Document[]): Promise<Document> {
  return await database.command({ insert: collection, documents, ordered: false, writeConcern: durableWrite })
}

/** Lets others finish what came in the way, longer after every try; what never succeeds is given up. Returns the number of the next try. */
export async function pauseAfter(tries: number): Promise<number> {
  if (tries >= mongoTriesMax)
    throw new SyncError('store-unavailable', 'others came in the way of a change again and again; it may be tried again')
  await new Promise<void>((resolve) => void setTimeout(resolve, Math.random() * Math.min(mongoTryPauseMsMax, 2 ** tries)))
  return tries + 1
}

function defaultsFor(url: string): MongoClientOptions {
  const named = new Set((url.split('?')[1] ?? '').split('&').map((pair) => pair.split('=')[0]?.toLowerCase()))
  return Object.fromEntries(Object.entries(defaults).filter(([name]) => !named.has(name.toLowerCase())))
}

function databaseOf(url: string): string {
  const path = /^mongodb(?:\+srv)?:\/\/[^/?]*\/([^?]*)/.exec(url)?.[1] ?? ''
  return decodeURIComponent(path) || databaseDefault
}
