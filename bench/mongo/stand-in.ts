/**
 * `node stand-in.ts null|keep`: a server that speaks MongoDB's protocol from memory. `null` says yes to every bucket and keeps none, so
 * that what a node spends is its own and the driver's; `keep` keeps them. Ends when its parent lets go of it.
 */
import { MongoStub } from '../../test/support/mongo/stub.ts'
import { StandInBuckets } from './stand-in-buckets.ts'

export type FromStandIn = { readonly type: 'ready'; readonly port: number } | { readonly type: 'commands'; readonly counts: CommandCounts }
/** By `name collection`. */
export type CommandCounts = Readonly<Record<string, number>>

const counts = new Map<string, number>()
const buckets = new StandInBuckets(process.argv[2] === 'keep')
const stub = await MongoStub.start()
stub.answer = ({ name, collection, body }) => {
  const key = `${name} ${collection}`
  counts.set(key, (counts.get(key) ?? 0) + 1)
  return collection === 'buckets' ? buckets.run(name, body) : undefined
}
process.on('message', () => tell({ type: 'commands', counts: Object.fromEntries(counts) }))
process.on('disconnect', () => process.exit())
tell({ type: 'ready', port: Number(new URL(stub.url).port) })

function tell(message: FromStandIn): void {
  process.send?.(message)
}
