/** What the checks found, as a table and as JSON. */
import { allChecks } from './chapters/all.ts'
import type { Check } from './check.ts'
import type { Door } from './deployment.ts'
import type { Outcome, Result, Verdict } from './run.ts'

const words: Readonly<Record<Verdict, string>> = { passed: 'passed', failed: 'FAILED', 'not applicable': 'n/a', 'not tried': '–' }
const clauseWidth = 8
const verdictWidth = 8
const indent = ' '.repeat(clauseWidth + verdictWidth + 2)
/** Of what was sent and came back, how much is shown. */
const traceLines = 8

/** What is said at the end, below the rows. */
export function summaryOf({ results, root, left }: Outcome): string {
  const { passed, failed, 'not applicable': none, 'not tried': untried } = countsOf(results)
  const clauses = new Set(results.filter(({ verdict }) => verdict === 'passed').flatMap((result) => result.clauses)).size
  const leaves = left ?? 'Retained messages and kept sessions were removed; logged entries stay.'
  return `\n${passed} passed, ${failed} failed, ${none} not applicable (n/a), ${untried} not tried (–); ${clauses} clauses hold.\nAll of it happened below ${root}. ${leaves}\n`
}

export function jsonOf({ results, root, left }: Outcome): string {
  return `${JSON.stringify({ root, ...(left === undefined ? {} : { left }), counts: countsOf(results), results }, undefined, 2)}\n`
}

export function countsOf(results: readonly Result[]): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { passed: 0, failed: 0, 'not applicable': 0, 'not tried': 0 }
  for (const { verdict } of results) counts[verdict]++
  return counts
}

/** Those whose clauses begin so (`P-4` is a chapter, `P-4.1` one clause), and that go by this door. */
export function checksOf(only: readonly string[], door?: Door): readonly Check[] {
  const isWanted = (clause: string): boolean => only.some((text) => clause === text || clause.startsWith(`${text}.`))
  return allChecks.filter((check) => (only.length === 0 || check.clauses.some(isWanted)) && (door === undefined || goesBy(door, check)))
}

function goesBy(door: Door, { needs }: Check): boolean {
  const ways = needs.filter((need) => need === 'mqtt' || need === 'tcp' || need === 'ws')
  return door === 'http' ? ways.length === 0 : ways.length > 0 && ways.every((way) => way === 'mqtt' || way === door)
}

/** A clause, what became of it, and what showed that. */
export function rowOf({ clauses, title, verdict, evidence, trace }: Result): string {
  const [first = '', ...more] = clauses
  const also = more.length > 0 ? ` (${more.join(', ')})` : ''
  const head = `${first.padEnd(clauseWidth)} ${words[verdict].padEnd(verdictWidth)} ${title}${also}`
  const seen = verdict === 'failed' ? trace.slice(-traceLines).map((line) => `${indent}  ${line}`) : []
  return [head, `${indent}${evidence}`, ...seen, ''].join('\n')
}
