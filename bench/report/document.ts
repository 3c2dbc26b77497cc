/** docs/BENCHMARKS.md: rows are replaced one by one, what people wrote around them stays. */
import { faultText } from '../shapes/figures.ts'
import type { Row } from '../shapes/shape.ts'
import type { Machine } from './machine.ts'

/** What stands beside a row: when, on which commit, how busy the machine was, how to repeat it. */
export interface Circumstances {
  readonly date: string
  readonly commit: string
  readonly loadBefore: string
  readonly command: string
}

export interface MeasuredRow {
  readonly row: Row
  readonly circumstances: Circumstances
}

const begin = '<!-- measured: begin -->'
const end = '<!-- measured: end -->'
const missed = '## Where a goal is not reached'
const preamble = `# Benchmarks

Everything is QoS 1 with 100 B payloads and on disk before its PUBACK, if the row does not say otherwise. Servers and load generator share one machine. Ours and the peer run in turn; a ratio is the median over the pairs of runs, in brackets the smallest and the largest. Rates are deliveries a second. Gaps, duplicates, reordered and undelivered messages of ours are counted at the receiver, and any at all fails the run. [bench/README.md](../bench/README.md) says what each shape is and how to repeat it.`

/** The document with these rows put in; `order` is that of all rows there are. */
export function documentWith(existing: string, rows: readonly MeasuredRow[], order: readonly string[], machine: string): string {
  const kept = linesByName(section(existing))
  for (const { row, circumstances } of rows) kept.set(row.name, [figuresLine(row), detailsLine(row, circumstances)])
  const inOrder = order.flatMap((name) => {
    const lines = kept.get(name)
    return lines ? [lines] : []
  })
  const generated = [
    begin,
    '<!-- Written by `npm run bench`. -->',
    '',
    `Machine of the latest run: ${machine}.`,
    '',
    '| shape | what | goal | measured | reached | ours | compared with | CPU µs per event, ours / peer | faults |',
    '|---|---|---|---|---|---|---|---|---|',
    ...inOrder.map(([figures]) => figures),
    '',
    '## How each row was measured',
    '',
    '| shape | command | date | commit | load average before | notes |',
    '|---|---|---|---|---|---|',
    ...inOrder.map(([, details]) => details),
    '',
    end,
  ].join('\n')
  return around(existing, generated)
}

export function machineText({ cores, model, memoryGigabytes, kernel, node }: Machine, peer: string): string {
  return `${cores} cores (${model}), ${memoryGigabytes} GB, ${kernel}, Node ${node}; peer: ${peer}`
}

function around(existing: string, generated: string): string {
  const from = existing.indexOf(begin)
  const to = existing.indexOf(end)
  if (from < 0 || to < from) return `${preamble}\n\n${generated}\n\n${missed}\n\nNothing is written here yet.\n`
  return `${existing.slice(0, from)}${generated}${existing.slice(to + end.length)}`
}

function section(existing: string): string {
  const from = existing.indexOf(begin)
  return from < 0 ? '' : existing.slice(from, existing.indexOf(end))
}

/** The lines of a row in both tables. */
function linesByName(text: string): Map<string, [string, string]> {
  const found = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [, name] = /^\| `([\w-]+)` \|/.exec(line) ?? []
    if (name !== undefined) found.set(name, [...(found.get(name) ?? []), line])
  }
  return new Map([...found].flatMap(([name, lines]) => (lines.length === 2 ? [[name, lines as [string, string]] as const] : [])))
}

function figuresLine(row: Row): string {
  const { name, title, goal, measured, reached, ours, peer, cpu, faults } = row
  const verdict = reached === undefined ? '–' : reached ? 'yes' : 'no'
  return cells([`\`${name}\``, title, goal, measured, verdict, ours, peer, cpu, faults ? (faultText(faults) ?? '0') : '–'])
}

function detailsLine({ name, notes }: Row, { command, date, commit, loadBefore }: Circumstances): string {
  return cells([`\`${name}\``, `\`${command}\``, date, commit, loadBefore, notes.join('; ')])
}

function cells(texts: readonly string[]): string {
  return `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
}
