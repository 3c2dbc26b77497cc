/** The platform's time, chance and moments of waking. */
import type { Timers } from './seams.ts'

/** More than this much of the wall clock beside the monotonic one was sleep, or somebody set the clock: both count as time passed. */
const sleepMs = 1_000

/** The platform's timers. `clock` and `wall` are there for tests. */
export function platformTimers(clock = (): number => performance.now(), wall = (): number => Date.now()): Timers {
  let [clockSeen, wallSeen, now] = [clock(), wall(), 0]
  return {
    now() {
      const passed = clock() - clockSeen
      const passedOnWall = wall() - wallSeen
      clockSeen += passed
      wallSeen += passedOnWall
      now += passedOnWall - passed > sleepMs ? passedOnWall : passed
      return now
    },
    wallMs: wall,
    after(ms, call) {
      // A longer one would run at once.
      const timer = setTimeout(call, Math.min(ms, 2 ** 31 - 1))
      return () => clearTimeout(timer)
    },
    random: () => Math.random(),
  }
}

/** Calls whenever the machine or the page may have been away: network back, page shown. The answer ends it. */
export function onWake(wake: () => void): () => void {
  const shown = (): void => void (document.visibilityState === 'visible' && wake())
  const within = (target: EventTarget | undefined, name: string, listener: () => void): (() => void) => {
    target?.addEventListener(name, listener)
    return () => target?.removeEventListener(name, listener)
  }
  const page = typeof window === 'undefined' ? undefined : window
  const ends = [
    within(page, 'online', wake),
    // A page that comes back from the back/forward cache has lost its connections.
    within(page, 'pageshow', wake),
    within(page?.document, 'visibilitychange', shown),
  ]
  return () => ends.forEach((end) => end())
}
