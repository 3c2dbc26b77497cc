/** `npm run chaos`: tries to break what the protocol promises, and says what was examined and found. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, judge } from './checker/check.ts'
import type { Verdict } from './checker/promise.ts'
import { findDatabase } from './faults/servers.ts'
import { runMatrix } from './matrix.ts'
import { plantings, plantingOf, serversInto } from './mutations.ts'
import { optionsOf, usage, type Options } from './options.ts'
import { readRecord, type StoreKind } from './record.ts'
import { reportOf } from './report.ts'
import { runRounds } from './rounds.ts'

// The servers end with this process, which a signal alone would end without a word to them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.exit(await main(process.argv.slice(2)))

async function main(args: readonly string[]): Promise<number> {
  let options: Options
  try {
    options = optionsOf(args)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`)
    return 2
  }
  if (options.plant === 'list') {
    for (const { name, why } of plantings) console.log(`${name}: ${why}`)
    return 0
  }
  if (options.check !== undefined) return tell(judge([check(await readRecord(options.check))]))
  if (options.matrix !== undefined) return await runMatrix({ ...options, names: options.matrix, say: (line) => console.log(line) })
  const folder = options.keep ?? mkdtempSync(join(tmpdir(), 'tidemark-chaos-'))
  const code = await run(options, folder)
  if (options.keep === undefined && (!existsSync(folder) || readdirSync(folder).length === 0))
    rmSync(folder, { recursive: true, force: true })
  return code
}

async function run(options: Options, folder: string): Promise<number> {
  const { minutes, seed, plant, keep } = options
  const planting = plant === undefined ? undefined : plantingOf(plant)
  const stores = options.stores ?? (planting ? [planting.store] : everyStore())
  console.log(`chaos: seed ${seed}, ${minutes} min, stores: ${stores.join(', ')}${plant === undefined ? '' : `, planted: ${plant}`}`)
  const place = join(folder, 'servers')
  const servers = options.servers ?? serversInto(place, plant)
  const { verdicts, rounds, refuted, seconds } = await runRounds({
    minutes,
    seed,
    plant,
    folder,
    servers,
    stores,
    roundMinutes: options.round,
    nodes: options.nodes,
    theme: options.theme ?? planting?.theme,
    untilFound: options.untilFound,
    keepAll: keep !== undefined,
    say: (line) => console.log(line),
  })
  rmSync(place, { recursive: true, force: true })
  for (const left of refuted) console.log(`record: ${left}/record.jsonl (npm run chaos -- --check ${left}/record.jsonl)`)
  console.log(`${rounds} rounds in ${seconds} s`)
  return tell(verdicts)
}

function everyStore(): StoreKind[] {
  return ['level', 'mongo-stub', 'aws-iot', ...(findDatabase() === undefined ? [] : (['mongo'] as const))]
}

function tell(verdicts: readonly Verdict[]): number {
  for (const line of reportOf(verdicts)) console.log(line)
  return verdicts.every(({ violations }) => violations.length === 0) ? 0 : 1
}
