/** The tables of docs/SCALING.md. */
import { assumptions, prices } from './assumptions.ts'
import { simulate, type Outcome, type Setting } from './cluster.ts'
import { costs, measuredCosts, type Costs } from './costs.ts'
import { changes, today, type Change } from './deployment.ts'
import { largest, limitOf, type Limit } from './limit.ts'
import { bytesPerMessage, indexBytesPerBucket, moneyOf } from './money.ts'
import { workloadNamed, workloads, type Workload } from './workloads.ts'

export const nodeCounts = [1, 10, 100] as const
const manyStreams = 1e8
const many = 100
const storeSpeeds = [0.5, 1, 2, 4] as const
const hotRates = [5, 50, 200] as const

export interface Progress {
  readonly seed: number
  readonly say: (text: string) => void
}

export function allTables(progress: Progress): string {
  return [limits(progress), atManyStreams(progress), hotStream(progress), lateHints(progress), otherSpeeds(progress), inputs()].join('\n\n')
}

function limits({ seed, say }: Progress): string {
  const rows = workloads.flatMap((workload) =>
    changes.flatMap((change) =>
      // What is changed is changed for several nodes.
      (change === changes[0] ? nodeCounts : nodeCounts.slice(1)).map((nodes) => {
        const deployment = { ...change.deployment, nodes }
        const limit = limitOf({ workload, deployment, seed })
        say(`${workload.name}, ${change.name}, ${nodes} nodes: ${rounded(limit.outcome.messagesPerSecond)} messages/s`)
        return limitRow(workload, change, nodes, limit)
      }),
    ),
  )
  const head = [
    'workload',
    'changed',
    'nodes',
    'streams',
    'messages/s',
    'deliveries/s',
    'connections per node',
    'first limit',
    'most of it',
    'p99 ms',
    '$ per million',
  ]
  return section('Where the first limit lies', [head, ...rows])
}

function limitRow(workload: Workload, change: Change, nodes: number, { streams, outcome, first, cause }: Limit): string[] {
  const { messagesPerSecond, background, delayMs } = outcome
  const { total } = moneyOf({ workload, deployment: { ...change.deployment, nodes }, outcome })
  return [
    workload.name,
    change.built ? change.name : `*${change.name}*`,
    String(nodes),
    rounded(streams),
    rounded(messagesPerSecond),
    rounded((outcome.owed / outcome.published) * messagesPerSecond),
    rounded(background.connectionsPerNode),
    first.name,
    `${cause.name} ${percent(cause.share)}`,
    rounded(delayMs.p99),
    money(total),
  ]
}

/** A hundred million streams, whether they fit or not. */
function atManyStreams({ seed, say }: Progress): string {
  const rows = workloads.map((workload) => {
    const ask = (change: Change): Outcome => {
      say(`${workload.name}, ${change.name}: 100 million streams`)
      return simulate({ workload, deployment: { ...change.deployment, nodes: many }, streams: manyStreams, seed, messages: messagesMany })
    }
    const outcomes = [changes[0], changes.at(-1)].map((change) => ask(change as Change)) as [Outcome, Outcome]
    const [now] = outcomes
    const perDay = (now.messagesPerSecond / workload.peak) * 86_400
    const kept = perDay * assumptions.keptDays
    const bytes = bytesPerMessage(workload, now)
    const index = (now.documents / now.published) * indexBytesPerBucket
    return [
      workload.name,
      rounded(now.messagesPerSecond),
      rounded(now.background.connectionsPerNode * many),
      `${rounded((bytes * kept) / 1e12)} TB`,
      `${rounded((index * kept) / 1e9)} GB`,
      ...outcomes.map((outcome) => loads(outcome)),
    ]
  })
  const head = [
    'workload',
    'messages/s',
    'connections',
    'disk of one copy, 30 days',
    'of it indexes of `buckets`',
    '100 nodes today',
    `100 nodes, *all* changes`,
  ]
  return section('A hundred million streams', [head, ...rows])
}

const messagesMany = 1_000

/** Everything above half of what may be asked of it, in times of that. */
function loads({ resources }: Outcome): string {
  const busy = resources.filter(({ load }) => load > assumptions.loadMax / 2).sort((a, b) => b.load - a.load)
  return busy.map((resource) => `${resource.name} ${rounded(resource.load / assumptions.loadMax)} × (${largest(resource).name})`).join(', ')
}

