/** How far it goes until something is at its limit. */
import { assumptions } from './assumptions.ts'
import { simulate, type Outcome, type Resource, type Setting } from './cluster.ts'

export interface Limit {
  /** With the idle ones. */
  readonly streams: number
  readonly outcome: Outcome
  readonly first: Resource
  /** What most of its time goes to, and how much of it. */
  readonly cause: { readonly name: string; readonly share: number }
}

const streamsMin = 10
const streamsMax = 1e11
const stepsMax = 10
/** As near to the limit as chance lets one tell. */
const tolerance = 0.02

/** The number of streams at which the first resource is as busy as it may be. */
export function limitOf(setting: Omit<Setting, 'streams'>): Limit {
  let [low, high] = [Math.log(streamsMin), Math.log(streamsMax)]
  let streams = 1e5
  for (let step = 0; ; step++) {
    const outcome = simulate({ ...setting, streams })
    const first = busiestOf(outcome)
    const ratio = first.load / assumptions.loadMax
    if (step === stepsMax || Math.abs(ratio - 1) < tolerance) return { streams, outcome, first, cause: largest(first) }
    if (ratio > 1) high = Math.log(streams)
    else low = Math.log(streams)
    // Nearly everything grows as the streams do; where that leads out of what is known, the middle is tried.
    const guess = Math.log(streams / ratio)
    streams = Math.exp(guess > low && guess < high ? guess : (low + high) / 2)
  }
}

export function busiestOf({ resources }: Outcome): Resource {
  return resources.reduce((most, resource) => (resource.load > most.load ? resource : most))
}

export function largest({ causes, load }: Resource): { name: string; share: number } {
  const [name, part] = Object.entries(causes).reduce((most, cause) => (cause[1] > most[1] ? cause : most), ['', 0])
  return { name, share: load === 0 ? 0 : part / load }
}
