/** What the checks found, as a table and as JSON. */
import { allChecks } from './chapters/all.ts'
import type { Check } from './check.ts'
import type { Outcome, Result, Verdict } from './run.ts'

const words: Readonly<Record<Verdict, string>> = { passed: 'passed', failed: 'FAILED', 'not applicable': 'n/a', 'not tried': '–' }
const clauseWidth = 8
const verdictWidth = 8
const indent = ' '.repeat(clauseWidth + verdictWidth + 2)
/** Of what was sent and came back, how much is shown. */
const traceLines = 8

export function tableOf({ results, root, left }: Outcome): string {
  const lines = results.flatMap((result) => rowOf(result))
  const counts = countsOf(results)
  const summary = `${counts['passed']} passed, ${counts['failed']} failed, ${counts['not applicable']} not applicable (n/a), ${counts['not tried']} not tried (–)`
  const clauses = new Set(results.filter(({ verdict }) => verdict === 'passed').flatMap((result) => result.clauses)).size
  const leaves =
    left ?? 'Retained messages and sessions were removed; logged entries stay, as the protocol has no way to remove some of them.'
  return `${lines.join('\n')}\n\n${summary}; ${clauses} clauses hold.\nAll of it happened below ${root}. ${leaves}\n`
}

export function jsonOf({ results, root, left }: Outcome): string {
  return `${JSON.stringify({ root, ...(left === undefined ? {} : { left }), counts: countsOf(results), results }, undefined, 2)}\n`
}

export function countsOf(results: readonly Result[]): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { passed: 0, failed: 0, 'not applicable': 0, 'not tried': 0 }
  for (const { verdict } of results) counts[verdict]++
  return counts
}

/** Those whose clauses begin so: `P-4` is a chapter, `P-4.1` one clause. */
export function checksOf(only: readonly string[]): readonly Check[] {
  if (only.length === 0) return allChecks
  const wanted = (clause: string): boolean => only.some((text) => clause === text || clause.startsWith(`${text}.`))
  return allChecks.filter(({ clauses }) => clauses.some(wanted))
}

function rowOf({ clauses, title, verdict, evidence, trace }: Result): string[] {
  const [first = '', ...more] = clauses
  const also = more.length > 0 ? ` (${more.join(', ')})` : ''
  const head = `${first.padEnd(clauseWidth)} ${words[verdict].padEnd(verdictWidth)} ${title}${also}`
  const seen = verdict === 'failed' ? trace.slice(-traceLines).map((line) => `${indent}  ${line}`) : []
  return [head, `${indent}${evidence}`, ...seen]
}
