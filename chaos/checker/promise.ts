/** One promise, and how it was held to a record. */
import type { Facts } from './facts.ts'

export interface Finding {
  /** What was looked at, in numbers. */
  readonly examined: number
  readonly violations: readonly string[]
}

export interface Promised {
  readonly name: string
  /** What must be looked at in a minute for the run to say anything. */
  readonly perMinute: number
  /** The same where AWS IoT Core carries MQTT. Default 0: it promises no such thing. */
  readonly aws?: number
  readonly check: (facts: Facts) => Finding
}

export interface Verdict extends Finding {
  readonly name: string
  /** What had to be looked at. */
  readonly wanted: number
}

/** Counts what is examined and gathers what is wrong. */
export class Notes {
  examined = 0
  readonly violations: string[] = []

  /** Says what is wrong unless the condition holds. */
  expect(holds: boolean, wrong: () => string): void {
    this.examined++
    if (!holds) this.violations.push(wrong())
  }
}
