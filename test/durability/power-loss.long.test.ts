/** A loss of power at any moment: what was acknowledged is on the disk [P-8.1]. See recorder/recorder.c and recorder/cut.ts. */
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { amount } from '../support/amount.ts'
import { compiledRecorder, newWatch } from './recorder/compile.ts'
import { cutInto, directoryModels, tailModes, type Cut, type DirectoryModel } from './recorder/cut.ts'
import { phases, Recording, type Phase } from './recorder/recording.ts'
import { LineServer, startProgram, succeeded } from './support/processes.ts'
import { seededRandom, testSeed } from './support/random.ts'
import type { Verdict } from './verify.ts'

const combinations = directoryModels.flatMap((model) => tailModes.map((tail) => ({ model, tail })))
const cutsPerPhase = amount(80, 30)
const entriesWritten = 2_400
/** Below the watched folder: the program makes it itself, and its names must survive, too. */
const dataFolder = ['made', 'data']

interface Run {
  readonly seed: number
  /** The mutation, or `none`. */
  readonly unsafe: string
  readonly cutsPerPhase: number
  /** Only this one. */
  readonly phase?: Phase
  /** Only this one. */
  readonly model?: DirectoryModel
}

interface Finding extends Cut, Verdict {
  readonly phases: ReadonlySet<Phase>
  readonly operationsLost: number
}

describe('a loss of power', function () {
  this.timeout(240_000)
  let library: string

  before(async function () {
    library = await compiledRecorder(this)
  })

  it('at any moment loses nothing that was acknowledged [P-8.1], [P-8.2], [P-8.6], [P-9.1], [P-9.5]', async () => {
    const findings = await examine({ seed: testSeed('power loss'), unsafe: 'none', cutsPerPhase })
    report(findings)
    for (const phase of phases) {
      expect(findings.filter((finding) => finding.phases.has(phase)).length, `cuts within: ${phase}`).to.be.at.least(
        Math.floor(cutsPerPhase / 4),
      )
    }
    expect(findings.length).to.be.at.least(cutsPerPhase * 6)
    expect(findings.reduce((sum, { entries }) => sum + entries, 0)).to.be.at.least(cutsPerPhase * 1_250)
    expect(findings.filter(({ operationsLost }) => operationsLost > 0).length, 'cuts that lost names').to.be.at.least(cutsPerPhase)
    const bad = findings.filter(({ wrong, refused }) => wrong.length > 0 || refused !== undefined)
    expect(bad.length, bad.map(describeFinding).slice(0, 20).join('\n')).to.equal(0)
  })

  it('is noticed by this test where writes are not synced', async () => {
    const findings = await examine({ seed: testSeed('without sync'), unsafe: 'sync', cutsPerPhase: 12 })
    report(findings)
    expect(findings.filter(({ wrong }) => wrong.length > 0).length).to.be.greaterThan(findings.length / 4)
  })

  it('is noticed by this test where the folder is not synced', async () => {
    const aimed = { cutsPerPhase: 64, phase: 'log roll', model: 'none' } as const
    const findings = await examine({ seed: testSeed('without the folder’s sync'), unsafe: 'folderSync', ...aimed })
    report(findings)
    expect(findings.filter(({ wrong, refused }) => wrong.length > 0 && refused === undefined).length).to.be.at.least(5)
  })

  /** LevelDB compacts when it sees fit: a record in which a phase is missing is made again. */
  async function recorded(run: Run, attempt = 0): Promise<{ watch: Awaited<ReturnType<typeof newWatch>>; recording: Recording }> {
    const watch = await newWatch(library, 3)
    const args = [join(watch.data, ...dataFolder), String(run.seed + attempt), String(entriesWritten), run.unsafe]
    // Nobody needs to read what is told: it stands in the record.
    const told = await open('/dev/null', 'w')
    const child = startProgram('child', args, ['ignore', 'ignore', 'pipe', told.fd], watch.env)
    await succeeded(child, 'the recorded program', 60_000)
    await told.close()
    const recording = new Recording(watch.side)
    const found = new Set(recording.phases().flatMap((some) => [...some]))
    const isWhole = phases.every((phase) => found.has(phase) || (run.phase !== undefined && run.phase !== phase))
    return isWhole || attempt === 5 ? { watch, recording } : recorded(run, attempt + 1)
  }

  async function examine(run: Run): Promise<Finding[]> {
    const random = seededRandom(run.seed)
    const { watch, recording } = await recorded(run)
    const scratch = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tidemark-cuts-'))
    let verifier = startVerifier(watch.side)
    const findings: Finding[] = []
    try {
      for (const { at, found } of moments(recording, run, random)) {
        const combination = combinations[findings.length % combinations.length] as (typeof combinations)[number]
        const cut = { at, random, ...combination, ...(run.model ? { model: run.model } : {}) }
        const folder = join(scratch, String(findings.length))
        const { operationsLost } = cutInto(folder, recording, cut)
        const verdict = await verifier.ask(`${join(folder, ...dataFolder)} ${at}`, 20_000).then(
          (line) => JSON.parse(line) as Verdict,
          (error: Error): Verdict => {
            verifier = startVerifier(watch.side) // LevelDB itself may abort on what it finds.
            return { refused: undefined, wrong: [error.message], entries: 0 }
          },
        )
        rmSync(folder, { recursive: true })
        findings.push({ ...cut, ...verdict, phases: found, operationsLost })
      }
    } finally {
      await verifier.end()
      rmSync(scratch, { recursive: true })
    }
    return findings
  }
})

function startVerifier(side: string): LineServer {
  return new LineServer(startProgram('verifier', [side], ['pipe', 'pipe', 'pipe']))
}

/** Random events, as many of each phase. */
function moments(recording: Recording, run: Run, random: () => number): { at: number; found: ReadonlySet<Phase> }[] {
  const found = recording.phases()
  return phases
    .filter((phase) => run.phase === undefined || phase === run.phase)
    .flatMap((phase) => {
      const candidates = recording.events.filter((_, index) => found[index]?.has(phase))
      expect(candidates.length, `events within: ${phase}`).to.be.greaterThan(0)
      return Array.from({ length: run.cutsPerPhase }, () => {
        const { at } = candidates[Math.floor(random() * candidates.length)] as { at: number }
        return { at, found: found[at - 1] as ReadonlySet<Phase> }
      })
    })
}

function describeFinding({ at, model, tail, phases: found, refused, wrong }: Finding): string {
  return `event ${at} (${[...found].join(', ')}), ${model}, ${tail}: ${refused ? `refused: ${refused}; ` : ''}${wrong.join('; ')}`
}

function report(findings: readonly Finding[]): void {
  const count = (list: readonly Finding[]): string => {
    const lost = list.filter(({ wrong }) => wrong.length > 0).length
    return `${list.length} cuts, ${lost} losses, ${list.filter(({ refused }) => refused !== undefined).length} refusals`
  }
  const lines = [
    ...directoryModels.map((model) => `${model}: ${count(findings.filter((finding) => finding.model === model))}`),
    ...phases.map((phase) => `${phase}: ${count(findings.filter((finding) => finding.phases.has(phase)))}`),
  ]
  process.stdout.write(lines.map((line) => `      ${line}\n`).join(''))
}
