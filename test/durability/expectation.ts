/** What the world had been told at a moment of a recording. */
import type { Recording } from './recorder/recording.ts'

export interface Expectation {
  epoch: string | undefined
  /** Marks of the acknowledged entries by stream; the first is that of seq 1. */
  readonly marks: Map<string, string[]>
  /** Where streams begin: as acknowledged, and as asked for. */
  readonly trimmed: Map<string, { acknowledged: number; asked: number }>
  /** How often documents were changed: as acknowledged, and as asked for. */
  readonly changes: Map<string, { acknowledged: number; asked: number }>
}

export function expectationAt({ events }: Recording, at: number): Expectation {
  const expected: Expectation = { epoch: undefined, marks: new Map(), trimmed: new Map(), changes: new Map() }
  for (const event of events) {
    if (event.at > at) break
    if (event.kind !== 'told') continue
    const [verb, name = '', number = '', mark = ''] = event.words
    const value = Number(number)
    if (verb === 'epoch') expected.epoch ??= name
    else if (verb === 'entry') placeIn(expected.marks, name, () => [])[value - 1] = mark
    else if (verb === 'trim')
      raise(
        placeIn(expected.trimmed, name, () => ({ acknowledged: 1, asked: 1 })),
        'asked',
        value,
      )
    else if (verb === 'trimmed')
      raise(
        placeIn(expected.trimmed, name, () => ({ acknowledged: 1, asked: 1 })),
        'acknowledged',
        value,
      )
    else if (verb === 'storing') placeIn(expected.changes, name, () => ({ acknowledged: 0, asked: 0 })).asked = value
    else if (verb === 'stored') placeIn(expected.changes, name, () => ({ acknowledged: 0, asked: 0 })).acknowledged = value
  }
  return expected
}

/** A stream never begins earlier than it did: trimming to what was trimmed already changes nothing. */
function raise<Name extends string>(place: Record<Name, number>, name: Name, value: number): void {
  place[name] = Math.max(place[name], value)
}

function placeIn<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}
