/** Conditional publishes: those that succeeded were right, and so were the conflicts [P-9.12 to P-9.16, P-2.18]. */
import type { Facts, Message, StreamLog } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function conditions(facts: Facts): Finding {
  const notes = new Notes()
  const winners = new Map<string, number>()
  const isAtAws = facts.run?.store === 'aws-iot'
  for (const message of facts.messages.values()) {
    const { m, sent, refused } = message
    if (sent.if === undefined) continue
    const log = facts.log(sent.stream)
    const [place] = facts.placesOf(m)
    if (place) {
      const before = log.retained(sent.topic, place.seq - 1)
      const holds = sent.if === 'none' ? before === null : before?.pos === sent.if
      notes.expect(holds, () => `message ${m} at ${place.pos} had the condition ${sent.if}, and ${before?.pos ?? 'nothing'} stood there`)
      if (sent.if === 'none') continue
      const other = winners.get(`${sent.topic} ${sent.if}`)
      notes.expect(other === undefined, () => `messages ${other} and ${m} succeeded with the same condition ${sent.if} on ${sent.topic}`)
      winners.set(`${sent.topic} ${sent.if}`, m)
    }
    for (const { code, current, t, conn } of refused) {
      if (code !== 'conflict') continue
      // At AWS the answer to an earlier attempt may come on a later connection.
      const asked = isAtAws ? sent : message.attempts.find((attempt) => attempt.conn === conn)
      const call = asked?.t ?? sent.t
      notes.expect(wasRight(log, message, current ?? null, call, t), () => {
        const range = `${log.lowest(call)} to ${log.highest(t)}`
        return `message ${m} was refused at ${t} with current ${current ?? null}, which held at no head of ${range} (condition ${sent.if} on ${sent.topic})`
      })
    }
  }
  return notes
}

/** The answer held at some head between call and return, and the condition did not. */
function wasRight(log: StreamLog, { sent }: Message, current: string | null, call: number, t: number): boolean {
  if (current === (sent.if === 'none' ? null : sent.if)) return false
  for (let seq = log.lowest(call); seq <= log.highest(t); seq++) {
    if ((log.retained(sent.topic, seq)?.pos ?? null) === current) return true
  }
  return false
}
