/** Numbers as people read them. */
import type { Faults } from '../load/options.ts'
import { faultCount, type Spread } from './shape.ts'

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const center = ((sorted[Math.ceil(middle) - 1] as number) + (sorted[Math.floor(middle)] as number)) / 2
  return { min: sorted[0] as number, median: center, max: sorted.at(-1) as number }
}

export function median(values: readonly number[]): number {
  return spreadOf(values).median
}

/** Like `1.84 × (1.79–1.92)`. */
export function times({ min, median: middle, max }: Spread): string {
  return `${two(middle)} × (${two(min)}–${two(max)})`
}

/** Processor time of the server per event, one figure for each list of runs. */
export function cpuText(...servers: (readonly { readonly cpuMicrosPerEvent: number }[])[]): string {
  const measured = servers.filter(({ length }) => length > 0)
  return measured.map((runs) => two(median(runs.map(({ cpuMicrosPerEvent }) => cpuMicrosPerEvent)))).join(' / ')
}

export function thousands(perSecond: number): string {
  return perSecond >= 10_000
    ? `${Math.round(perSecond / 1000)} k`
    : perSecond >= 1_000
      ? `${(perSecond / 1000).toFixed(1)} k`
      : `${Math.round(perSecond)}`
}

export function two(value: number): string {
  return value.toFixed(2)
}

export function milliseconds(ms: number): string {
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** Undefined where there are none. */
export function faultText(faults: Faults): string | undefined {
  if (faultCount(faults) === 0) return undefined
  const { gaps, duplicates, reordered, undelivered } = faults
  return `${gaps} gaps, ${duplicates} duplicates, ${reordered} reordered, ${undelivered} undelivered`
}
