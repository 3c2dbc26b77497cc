/**
 * `node driver-loop.ts URL BUCKETS BYTES COMMANDS`: what the driver alone spends. Inserts as a node does, one command after the other,
 * and tells its parent the microseconds of processor time for each.
 */
import { randomBytes } from 'node:crypto'
import { connect, insertCommand } from '../../log/stores/mongo-connection.ts'
import { numberedKey } from '../../log/stores/mongo-keys.ts'

export interface FromDriverLoop {
  readonly cpuMicrosPerCommand: number
}

const warmUpCommands = 2_000

const [url = '', ...numbers] = process.argv.slice(2)
const [buckets = 0, bytes = 0, commands = 0] = numbers.map(Number)
const { client, database } = await connect(url)
// Each bucket of a commit is a piece of memory of its own, as it is in a node.
const values = Array.from({ length: 64 }, () => randomBytes(bytes))
let made = 0

await insertSo(warmUpCommands)
const before = process.cpuUsage()
await insertSo(commands)
const { user, system } = process.cpuUsage(before)
await client.close()
process.send?.({ cpuMicrosPerCommand: (user + system) / commands } satisfies FromDriverLoop)
process.disconnect()

async function insertSo(many: number): Promise<void> {
  for (let done = 0; done < many; done++) {
    const documents = Array.from({ length: buckets }, (_, at) => {
      const s = `users/bench-${at}`
      return { _id: numberedKey(s, ++made), s, w: 'AAAAAAAAAAA', b: values[made % values.length] }
    })
    await insertCommand(database, 'buckets', documents)
  }
}
