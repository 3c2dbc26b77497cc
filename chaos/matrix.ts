/** Every planted fault with many seeds: which are found within the minutes of a run, and how soon. Each run is a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { plantings, plantingOf, serversInto } from './mutations.ts'

export interface MatrixOptions {
  /** With commas, or `all`. */
  readonly names: string
  readonly minutes: number
  readonly round: number
  readonly seeds: number
  readonly jobs: number
  readonly say: (line: string) => void
}

interface Found {
  readonly name: string
  readonly seed: number
  /** What refuted it, as the report says it; empty where nothing did. */
  readonly broken: readonly string[]
  readonly seconds: number
}

const program = fileURLToPath(new URL('run.ts', import.meta.url))
/** Of ten. */
const wanted = 0.9

/** Returns 0 where each fault was found in nine of ten runs. */
export async function runMatrix(options: MatrixOptions): Promise<number> {
  const { names, seeds, jobs, say } = options
  const chosen = names === 'all' ? plantings : names.split(',').map(plantingOf)
  const runs = chosen.flatMap(({ name }) => Array.from({ length: seeds }, (_, index) => ({ name, seed: index + 1 })))
  const results: Found[] = []
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-matrix-'))
  const compiled = new Map<string, string>()
  const serversOf = (name: string): string => {
    const known = compiled.get(name) ?? serversInto(join(folder, name), name)
    compiled.set(name, known)
    return known
  }
  const work = async (): Promise<void> => {
    for (let next = runs.shift(); next; next = runs.shift()) {
      const found = await runOne(next.name, next.seed, { ...options, servers: serversOf(next.name) })
      results.push(found)
      say(
        `${found.name} seed ${found.seed}: ${found.broken.length > 0 ? `found in ${found.seconds} s: ${found.broken.join('; ')}` : 'NOT FOUND'}`,
      )
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  rmSync(folder, { recursive: true })
  say('| planted | store | found | median | longest |')
  say('|---|---|---|---|---|')
  let isEnough = true
  for (const { name, store } of chosen) {
    const each = results.filter((result) => result.name === name)
    const times = each.filter(({ broken }) => broken.length > 0).map(({ seconds }) => seconds)
    times.sort((a, b) => a - b)
    if (times.length < wanted * each.length) isEnough = false
    say(`| ${name} | ${store} | ${times.length} of ${each.length} | ${times[times.length >> 1] ?? '–'} s | ${times.at(-1) ?? '–'} s |`)
  }
  return isEnough ? 0 : 1
}

async function runOne(name: string, seed: number, { minutes, round, servers }: MatrixOptions & { servers: string }): Promise<Found> {
  const words = ['--import', 'tsx', program, '--plant', name, '--seed', `${seed}`, '--minutes', `${minutes}`, '--round', `${round}`]
  const startedMs = performance.now()
  const child = spawn(process.execPath, [...words, '--servers', servers, '--until-found'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const end = (): void => void child.kill('SIGTERM')
  process.once('exit', end)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  await once(child, 'close')
  process.off('exit', end)
  const broken = [...output.matchAll(/^BROKEN +(.*?): /gm)].map(([, promise = '']) => promise)
  return { name, seed, broken, seconds: Math.round((performance.now() - startedMs) / 1_000) }
}
