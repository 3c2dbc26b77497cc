/** Leaving out a test where this machine lacks what it needs: loudly, and never where CI is set. */
import { spawnSync } from 'node:child_process'

/** Skips the test, loudly, where the program is missing; fails where CI is set. */
export function need(context: Mocha.Context, program: string, install: string): void {
  if (spawnSync('which', [program]).status === 0) return
  skipLoudly(context, `${program} is missing here (${install})`)
}

export function skipLoudly(context: Mocha.Context, reason: string): never {
  if (process.env['CI']) throw new Error(reason)
  console.log(`      SKIPPED: ${reason}`)
  return context.skip()
}
