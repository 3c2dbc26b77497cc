/**
 * `node driver-loop.ts URL BUCKETS BYTES COMMANDS-A-SECOND SECONDS`: what the driver alone spends on the inserts of a node, at the node's
 * pace and as warm as a node is. Tells its parent the microseconds of processor time for each command.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, insertCommand } from '../../log/stores/mongo-connection.ts'
import { numberedKey } from '../../log/stores/mongo-keys.ts'
import { defaultLoad } from '../load/options.ts'

export interface FromDriverLoop {
  readonly cpuMicrosPerCommand: number
  readonly commandsPerSecond: number
}

const [url = '', ...numbers] = process.argv.slice(2)
const [buckets = 0, bytes = 0, commandsPerSecond = 0, seconds = 0] = numbers.map(Number)
const { client, database } = await connect(url)
// Each bucket is a piece of memory of its own, as it is in a node.
const values = Array.from({ length: 256 }, () => randomBytes(bytes))
let made = 0

await insertFor(defaultLoad.warmUpMs)
const before = process.cpuUsage()
const commands = await insertFor(seconds * 1000)
const { user, system } = process.cpuUsage(before)
await client.close()
process.send?.({ cpuMicrosPerCommand: (user + system) / commands, commandsPerSecond: commands / seconds } satisfies FromDriverLoop)
process.disconnect()

async function insertFor(ms: number): Promise<number> {
  const began = performance.now()
  for (let sent = 0; ; sent++) {
    const aheadMs = began + (sent * 1000) / commandsPerSecond - performance.now()
    if (aheadMs >= 1) await sleep(aheadMs)
    if (performance.now() - began >= ms) return sent
    const documents = Array.from({ length: buckets }, (_, at) => {
      const s = `users/bench-${at}`
      return { _id: numberedKey(s, ++made), s, w: 'AAAAAAAAAAA', b: values[made % values.length] }
    })
    await insertCommand(database, 'buckets', documents)
  }
}
