/** Looking again and again at what tells nobody when it happens. */
import { setTimeout as sleep } from 'node:timers/promises'

const lookMs = 20
const waitMsMax = 30_000

/** Rejects after half a minute. */
export async function waitUntil(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let waitedMs = 0; !(await holds()); waitedMs += lookMs) {
    if (waitedMs > waitMsMax) throw new Error(`waited in vain for ${what}`)
    await sleep(lookMs)
  }
}
