/**
 * The switch-over from what is stored to what is live, in any interleaving with whatever else happens: a reader gets
 * what matches from where it asked for, in order, without a gap and without a double, or it is told that it cannot.
 *
 * Readers come over TCP: the order of SUBACK, retained messages and entries on the wire is part of what is promised.
 * `TIDEMARK_TEST_CATCH_UP_RUNS` sets how many runs there are (100 where `TIDEMARK_TEST_AMOUNT` is `full`), `TIDEMARK_TEST_CATCH_UP_SEED` repeats a seed, with
 * `TIDEMARK_TEST_CATCH_UP_PATH` one run of it.
 */
import { expect } from 'chai'
import * as fc from 'fast-check'
import { amount } from '../../support/amount.ts'
import { closeAll } from '../../support/broker.ts'
import { tempFolder } from '../../support/temp.ts'
import { counts, least, leastResets } from './counts.ts'
import { scenarios } from './ops.ts'
import { Run } from './run.ts'

const runs = Number(process.env['TIDEMARK_TEST_CATCH_UP_RUNS'] ?? amount(100, 40))
const seed = Number(process.env['TIDEMARK_TEST_CATCH_UP_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const path = process.env['TIDEMARK_TEST_CATCH_UP_PATH']

describe(`Catch-up, ${runs} runs with seed ${seed}`, function () {
  this.timeout(Math.max(300_000, runs * 10_000))
  afterEach(closeAll)

  it('[P-4.12] [P-4.17] [P-6.8] [P-6.10] [P-6.20] every reader gets what matches from where it asked for, in order, once, or is told', async () => {
    const folder = await tempFolder()
    const property = fc.asyncProperty(scenarios, async (scenario) => {
      counts.runs++
      if (scenario.shared) counts.shared++
      await new Run(scenario, folder).play()
    })
    // A failing run is not made smaller: how calls fall together is not repeated exactly.
    await fc.assert(property, {
      numRuns: runs,
      seed,
      ...(path === undefined ? {} : { path }),
      includeErrorInReport: true,
      endOnFailure: true,
    })
    if (runs < 100) return // Too few to have met everything.
    for (const [name, perRun] of Object.entries(least)) {
      expect(counts[name as keyof typeof least], `${name} examined`).to.be.at.least(Math.floor(perRun * runs))
    }
    for (const [reason, count] of Object.entries(counts.resets))
      expect(count, `reset ${reason}`).to.be.at.least(Math.floor(leastResets * runs))
  })
})