/** One stream that everybody writes to: what turns cost. */
function hotStream({ seed }: Progress): string {
  const auction = workloadNamed('auctions')
  const rows = hotRates.map((messagesPerSecond) => {
    const workload = { ...auction, messagesPerSecond, liveShare: 1, readers: 200, connections: 200 }
    const cells = nodeCounts.map((nodes) => {
      const { delayMs, collisions, appended } = simulate({ workload, deployment: { ...today, nodes }, streams: 1, seed, messages: 1_000 })
      return `p99 ${rounded(delayMs.p99)} ms, ${(collisions / appended).toFixed(2)} lost`
    })
    return [String(messagesPerSecond), ...cells]
  })
  return section('One hot stream, 50 writers and 200 readers', [
    ['messages/s', ...nodeCounts.map((nodes) => (nodes === 1 ? '1 node' : `${nodes} nodes`))],
    ...rows,
  ])
}

/** What a hint that does not come costs. */
function lateHints({ seed }: Progress): string {
  const workload = workloadNamed('sync')
  const rows = [1_000, 5_000, 20_000, 60_000].map((connections) => {
    const deployment = { ...today, nodes: 10, hintsLost: 1 }
    const streams = (connections * deployment.nodes) / workload.liveShare / workload.connections
    const { background, delayMs } = simulate({ workload, deployment, streams, seed, messages: 4_000 })
    return [
      rounded(connections),
      rounded(background.followedPerNode),
      `${rounded(background.pollRoundMs / 1_000)} s`,
      `${rounded(delayMs.p99 / 1_000)} s`,
    ]
  })
  const head = [
    'connections per node',
    'streams followed by it',
    'it has asked about all of them in',
    'p99 of all deliveries without hints',
  ]
  return section('Without hints, ten nodes', [head, ...rows])
}

/** The store is what was not measured; the rest was, on a busy machine. */
function otherSpeeds({ seed }: Progress): string {
  const rows = workloads.map((workload) => {
    const limit = (change: Pick<Setting, 'storeSpeed' | 'costs'>): string => {
      const { outcome, first } = limitOf({ workload, deployment: { ...today, nodes: 10 }, seed, ...change })
      return `${rounded(outcome.messagesPerSecond)}/s, ${first.name}`
    }
    return [workload.name, ...storeSpeeds.map((storeSpeed) => limit({ storeSpeed })), limit({ costs: halfOfTheTime })]
  })
  const speeds = storeSpeeds.map((speed) => (speed === 1 ? 'as assumed' : `store ${speed} × as fast`))
  return section('If the store or the nodes are faster or slower: ten nodes today', [
    ['workload', ...speeds, 'nodes and Redis 2 × as fast'],
    ...rows,
  ])
}

const halfOfTheTime = Object.fromEntries(
  Object.entries(measuredCosts).map(([name, value]) => [name, name.endsWith('Micros') ? value / 2 : value]),
) as Costs

function inputs(): string {
  const measured = Object.entries(costs).map(([name, { value, unit, what, source }]) => [
    `\`${name}\``,
    what,
    `${rounded(value)} ${unit}`,
    source,
  ])
  const assumed = Object.entries({ ...assumptions, ...prices }).map(([name, value]) => [`\`${name}\``, rounded(value)])
  const kinds = workloads.map((workload) => [workload.name, workload.title])
  const changed = changes.map(({ name, title, built }) => [name, title, built ? 'yes' : 'no'])
  return [
    section('Workloads', [['name', 'what'], ...kinds]),
    section('Changes', [['name', 'what', 'can be run today'], ...changed]),
    section('Measured costs', [['name', 'what', 'value', 'source'], ...measured]),
    section('Assumptions and prices', [['name', 'value'], ...assumed]),
  ].join('\n\n')
}

function section(title: string, [head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [`## ${title}`, '', line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** Three figures are more than the model knows. */
export function rounded(value: number): string {
  if (value === 0) return '0'
  const digits = Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))))
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.abs(value))) - 1)
  return value >= 100 ? (Math.round(value / unit) * unit).toLocaleString('en') : String(Number(value.toFixed(digits)))
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function money(dollars: number): string {
  return dollars.toFixed(2)
}
