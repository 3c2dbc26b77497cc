/** A verdict in words; the last line says it all. */
import type { Verdict } from './checker/promise.ts'

const shown = 8

export function reportOf(verdicts: readonly Verdict[]): string[] {
  const lines = verdicts.flatMap(({ name, examined, violations }) => [
    `${violations.length > 0 ? 'BROKEN ' : 'held   '} ${name}: ${examined} examined${violations.length === 0 ? '' : `, ${violations.length} wrong`}`,
    ...violations.slice(0, shown).map((violation) => `          ${violation}`),
  ])
  const examined = verdicts.reduce((sum, verdict) => sum + verdict.examined, 0)
  const wrong = verdicts.reduce((sum, { violations }) => sum + violations.length, 0)
  const broken = verdicts.filter(({ violations }) => violations.length > 0).length
  return [...lines, `chaos: ${verdicts.length} promises, ${examined} facts examined, ${wrong} violations of ${broken} promises`]
}
