/** A run: rounds of a few seconds to minutes, one after the other, each with servers of its own and judged when it is over. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { check, isEnough, judge } from './checker/check.ts'
import type { Verdict } from './checker/promise.ts'
import { themes, type Theme } from './faults/themes.ts'
import { isEmbedded } from './faults/world.ts'
import { readRecord, type StoreKind } from './record.ts'
import { NotBegun, runRound } from './session.ts'

export interface RunOptions {
  /** Everything: beginning, faults, settling and judging. The first round is always made, and more where too little was seen. */
  readonly minutes: number
  /** Of faults in a round. */
  readonly roundMinutes: number
  readonly seed: number
  readonly nodes: number | undefined
  readonly stores: readonly StoreKind[]
  readonly theme: Theme | undefined
  readonly plant: string | undefined
  readonly folder: string
  readonly servers: string
  /** Ends with the first round that refutes something, and does not mind how little was seen. */
  readonly untilFound: boolean
  /** Records and outputs of rounds in which nothing was found stay too. */
  readonly keepAll: boolean
  readonly say: (line: string) => void
}

export interface RunResult {
  readonly verdicts: readonly Verdict[]
  readonly rounds: number
  /** Folders of the rounds that refuted something. */
  readonly refuted: readonly string[]
  readonly seconds: number
}

/** A run that has seen too little when its time is over goes on, on a machine that is busy, for as many times its minutes at most. */
const slownessMax = 4
/** Seeds of the rounds of a run; the first round has the seed of the run. */
const seedStep = 1_000_003

export async function runRounds(options: RunOptions): Promise<RunResult> {
  const { minutes, seed, plant, folder, say } = options
  const startedMs = performance.now()
  const kinds = kindsOf(options)
  mkdirSync(folder, { recursive: true })
  const results: Verdict[][] = []
  const refuted: string[] = []
  const unseen = new Set(options.stores)
  let longestMs = 0
  const goesOn = (): boolean => {
    const sawAll = options.untilFound || (unseen.size === 0 && isEnough(results))
    return performance.now() + longestMs <= startedMs + minutes * 60_000 * (sawAll ? 1 : slownessMax)
  }
  for (let round = 0; round === 0 || goesOn(); round++) {
    const { store, theme } = kinds[(seed + round) % kinds.length] as Kind
    const beganMs = performance.now()
    const place = mkdtempSync(join(folder, `round-${round}-`))
    const file = join(place, 'record.jsonl')
    // Two are enough for what is planted, and begin sooner.
    const nodes = options.nodes ?? (isEmbedded(store) ? 1 : plant === undefined ? 3 : 2)
    const part = {
      minutes: options.roundMinutes,
      seed: seed + round * seedStep,
      nodes,
      store,
      theme,
      plant,
      untilFound: options.untilFound,
    }
    say(`round ${round}: seed ${part.seed}, ${nodes} ${nodes === 1 ? 'node' : 'nodes'}, store ${store}, faults: ${theme.name}`)
    let told: string
    try {
      told = await runRound({ ...part, folder: place, servers: options.servers, file })
    } catch (error) {
      if (!(error instanceof NotBegun)) throw error
      say(`         did not begin: ${error.message}`)
      longestMs = Math.max(longestMs, performance.now() - beganMs)
      continue
    }
    const verdicts = check(await readRecord(file))
    const wrong = verdicts.reduce((sum, { violations }) => sum + violations.length, 0)
    const examined = verdicts.reduce((sum, verdict) => sum + verdict.examined, 0)
    longestMs = Math.max(longestMs, performance.now() - beganMs)
    say(`         ${told}; ${examined} facts, ${wrong} violations, ${Math.round((performance.now() - beganMs) / 1_000)} s`)
    unseen.delete(store)
    results.push(verdicts.map((verdict) => ({ ...verdict, violations: verdict.violations.map((text) => `round ${round}: ${text}`) })))
    if (wrong > 0) refuted.push(place)
    else if (!options.keepAll) rmSync(place, { recursive: true, force: true })
    if (wrong > 0 && options.untilFound) break
  }
  const enough = options.untilFound ? results.map((verdicts) => verdicts.map((verdict) => ({ ...verdict, wanted: 0 }))) : results
  const seconds = Math.round((performance.now() - startedMs) / 1_000)
  if (results.length === 0) throw new NotBegun('no round began')
  return { verdicts: judge(enough), rounds: results.length, refuted, seconds }
}

interface Kind {
  readonly store: StoreKind
  readonly theme: Theme
}

/** What rounds there are, one store after the other: every theme on those that it is for; the slow database only where nothing is in particular. */
function kindsOf({ stores, theme: wanted }: RunOptions): Kind[] {
  const lists = stores.map((store) =>
    themes
      .filter((theme) => theme.stores.includes(store) && (wanted === undefined || theme === wanted))
      .filter(({ name }) => wanted !== undefined || store !== 'mongo' || stores.length === 1 || name === 'everything')
      .map((theme) => ({ store, theme })),
  )
  const longest = Math.max(...lists.map(({ length }) => length))
  const kinds = Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
  if (kinds.length === 0) throw new Error(`no faults of ${wanted?.name} can be made on ${stores.join(', ')}`)
  return kinds
}
