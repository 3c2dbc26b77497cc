/** Catch-up and history from MongoDB, next to the embedded store. */
import { startDatabase, startStandIn, type Database } from '../brokers/databases.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { faultsOf, ownRound, rate, readings, type Reading } from './absence.ts'
import { cpuText, milliseconds, spreadOf, times } from './figures.ts'
import type { Context, Row, Shape } from './shape.ts'

/** FerretDB reads its whole collection for every page. */
const messages = { mongo: 10_000, 'stand-in': 100_000 } as const

type Prefix = keyof typeof messages

export const nodeAbsence: Shape = {
  names: ['mongo-catch-up', 'mongo-history', 'stand-in-catch-up', 'stand-in-history'],
  async run(context) {
    const real = await startDatabase(context.folder('absence-database'))
    const rows = real ? await compare(context, 'mongo', real) : []
    return [...rows, ...(await compare(context, 'stand-in', await startStandIn('keep')))]
  },
}

type Readings = Readonly<Record<'plain' | 'sync' | 'history', Reading>>

interface Round {
  readonly embedded: Readings
  readonly node: Readings
}

async function compare(context: Context, prefix: Prefix, database: Database): Promise<Row[]> {
  const embedded = await startTidemark({ folder: context.folder(`${prefix}-absence-embedded`), dist: context.dist })
  const shared = { folder: context.folder(`${prefix}-absence-node`), dist: context.dist, store: database.freshUrl() }
  const node = await startTidemark(shared)
  const rounds: Round[] = []
  try {
    for (let number = 0; number < context.rounds; number++) {
      const first = await ownRound(context, embedded, number, messages[prefix])
      rounds.push({ embedded: first, node: await ownRound(context, node, number, messages[prefix]) })
    }
  } finally {
    await Promise.all([embedded.stop(), node.stop()])
    await database.stop()
  }
  return [row(prefix, database, 'catch-up', rounds), row(prefix, database, 'history', rounds)]
}

function row(prefix: Prefix, { name }: Database, what: 'catch-up' | 'history', rounds: readonly Round[]): Row {
  const door = what === 'history' ? 'history' : 'plain'
  const own = rounds.map(({ node }) => node[door])
  const embedded = rounds.map((round) => round.embedded[door])
  const ratio = spreadOf(own.map((reading, at) => rate(reading) / rate(embedded[at] as Reading)))
  const first = spreadOf(own.map(({ result }) => result.firstMs))
  const count = messages[prefix].toLocaleString('en')
  return {
    name: `${prefix}-${what}`,
    title:
      what === 'history'
        ? `history by HTTP from ${name}, ${count} entries`
        : `catch-up from ${name}, ${count} × 200 B, clean=0, after SIGKILL and restart of the node`,
    goal: '–',
    measured: `${times(ratio)} the embedded store; first after ${milliseconds(first.median)}`,
    reached: undefined,
    ours: readings(own),
    peer: `embedded store: ${readings(embedded)}`,
    cpu: cpuText(own, embedded),
    faults: faultsOf(own),
    notes:
      what === 'history'
        ? []
        : [
            `by the sync door: ${readings(rounds.map(({ node }) => node.sync))}, embedded ${readings(rounds.map((round) => round.embedded.sync))}`,
          ],
  }
}
