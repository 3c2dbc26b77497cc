/** What a round is about: which faults it makes how often. The seed decides what and when. */
import type { StoreKind } from '../record.ts'

export type FaultKind =
  | 'kill'
  | 'stop'
  | 'freeze'
  | 'long freeze'
  | 'clients'
  | 'clock'
  | 'power'
  | 'trim'
  | 'database killed'
  | 'database frozen'
  | 'database lost'
  | 'database way'
  | 'answers lost'
  | 'redis killed'
  | 'redis frozen'
  | 'redis way'
  | 'AWS cuts'
  | 'AWS vices'
  | 'STS throttles'

/** Where nothing else is said. A kind that a world has nothing for is left out. */
const usual: Readonly<Record<FaultKind, number>> = {
  kill: 4,
  stop: 2,
  freeze: 3,
  'long freeze': 1,
  clients: 6,
  clock: 1,
  power: 4,
  trim: 2,
  'database killed': 2,
  'database frozen': 2,
  'database lost': 1,
  'database way': 5,
  'answers lost': 2,
  'redis killed': 2,
  'redis frozen': 1,
  'redis way': 3,
  'AWS cuts': 5,
  'AWS vices': 6,
  'STS throttles': 1,
}

export interface Theme {
  readonly name: ThemeName
  readonly stores: readonly StoreKind[]
  readonly weights: Readonly<Partial<Record<FaultKind, number>>>
  /** Between two faults at most, ms. */
  readonly pauseMsMax: number
  /** How long what was killed is down at most, ms. Where it counts how often, not how long, a short time makes room for more. */
  readonly downMsMax?: number
  /** How long a process is left alone after a fault at most, ms. */
  readonly restMsMax?: number
}

export type ThemeName = 'everything' | 'losses' | 'answers' | 'majorities' | 'hints' | 'bridge'

const clusters = ['mongo', 'mongo-stub'] as const

export const themes: readonly Theme[] = [
  {
    name: 'losses',
    stores: ['level'],
    weights: { kill: 4, power: 6, trim: 4, clients: 1 },
    pauseMsMax: 1_500,
    downMsMax: 500,
    restMsMax: 2_000,
  },
  // Between two of them the database has to take something, or there is nothing whose outcome could be unknown.
  { name: 'answers', stores: clusters, weights: { 'answers lost': 1 }, pauseMsMax: 2_000 },
  {
    name: 'majorities',
    stores: ['mongo-stub'],
    weights: { 'database lost': 6, 'answers lost': 2, kill: 1 },
    pauseMsMax: 3_000,
    downMsMax: 500,
  },
  { name: 'hints', stores: clusters, weights: { 'redis killed': 8, 'redis way': 4, 'redis frozen': 2, clients: 3 }, pauseMsMax: 2_000 },
  // What the bridge holds when it ends is what could be lost, and what AWS brings again what could stand twice.
  {
    name: 'bridge',
    stores: ['aws-iot'],
    weights: { kill: 5, power: 2, 'AWS cuts': 6, 'AWS vices': 6, clients: 2 },
    pauseMsMax: 1_500,
    downMsMax: 500,
    restMsMax: 2_000,
  },
  { name: 'everything', stores: ['level', 'aws-iot', ...clusters], weights: usual, pauseMsMax: 3_500 },
]

export function themeOf(name: string): Theme {
  const found = themes.find((theme) => theme.name === name)
  if (!found) throw new Error(`no theme is called ${name}: there are ${themes.map((theme) => theme.name).join(', ')}`)
  return found
}
