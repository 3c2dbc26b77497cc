/** The command line of the breaker. */
import { parseArgs } from 'node:util'
import { themeOf, type Theme } from './faults/themes.ts'
import type { StoreKind } from './record.ts'

export const usage = `npm run chaos -- [options]

  --minutes N       how long it all takes (3); up to four times as long where it has seen too little by then
  --round N         minutes of faults in a round (0.3)
  --seed S          what is done and when; a new one by default, printed
  --nodes N         servers (3 over a database, 2 where something is planted, 1 over the embedded store)
  --store STORES    of level, mongo-stub, mongo and aws-iot (the embedded store, AWS IoT Core's stand-in
                    before the server), with commas; all that this machine has
  --theme NAME      rounds of one kind only: everything, losses, answers, majorities, hints or bridge
  --plant NAME      a fault planted into the servers, to see it found; "list" names them
  --until-found     ends when something is refuted
  --matrix NAMES    every planted fault, or those named, with commas, with the seeds 1 to 10: which are found, and how soon
  --seeds N         of the matrix (10)
  --jobs N          of the matrix: runs at the same time (1)
  --servers FOLDER  servers that were compiled before
  --check FILE      checks the record of an earlier round again, and runs nothing
  --keep FOLDER     where the records and the output of all processes go, and stay
`

export interface Options {
  readonly minutes: number
  readonly round: number
  readonly seed: number
  readonly nodes: number | undefined
  readonly stores: readonly StoreKind[] | undefined
  readonly theme: Theme | undefined
  readonly plant: string | undefined
  readonly untilFound: boolean
  /** Names, or `all`. */
  readonly matrix: string | undefined
  readonly seeds: number
  readonly jobs: number
  readonly servers: string | undefined
  readonly check: string | undefined
  readonly keep: string | undefined
}

const kinds: readonly string[] = ['level', 'mongo', 'mongo-stub', 'aws-iot'] satisfies readonly StoreKind[]

/** Throws a sentence for the user. */
export function optionsOf(args: readonly string[]): Options {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: text,
      round: text,
      seed: text,
      nodes: text,
      store: text,
      theme: text,
      plant: text,
      matrix: text,
      seeds: text,
      jobs: text,
      servers: text,
      check: text,
      keep: text,
      'until-found': { type: 'boolean' },
    },
  })
  const stores = values.store?.split(',')
  const unknown = stores?.find((store) => !kinds.includes(store))
  if (unknown !== undefined) throw new Error(`--store is of ${kinds.join(', ')}, not ${unknown}`)
  const { plant, matrix, servers, check, keep } = values
  return {
    minutes: number('minutes', values.minutes) ?? 3,
    round: number('round', values.round) ?? 0.3,
    seed: number('seed', values.seed) ?? Math.floor(Math.random() * 2 ** 31),
    nodes: number('nodes', values.nodes),
    stores: stores as readonly StoreKind[] | undefined,
    theme: values.theme === undefined ? undefined : themeOf(values.theme),
    untilFound: values['until-found'] === true,
    seeds: number('seeds', values.seeds) ?? 10,
    jobs: number('jobs', values.jobs) ?? 1,
    plant,
    matrix,
    servers,
    check,
    keep,
  }
}

function number(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const found = Number(value)
  if (!(found > 0)) throw new Error(`--${name} is a number above 0, not ${value}`)
  return found
}
