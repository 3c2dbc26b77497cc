/** What a database is: its schema and its epoch, made by whichever node comes first. */
import type { Collection, Db } from 'mongodb'
import { SyncError } from '../../protocol/errors.ts'
import { drawEpoch } from '../epoch.ts'
import { isDuplicate } from './mongo-connection.ts'

const schema = 1

interface MetaDocument {
  readonly _id: string
  readonly schema?: number
  readonly epoch?: string
  readonly at?: Date
}

export interface MongoIdentity {
  readonly schema: number
  readonly epoch: string
}

export async function readIdentity(database: Db): Promise<MongoIdentity | undefined> {
  const found = await meta(database).findOne({ _id: 'identity' })
  return found ? { schema: found.schema ?? 0, epoch: found.epoch ?? '' } : undefined
}

export interface IdentityOptions {
  readonly isEmpty: () => Promise<boolean>
  /** Rejects where there is none. */
  readonly existing: boolean
  /** Of an identity that is made now. */
  readonly epoch?: string | undefined
}

/** The identity of the database, made where there is none; refuses another schema, and buckets without an identity. */
export async function openIdentity(database: Db, { isEmpty, existing, epoch = drawEpoch() }: IdentityOptions): Promise<MongoIdentity> {
  for (;;) {
    const identity = await readIdentity(database)
    if (identity) {
      if (identity.schema === schema) return identity
      throw new SyncError(
        'store-unavailable',
        `the database ${database.databaseName} has schema ${identity.schema}; this release reads schema ${schema}`,
      )
    }
    if (existing) throw new SyncError('store-unavailable', `there is no store in the database ${database.databaseName}`)
    if (!(await isEmpty())) {
      throw new SyncError(
        'store-unavailable',
        `the database ${database.databaseName} holds entries but has lost its identity: it is damaged, or was copied in part; restore it from a backup`,
      )
    }
    try {
      await meta(database).insertOne({ _id: 'identity', schema, epoch })
    } catch (error) {
      if (!isDuplicate(error)) throw error // Another node was first.
    }
  }
}

/** A write that changes nothing: it goes through where others would. */
export async function touch(database: Db): Promise<void> {
  await meta(database).replaceOne({ _id: 'touched' }, { at: new Date() }, { upsert: true })
}

function meta(database: Db): Collection<MetaDocument> {
  return database.collection('meta')
}
