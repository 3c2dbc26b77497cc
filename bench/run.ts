/** `npm run bench`: every row of the table, measured and written to docs/BENCHMARKS.md. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findMosquitto, mosquittoVersion } from './brokers/mosquitto.ts'
import { documentWith, machineText, type MeasuredRow } from './report/document.ts'
import { commit, loadAverage, thisMachine } from './report/machine.ts'
import { faultText } from './shapes/figures.ts'
import { shapes } from './shapes/index.ts'
import { faultCount, type Context, type Row, type Shape } from './shapes/shape.ts'

const root = new URL('../', import.meta.url).pathname
const documentPath = join(root, 'docs/BENCHMARKS.md')
const allNames = shapes.flatMap(({ names }) => names)

const usage = `npm run bench -- [options]

  --only NAME,…     only these rows; the others stay in the document as they are
  --rounds N        pairs of runs per row (3)
  --seconds N       counted seconds of each run, after 1.5 s of warm-up (5)
  --processes N     of the load generator (1, or 2 where there are at least 4 cores)
  --dist            run the server from dist/, which npm run build makes
  --full            the store of many-streams in full size, 10 M messages in 1 M streams
  --folder FOLDER   where data folders go; must be a real disk (the system's folder for temporary files)
  --no-write        leave docs/BENCHMARKS.md alone

rows: ${allNames.join(', ')}
`

interface Options {
  readonly only: readonly string[]
  readonly rounds: number
  readonly seconds: number
  readonly processes: number
  readonly dist: boolean
  readonly full: boolean
  readonly folder: string
  readonly write: boolean
}

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args)
  if (typeof options === 'string') {
    console.error(options)
    return 2
  }
  const folder = mkdtempSync(join(options.folder, 'tidemark-bench-'))
  const clean = (): void => rmSync(folder, { recursive: true, force: true })
  process.once('exit', clean)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const failed: string[] = []
  for (const shape of shapes.filter(({ names }) => names.some((name) => options.only.includes(name)))) {
    try {
      failed.push(...(await runShape(shape, options, folder)))
    } catch (error) {
      failed.push(`${shape.names.join(', ')}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }
  for (const text of failed) console.error(`FAILED ${text}`)
  return failed.length > 0 ? 1 : 0
}

/** Runs a shape, prints its rows and writes them; returns what went wrong. */
async function runShape(shape: Shape, options: Options, folder: string): Promise<string[]> {
  const loadBefore = loadAverage()
  console.log(`\n${shape.names.join(', ')} (load average ${loadBefore})`)
  const rows = await shape.run(contextOf(options, folder)).finally(() => empty(folder))
  const circumstances = { date: new Date().toISOString().slice(0, 16).replace('T', ' '), commit: commit(root), loadBefore }
  for (const row of rows) print(row)
  if (options.write) write(rows.map((row) => ({ row, circumstances: { ...circumstances, command: commandFor(row.name, options) } })))
  return rows.flatMap(({ name, faults }) => (faults && faultCount(faults) > 0 ? [`${name}: ${faultText(faults)}`] : []))
}

function contextOf({ rounds, seconds, full, dist, processes }: Options, folder: string): Context {
  return { rounds, seconds, full, dist, processes, folder: (name) => join(folder, name), say: (text) => console.log(`  ${text}`) }
}

function print({ name, goal, measured, reached, ours, peer, cpu, faults, notes }: Row): void {
  const verdict = reached === undefined ? 'nothing to compare with' : reached ? 'reached' : 'NOT reached'
  const faultLine = faults ? (faultText(faults) ?? 'no faults') : 'no deliveries to judge'
  console.log(`= ${name}: ${measured} (goal ${goal}): ${verdict}`)
  console.log(`    ours ${ours}\n    compared with ${peer}\n    CPU µs per event ${cpu}; ${faultLine}`)
  for (const note of notes) console.log(`    ${note}`)
}

function write(rows: readonly MeasuredRow[]): void {
  const existing = existsSync(documentPath) ? readFileSync(documentPath, 'utf8') : ''
  const binary = findMosquitto()
  const peer = binary === undefined ? 'none' : mosquittoVersion(binary)
  writeFileSync(documentPath, documentWith(existing, rows, allNames, machineText(thisMachine(), peer)))
}

function commandFor(name: string, { rounds, seconds, dist, full }: Options): string {
  const flags = [`--only ${name}`, `--rounds ${rounds}`, `--seconds ${seconds}`, ...(dist ? ['--dist'] : []), ...(full ? ['--full'] : [])]
  return `npm run bench -- ${flags.join(' ')}`
}

/** The next shape begins with the disk as this one did. */
function empty(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

/** A text to print where they were not understood. */
function optionsOf(args: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '5' },
        processes: { type: 'string', default: availableParallelism() >= 4 ? '2' : '1' },
        dist: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        folder: { type: 'string', default: tmpdir() },
        'no-write': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    const only = values.only === undefined ? allNames : values.only.split(',')
    const unknown = only.filter((name) => !allNames.includes(name))
    const numbers = { rounds: Number(values.rounds), seconds: Number(values.seconds), processes: Number(values.processes) }
    const wrong = Object.entries(numbers).filter(([, number]) => !(Number.isInteger(number) && number > 0))
    if (unknown.length > 0) return `there is no row ${unknown.join(', ')}\n\n${usage}`
    if (wrong.length > 0) return `--${wrong.map(([name]) => name).join(', --')}: a whole number from 1 on\n\n${usage}`
    if (values.help) return usage
    const { dist, full, folder } = values
    return { ...numbers, only, dist, full, folder, write: !values['no-write'] }
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${usage}`
  }
}
