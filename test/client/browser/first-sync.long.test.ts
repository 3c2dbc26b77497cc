/** A first sync of 20,000 entries of 300 B: it says how far it is, and the page stays responsive. */
import { expect } from 'chai'
import type { Page } from 'playwright-core'
import { amount } from '../../support/amount.ts'
import { busy, World } from './world.ts'

const taskMsMax = 200

interface TraceEvent {
  readonly name: string
  readonly ph: string
  readonly pid: number
  readonly tid: number
  /** µs of the thread's own time. */
  readonly tdur?: number
  readonly args: { readonly name?: string }
}

describe('browser: first sync', function () {
  this.timeout(600_000)
  const world = new World()

  it('[P-6.8] [P-11.2] tells its progress, takes every entry once and in order, and never keeps the page for long', async () => {
    const count = amount(20_000, 5_000)
    const stream = 'users/kim'
    const text = 'x'.repeat(300)
    const writer = world.writer('kim').stream(stream)
    await Promise.all(Array.from({ length: count }, (_unused, at) => writer.publish('log', { n: at, text })))
    const tab = await world.tab('kim')
    const tasks = await tasksOf(tab.page, async () => {
      await tab.join([stream], { options: { bounds: busy }, countOnly: true })
      await tab.until(() => tab.last('counted')?.count === count, 'all entries')
      await tab.until(() => tab.last('progress')?.live === true, 'the word that it has caught up')
    })
    expect(tab.last('counted')?.faults, 'entries out of their place').to.equal(0)
    const behind = tab.all('progress').map((progress) => progress.behind)
    expect(behind[0]).to.be.greaterThan(count / 2)
    expect(behind, 'less and less').to.deep.equal(behind.toSorted((one, other) => other - one))
    expect(new Set(behind).size, 'several times').to.be.greaterThan(count / 2_000)
    expect(tab.last('progress')).to.include({ behind: 0, live: true })
    // Time of the thread itself: what else this machine does is not the page's fault.
    expect(tasks.length).to.be.greaterThan(count / 1_000)
    const longest = Math.max(...tasks)
    console.log(`      longest task ${longest.toFixed(0)} ms of its own, ${(await tab.call('longestTaskMs')).toFixed(0)} ms by the clock`)
    expect(longest).to.be.lessThan(taskMsMax)
  })
})

/** What each task of the page's main thread took, in ms of that thread's own time. */
async function tasksOf(page: Page, work: () => Promise<void>): Promise<number[]> {
  const browser = page.context().browser()
  if (!browser) throw new Error('a page of no browser')
  await browser.startTracing(page, { categories: ['-*', 'toplevel', '__metadata'] })
  await work()
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] }
  const pages = new Set(traceEvents.filter(({ args }) => args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`))
  return traceEvents.flatMap(({ name, ph, pid, tid, tdur }) =>
    name.endsWith('RunTask') && ph === 'X' && pages.has(`${pid} ${tid}`) && tdur !== undefined ? [tdur / 1_000] : [],
  )
}
