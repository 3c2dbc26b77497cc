/** `npm run chaos`: tries to break what the protocol promises, and says what was examined and found. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { check } from './checker/check.ts'
import { optionsOf, usage, type Options } from './options.ts'
import { readRecord } from './record.ts'
import { reportOf } from './report.ts'
import { runChaos } from './session.ts'
import { plantings, plantInto } from './mutations.ts'

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
  if (options.check !== undefined) return judge(await readRecord(options.check))
  const folder = options.keep ?? mkdtempSync(join(tmpdir(), 'tidemark-chaos-'))
  mkdirSync(folder, { recursive: true })
  try {
    const root = fileURLToPath(new URL('../', import.meta.url))
    const sources = options.plant === undefined ? root : plantInto(join(folder, 'sources'), root, options.plant)
    const file = join(folder, 'record.jsonl')
    const wanted = plantings.find(({ name }) => name === options.plant)?.store
    const store = options.store ?? (wanted === 'any' ? undefined : wanted)
    const told = await runChaos({ ...options, store, folder, sources, file })
    for (const line of told) console.log(line)
    const code = judge(await readRecord(file))
    if (code !== 0 || options.keep !== undefined) console.log(`record: ${file} (npm run chaos -- --check ${file})`)
    if (code === 0 && options.keep === undefined) rmSync(folder, { recursive: true, force: true })
    return code
  } catch (error) {
    console.error(error)
    console.error(`what was left: ${folder}`)
    return 1
  }
}

function judge(record: Parameters<typeof check>[0]): number {
  const verdict = check(record)
  for (const line of reportOf(verdict)) console.log(line)
  return verdict.every(({ violations }) => violations.length === 0) ? 0 : 1
}
