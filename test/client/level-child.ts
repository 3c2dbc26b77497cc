/** Another process on the folder of an outbox: `node level-child.ts {folder}`; adds until it is killed, and prints each id that is kept. */
import { writeSync } from 'node:fs'
import type { ClientError } from '../../client/errors.ts'
import { levelOutbox } from '../../client/node.ts'
import { unsent } from './outbox-store-contract.ts'

const [folder = ''] = process.argv.slice(2)
const store = levelOutbox(folder)
try {
  for (let n = 0; ; n += 3) {
    const ids = [n, n + 1, n + 2].map((number) => `id-${number}`)
    const keys = await store.add(ids.map((id) => unsent(id)))
    // What is settled goes as well, so that the kill meets every kind of write.
    await store.remove([keys[1] as number])
    writeSync(1, `${ids[0]}\n${ids[2]}\n`)
  }
} catch (error) {
  writeSync(1, `${(error as ClientError).code} ${(error as Error).message}\n`)
  process.exitCode = 3
}
