/** The command line of the breaker. */
import { parseArgs } from 'node:util'

export const usage = `npm run chaos -- [options]

  --minutes N       how long faults are made (3)
  --seed S          what is done and when; a new one by default, printed
  --nodes N         servers (3 over a database, 1 over the embedded store)
  --store STORE     mongo or level; mongo where FerretDB or MONGODB_URL is there
  --plant NAME      a fault planted into the servers, to see it found; "list" names them
  --check FILE      checks the record of an earlier run again, and runs nothing
  --keep FOLDER     where the record and the output of all processes go, and stay
`

export interface Options {
  readonly minutes: number
  readonly seed: number
  readonly nodes: number | undefined
  readonly store: 'mongo' | 'level' | undefined
  readonly plant: string | undefined
  readonly check: string | undefined
  readonly keep: string | undefined
}

/** Throws a sentence for the user. */
export function optionsOf(args: readonly string[]): Options {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: { minutes: text, seed: text, nodes: text, store: text, plant: text, check: text, keep: text },
  })
  const { store, plant, check, keep } = values
  if (store !== undefined && store !== 'mongo' && store !== 'level') throw new Error(`--store is mongo or level, not ${store}`)
  const minutes = number('minutes', values.minutes) ?? 3
  const seed = number('seed', values.seed) ?? Math.floor(Math.random() * 2 ** 31)
  return { minutes, seed, nodes: number('nodes', values.nodes), store, plant, check, keep }
}

function number(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const found = Number(value)
  if (!(found > 0)) throw new Error(`--${name} is a number above 0, not ${value}`)
  return found
}
