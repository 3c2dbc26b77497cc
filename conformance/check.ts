/** What a check is, and how it ends. */
import type { Attempt } from './attempt.ts'

export type Engine = 'self-hosted' | 'aws-iot'

/** What a check needs of the deployment; `mqtt` is whichever of `tcp` and `ws` was chosen. */
export type Need = 'mqtt' | 'tcp' | 'ws' | 'http' | 'second user' | 'space' | 'short token'

export interface Check {
  /** The clauses that it looks at, the main one first. */
  readonly clauses: readonly string[]
  readonly title: string
  readonly needs: readonly Need[]
  /** Engines on which the clause does not hold, and why. */
  readonly engines: Partial<Record<Engine, string>>
  /** Resolves with the evidence in one sentence; throws `Broken`, `NotTried` or `NotApplicable`. */
  run(attempt: Attempt): Promise<string>
}

/** The deployment does not do what the clause says. */
export class Broken extends Error {
  override readonly name: string = 'Broken'
}

/** Something that the check needs is not there. */
export class NotTried extends Error {
  override readonly name = 'NotTried'
}

/** The deployment is configured so that the clause says nothing of it. */
export class NotApplicable extends Error {
  override readonly name = 'NotApplicable'
}

/** Throws `Broken` where the condition does not hold. */
export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Broken(otherwise)
}

/** Throws `Broken` where the two differ as JSON. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)]
  must(is === should, `${what}: expected ${short(should)}, got ${short(is)}`)
}

export function short(text: string | undefined, length = 200): string {
  const whole = text ?? 'nothing'
  return whole.length > length ? `${whole.slice(0, length)}…` : whole
}

/** A check of these clauses, separated by spaces. */
export function check(
  clauses: string,
  title: string,
  needs: readonly Need[],
  run: (attempt: Attempt) => Promise<string>,
  engines: Check['engines'] = {},
): Check {
  return { clauses: clauses.split(' '), title, needs, engines, run }
}
