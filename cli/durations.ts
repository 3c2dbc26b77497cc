/** Lengths of time as people write them: `90s`, `15m`, `1h`, `1d`. */
import { UsageError } from './usage-error.ts'

const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** In ms. Throws a UsageError that names the option. */
export function parseDurationMs(option: string, text: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? []
  if (count === undefined || unit === undefined) throw new UsageError(`${option} ${text}: write it like 90s, 15m, 1h or 1d`)
  return Number(count) * (unitsMs[unit] as number)
}
