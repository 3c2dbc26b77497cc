/** The model of docs/SCALING.md: what must hold whatever its figures are, and what was really measured. */
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { costs, measuredCosts } from '../../bench/scale/costs.ts'
import { simulate, type Outcome, type Resource, type Setting } from '../../bench/scale/cluster.ts'
import { changes, today, type Deployment } from '../../bench/scale/deployment.ts'
import { limitOf } from '../../bench/scale/limit.ts'
import { moneyOf } from '../../bench/scale/money.ts'
import { workloadNamed, workloads, type Workload } from '../../bench/scale/workloads.ts'

const sync = workloadNamed('sync')
const ten: Deployment = { ...today, nodes: 10 }

describe('the model of scale', () => {
  it('gives the same for the same seed, and something else for another', () => {
    const setting: Setting = { workload: workloadNamed('boards'), deployment: ten, streams: 1e5, messages: 500 }
    expect(simulate(setting)).to.deep.equal(simulate(setting))
    expect(simulate({ ...setting, seed: 2 })).not.to.deep.equal(simulate(setting))
  })

  for (const workload of workloads) {
    for (const [what, deployment] of Object.entries(deployments())) {
      it(`appends every message of ${workload.name} once and delivers it to every reader, ${what}`, () => {
        const outcome = simulate({ workload, deployment, streams: 2e4, messages: 200 })
        expect(outcome.published).to.be.at.least(100)
        expect(outcome.appended).to.equal(outcome.published)
        expect(outcome.delivered).to.equal(outcome.owed)
        expect(outcome.owed).to.be.greaterThan(0)
      })
    }
  }

  it('asks more of everything the more streams there are', () => {
    const outcomes = [1e4, 1e5, 1e6].map((streams) => simulate({ workload: sync, deployment: ten, streams, messages: 2_000 }))
    for (const name of ['node CPU', 'node memory', 'Redis CPU', 'Redis network', 'first shard'] as const) {
      const loads = outcomes.map((outcome) => loadOf(outcome, name))
      expect(loads, name).to.deep.equal(loads.toSorted((a, b) => a - b))
      expect(new Set(loads).size, name).to.equal(loads.length)
    }
  })

  it('asks more of a node the more nodes tell it of their heads on one channel', () => {
    const devices = workloadNamed('devices')
    const shares = [2, 10, 50].map((nodes) => {
      // As many messages for each node.
      const outcome = simulate({ workload: devices, deployment: { ...today, nodes }, streams: 1_000 * nodes, messages: 2_000 })
      return outcome.resources.find(({ name }) => name === 'node CPU')?.causes['hints heard'] ?? 0
    })
    expect(shares[1]).to.be.greaterThan((shares[0] as number) * 3)
    expect(shares[2]).to.be.greaterThan((shares[1] as number) * 3)
  })

  it('gets no worse by more shards of the store', () => {
    for (const workload of workloads) {
      const outcomes = [1, 2, 8].map((shards) => simulate({ workload, deployment: { ...ten, shards }, streams: 1e5, messages: 300 }))
      const loads = outcomes.map((outcome) => Math.max(loadOf(outcome, 'first shard'), loadOf(outcome, 'other shards')))
      if (workload.name === 'devices') expect(loads[2]).to.be.below((loads[0] as number) / 4)
      // Chance decides which shard gets a little more.
      for (const at of [1, 2]) expect(loads[at], `${workload.name}, step ${at}`).to.be.at.most((loads[at - 1] as number) * 1.02)
    }
  })

  it('loses races where several nodes write to one stream, and none where one does', () => {
    const workload: Workload = { ...workloadNamed('auctions'), liveShare: 1, messagesPerSecond: 50, readers: 20, connections: 20 }
    const on = (nodes: number): Outcome => simulate({ workload, deployment: { ...today, nodes }, streams: 1, messages: 500 })
    expect(on(1).collisions).to.equal(0)
    expect(on(4).collisions).to.be.greaterThan(20)
    expect(on(4).delayMs.p99).to.be.greaterThan(on(1).delayMs.p99)
  })

  it('finds late what no hint told of, within a round of looks', () => {
    const outcome = simulate({ workload: sync, deployment: { ...ten, hintsLost: 1 }, streams: 1e6, messages: 1_000 })
    const { pollRoundMs } = outcome.background
    expect(outcome.delayMs.p99).to.be.within(pollRoundMs / 4, pollRoundMs + 1_000)
    expect(outcome.delayMs.p99).to.be.greaterThan(
      simulate({ workload: sync, deployment: ten, streams: 1e6, messages: 1_000 }).delayMs.p99 * 10,
    )
  })

  it('holds a hundred million streams without an object for each', () => {
    const before = process.memoryUsage().heapUsed
    const outcome = simulate({ workload: sync, deployment: { ...ten, nodes: 100 }, streams: 1e8, messages: 200 })
    expect(outcome.appended).to.equal(outcome.published)
    expect(process.memoryUsage().heapUsed - before).to.be.below(200 * 2 ** 20)
  })

  it('stops where the first resource is as busy as it may be', () => {
    const { first, outcome } = limitOf({ workload: sync, deployment: ten, messages: 500 })
    expect(first.load).to.be.closeTo(0.7, 0.05)
    for (const { load } of outcome.resources) expect(load).to.be.at.most(first.load)
  })

  it('costs more per message where more runs for the same rate', () => {
    const outcome = simulate({ workload: sync, deployment: ten, streams: 1e5, messages: 500 })
    const one = moneyOf({ workload: sync, deployment: ten, outcome })
    const more = moneyOf({ workload: sync, deployment: { ...ten, shards: 8 }, outcome })
    expect(more.store).to.be.closeTo(8 * one.store, 1e-9)
    expect(one.total).to.be.closeTo(one.nodes + one.redis + one.store + one.disk + one.traffic, 1e-9)
  })

  describe('against rows of docs/BENCHMARKS.md', () => {
    const within = 2.5

    it('clients-1000: what one thread delivers when every packet is a system call', () => {
      const measured = numberOf('clients-1000', /(\d+) k\/s \(/) * 1_000
      const pair: Workload = { ...workloadNamed('devices'), liveShare: 1, messagesPerSecond: 1, readers: 1, writers: 1, connections: 2 }
      const rate = 1_000
      const { resources } = simulate({ workload: pair, deployment: { ...today, nodes: 1 }, streams: rate, messages: 4_000 })
      const { causes } = resources.find(({ name }) => name === 'node CPU') as Resource
      // Commits are shared by ever more messages as the load grows.
      const perMessage = ((causes['appends'] ?? 0) + (causes['deliveries'] ?? 0)) / rate
      expect(1 / perMessage).to.be.within(measured / within, measured * within)
    })

    it('idle-10000: memory of a connection', () => {
      const measured = numberOf('idle-10000', /([\d.]+) KB before/) * 1024
      expect(measuredCosts.connectionBytes).to.be.within(measured / 1.5, measured * 1.5)
    })

    it('rate-5000: processor time of 5,000 messages a second', () => {
      const measured = numberOf('rate-5000', /(\d+) % of a core \|/) / 100
      const four: Workload = { ...workloadNamed('devices'), liveShare: 1, messagesPerSecond: 1_250, readers: 1, writers: 1, connections: 2 }
      const outcome = simulate({ workload: four, deployment: { ...today, nodes: 1 }, streams: 4, messages: 4_000 })
      expect(loadOf(outcome, 'node CPU')).to.be.within(measured / within, measured * within)
    })
  })

  it('says of every cost where it comes from', () => {
    const text = readFileSync(new URL('../../docs/BENCHMARKS.md', import.meta.url), 'utf8')
    for (const [name, { value, source }] of Object.entries(costs)) {
      expect(value, name).to.be.greaterThan(0)
      const [, row] = /^row `([\w-]+)`/.exec(source) ?? []
      expect(row === undefined ? source.includes('--measure') : text.includes(`| \`${row}\` |`), `${name}: ${source}`).to.equal(true)
    }
  })
})

function deployments(): Readonly<Record<string, Deployment>> {
  return {
    'on one node': { ...today, nodes: 1 },
    'on five nodes': { ...today, nodes: 5 },
    'with everything changed': { ...(changes.at(-1)?.deployment ?? today), nodes: 12 },
    'with half of the hints lost': { ...today, nodes: 5, hintsLost: 0.5 },
  }
}

function loadOf({ resources }: Outcome, name: Resource['name']): number {
  return resources.find((resource) => resource.name === name)?.load ?? Number.NaN
}

function numberOf(row: string, pattern: RegExp): number {
  const text = readFileSync(new URL('../../docs/BENCHMARKS.md', import.meta.url), 'utf8')
  const line = text.split('\n').find((candidate) => candidate.startsWith(`| \`${row}\` |`)) ?? ''
  const [, found] = pattern.exec(line) ?? []
  expect(found, `${row} in docs/BENCHMARKS.md`).not.to.equal(undefined)
  return Number(found)
}
