/** Another process on a folder of the embedded store: `node level-child.ts {folder} open|write`. */
import { writeSync } from 'node:fs'
import { LevelStore } from '../../log/stores/level.ts'
import { SyncError } from '../../protocol/errors.ts'
import { silentLogger } from '../../seams/logger.ts'
import { plainBucket } from './buckets.ts'

const [folder = '', task] = process.argv.slice(2)
const store = new LevelStore({ folder, logger: silentLogger, writeBufferBytes: 64 * 1024 })
try {
  await store.open()
  writeSync(1, 'opened\n')
  for (let seq = 1; seq <= (task === 'write' ? Number.POSITIVE_INFINITY : 0); seq++) {
    const [outcome] = await store.commit([plainBucket('users/alice', seq, 1, Buffer.alloc(1_000, seq))])
    if (outcome === 'stored') writeSync(1, `${seq}\n`)
  }
} catch (error) {
  writeSync(1, `${error instanceof SyncError ? error.code : ''} ${(error as Error).message}\n`)
  process.exitCode = 3
}
await store.close()
