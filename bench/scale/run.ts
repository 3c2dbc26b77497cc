/** `npm run scale`: the simulation, and docs/SCALING.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { costs, type CostName } from './costs.ts'
import { measuredFigures } from './measure/index.ts'
import { allTables } from './tables.ts'

const documentPath = new URL('../../docs/SCALING.md', import.meta.url)
const begin = '<!-- simulated: begin -->'
const end = '<!-- simulated: end -->'

const usage = `npm run scale -- [options]

  --seed N      of everything that is drawn (1)
  --no-write    leave docs/SCALING.md alone, print the tables
  --measure     measure the costs that the model is fed with, on this machine, and print them beside those in costs.ts;
                needs redis-server, takes about two minutes
`

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const options = {
    seed: { type: 'string', default: '1' },
    measure: { type: 'boolean' },
    'no-write': { type: 'boolean' },
    help: { type: 'boolean' },
  } as const
  const { values } = parseArgs({ args, options })
  const seed = Number(values.seed)
  if (values.help || !Number.isSafeInteger(seed)) {
    console.log(usage)
    return values.help ? 0 : 2
  }
  if (values.measure) return await measure()
  const tables = allTables({ seed, say: (text) => console.error(text) })
  if (values['no-write']) console.log(tables)
  else write(tables)
  return 0
}

async function measure(): Promise<number> {
  // What was started ends with this process.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  for await (const { name, value, unit, what } of measuredFigures((text) => console.error(text))) {
    const inUse = costs[name as CostName] as { readonly value: number } | undefined
    console.log(
      `${name.padEnd(24)} ${value.toFixed(2).padStart(10)} ${unit.padEnd(4)} in use ${String(inUse?.value ?? '–').padStart(8)}   ${what}`,
    )
  }
  return 0
}

function write(tables: string): void {
  const text = readFileSync(documentPath, 'utf8')
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/SCALING.md has no ${begin} … ${end}`)
  const comment = '<!-- Written by `npm run scale`. -->'
  writeFileSync(documentPath, `${text.slice(0, from)}${begin}\n${comment}\n\n${tables}\n\n${text.slice(to)}`)
}
