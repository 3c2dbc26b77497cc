/** A row of the table: what is done to which servers, and what comes out. */
import type { Faults } from '../load/options.ts'

/** What all shapes are told. */
export interface Context {
  readonly rounds: number
  readonly seconds: number
  readonly full: boolean
  readonly dist: boolean
  /** Of the load generator. */
  readonly processes: number
  /** A new folder on a real disk. */
  folder(name: string): string
  say(text: string): void
}

export interface Shape {
  /** Of its rows: shapes that share a preparation give several. */
  readonly names: readonly string[]
  run(context: Context): Promise<Row[]>
}

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

export interface Row {
  readonly name: string
  readonly title: string
  readonly goal: string
  /** What the goal is about, as it was measured. */
  readonly measured: string
  /** Undefined where there was nothing to compare with. */
  readonly reached: boolean | undefined
  readonly ours: string
  readonly peer: string
  /** Processor time of the server per acknowledgement or delivery: ours, then the peer's. */
  readonly cpu: string
  /** Ours; any but 0 fails the run. Undefined where nothing is delivered. */
  readonly faults: Faults | undefined
  readonly notes: readonly string[]
}

export const noFaults: Faults = { gaps: 0, duplicates: 0, reordered: 0, undelivered: 0 }

export function addFaults(a: Faults, b: Faults): Faults {
  return {
    gaps: a.gaps + b.gaps,
    duplicates: a.duplicates + b.duplicates,
    reordered: a.reordered + b.reordered,
    undelivered: a.undelivered + b.undelivered,
  }
}

export function faultCount({ gaps, duplicates, reordered, undelivered }: Faults): number {
  return gaps + duplicates + reordered + undelivered
}
