/**
 * Proves or refutes the promises from a record alone. It shares nothing with the product: neither code nor what the product
 * believes of itself.
 */
import type { Event } from '../record.ts'
import { conditions } from './conditions.ts'
import { acknowledgedOnce, foundByEveryDoor } from './entries.ts'
import { exactlyOnce } from './exactly-once.ts'
import { factsOf, type Facts } from './facts.ts'
import { liveOnly } from './live.ts'
import { contiguous, publishersOrder, realTimeOrder } from './order.ts'
import { type Finding, Notes, type Promised, type Verdict } from './promise.ts'
import { syncReaders } from './readers.ts'
import { relayed } from './relayed.ts'
import { grantsKept, replacedKept, revocationsKept, withdrawalsKept } from './rights.ts'
import { plainSessions } from './sessions.ts'
import { statements } from './statements.ts'
import { takenStands } from './taken.ts'
import { willsOnce } from './wills.ts'

export const promises: readonly Promised[] = [
  { name: 'the run came to its end, and nobody waits for anything', perMinute: 0, check: settled },
  { name: 'what was acknowledged stands exactly once, where it was told', perMinute: 100, aws: 100, check: acknowledgedOnce },
  { name: 'replay and history of every node show the whole log', perMinute: 100, aws: 100, check: foundByEveryDoor },
  { name: 'seqs are contiguous, of one epoch, and every door shows the same', perMinute: 300, aws: 300, check: contiguous },
  { name: 'entries of one connection stand in its order', perMinute: 60, aws: 60, check: publishersOrder },
  { name: 'what stood before a publish has the lower seq', perMinute: 100, aws: 100, check: realTimeOrder },
  { name: 'conditions were judged at the very head', perMinute: 5, aws: 5, check: conditions },
  { name: 'heads, states and refused positions were true when they were told', perMinute: 30, aws: 30, check: statements },
  { name: 'sync readers miss nothing, or are reset', perMinute: 300, aws: 300, check: syncReaders },
  { name: 'plain sessions miss nothing, and repeats are marked', perMinute: 100, check: plainSessions },
  { name: 'QoS 0 is shown live, in order, and never logged', perMinute: 20, aws: 20, check: liveOnly },
  { name: 'nothing is written or read without a grant', perMinute: 0.5, check: grantsKept },
  { name: 'the revoked get nothing after the deadline', perMinute: 0.5, check: revocationsKept },
  { name: 'the replaced get nothing after the deadline', perMinute: 0.5, check: replacedKept },
  { name: 'the withdrawn get nothing behind their withdrawal', perMinute: 0.5, check: withdrawalsKept },
  { name: 'what stands in an outbox stands in the inbox', perMinute: 3, aws: 3, check: relayed },
  { name: 'wills are published once', perMinute: 1, check: willsOnce },
  { name: 'QoS 2 stands exactly once', perMinute: 3, check: exactlyOnce },
  { name: 'what AWS IoT Core has taken stands in the log', perMinute: 0, aws: 60, check: takenStands },
]

/** What one record says. */
export function check(record: readonly Event[]): Verdict[] {
  const facts = factsOf(record)
  const { minutes = 1, store } = facts.run ?? {}
  // Of a log that nobody has read again only that can be said.
  const isWhole = facts.settled?.early !== true
  return promises.map(({ name, perMinute, aws = 0, check: examine }) => {
    const { examined, violations } = isWhole || examine === settled ? examine(facts) : { examined: 0, violations: [] }
    return { name, examined, wanted: isWhole ? (store === 'aws-iot' ? aws : perMinute) * minutes : 0, violations }
  })
}

/** Of several records together. Too little is as good as nothing: what was hardly looked at is not proved. */
export function judge(records: readonly (readonly Verdict[])[]): Verdict[] {
  return togetherOf(records).map((verdict) => {
    const { examined, wanted, violations } = verdict
    const tooLittle = examined < wanted ? [`only ${examined} of at least ${Math.ceil(wanted)} were examined: this proves nothing`] : []
    return { ...verdict, violations: [...violations, ...tooLittle] }
  })
}

/** Whether several records together have shown enough of everything. */
export function isEnough(records: readonly (readonly Verdict[])[]): boolean {
  return records.length > 0 && togetherOf(records).every(({ examined, wanted }) => examined >= wanted)
}

function togetherOf(records: readonly (readonly Verdict[])[]): Verdict[] {
  return promises.map(({ name }, index) => {
    const each = records.map((verdicts) => verdicts[index]).filter((verdict) => verdict !== undefined)
    const sum = (number: (verdict: Verdict) => number): number => each.reduce((total, verdict) => total + number(verdict), 0)
    const [examined, wanted] = [sum((verdict) => verdict.examined), sum((verdict) => verdict.wanted)]
    const violations = each.flatMap((verdict) => verdict.violations)
    return { name, examined, wanted, violations }
  })
}

function settled(facts: Facts): Finding {
  const notes = new Notes()
  notes.expect(facts.settled !== undefined, () => 'the run did not come to its end')
  for (const missing of facts.settled?.missing ?? []) notes.expect(false, () => `waited in vain for ${missing}`)
  return notes
}
