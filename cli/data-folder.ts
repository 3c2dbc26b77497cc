/** The folder where the store and the development key lie. */
import { constants } from 'node:fs'
import { access, mkdir } from 'node:fs/promises'
import { SyncError } from '../protocol/errors.ts'
import type { Config } from './config.ts'

/** Makes it where there is none. Throws `store-unavailable` where that cannot be, or where what has to lie there cannot be written. */
export async function makeDataFolder({ data, store, issuers }: Pick<Config, 'data' | 'store' | 'issuers'>): Promise<void> {
  try {
    await mkdir(data, { recursive: true })
    if (store === 'level:' || issuers.length === 0) await access(data, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new SyncError(
      'store-unavailable',
      `the data folder ${data} cannot be used: ${reasonOf(error as NodeJS.ErrnoException)}; make it writable for this user, or name another folder with --data`,
      {},
      error,
    )
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  if (code === 'EROFS') return 'the file system is read-only'
  if (code === 'EEXIST' || code === 'ENOTDIR') return 'there is a file of that name'
  return message
}
