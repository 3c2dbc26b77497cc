/** Whether the server can take entries now, and why not [P-11.9]. */
import type { ReadinessCheck } from '../bridge/index.ts'
import type { Log } from '../log/log.ts'

/** A check that fails is named by the code that is answered. */
export function readinessOf({ log, redisHints, awsBridge, stopping }: Judged): readonly ReadinessCheck[] {
  return [
    stopping
      ? { name: 'stopping', ready: false, detail: 'the server is finishing what is under way' }
      : { name: 'server', ready: true, detail: 'the server is running' },
    log.failure
      ? { name: log.failure.code, ready: false, detail: `${log.failure.message}; it is tried again by itself` }
      : { name: 'store', ready: true, detail: 'the store takes entries' },
    ...(redisHints ? [hintsCheck(redisHints)] : []),
    ...(awsBridge ? [awsCheck(awsBridge)] : []),
  ]
}

interface Judged {
  readonly log: Log
  readonly redisHints: { readonly connected: boolean } | undefined
  readonly awsBridge: { readonly connections: { readonly open: number; readonly wanted: number } } | undefined
  readonly stopping: boolean
}

/** Hints are hints: a node without them serves on, later than the others. */
function hintsCheck({ connected }: { readonly connected: boolean }): ReadinessCheck {
  return connected
    ? { name: 'hints', ready: true, detail: 'hints come and go over Redis' }
    : { name: 'hints', ready: true, degraded: true, detail: 'Redis cannot be reached: what other nodes append is seen by polling' }
}

/** Without AWS there is still HTTP; what clients publish meanwhile waits there. */
function awsCheck({ connections: { open, wanted } }: NonNullable<Judged['awsBridge']>): ReadinessCheck {
  const detail = `${open} of ${wanted} connections to AWS IoT Core stand`
  return open === wanted ? { name: 'aws-iot', ready: true, detail } : { name: 'aws-iot', ready: true, degraded: true, detail }
}
