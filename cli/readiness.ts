/** Whether the server can take entries now, and why not [P-11.9]. */
import type { ReadinessCheck } from '../bridge/index.ts'
import type { Log } from '../log/log.ts'

/** A check that fails is named by the code that is answered. */
export function readinessOf({ log, stopping }: { readonly log: Log; readonly stopping: boolean }): readonly ReadinessCheck[] {
  return [
    stopping
      ? { name: 'stopping', ready: false, detail: 'the server is finishing what is under way' }
      : { name: 'server', ready: true, detail: 'the server is running' },
    log.healthy
      ? { name: 'store', ready: true, detail: 'the store takes entries' }
      : { name: 'store-unavailable', ready: false, detail: 'the store takes no entries; it is tried again by itself' },
  ]
}
