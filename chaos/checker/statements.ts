/** Statements about heads, states and positions were true at some moment between request and answer [P-2.18, P-11.24]. */
import type { GoneEvent, OpenEvent, PageEvent } from '../record.ts'
import type { Facts, StreamLog } from './facts.ts'
import { seqOf } from './positions.ts'
import { Notes, type Finding } from './promise.ts'
import { checkSlice, isSlice } from './slices.ts'

/** Where a statement is made: what the head may have been, from the question to the answer. */
interface Range {
  readonly low: number
  readonly high: number
}

export function statements(facts: Facts): Finding {
  const notes = new Notes()
  const opened = new Map<number, OpenEvent & { heard?: boolean }>()
  for (const event of facts.record) {
    if (event.k === 'page' || event.k === 'gone') {
      const told = event.k === 'page' ? [event.next, event.head, event.first] : [event.head, event.first]
      for (const position of told) checkPosition(notes, facts.log(event.stream), position, event.t)
    }
    if (event.k === 'open') opened.set(event.sub, { ...event })
    else if (event.k === 'page') (event.state === true ? checkState : checkPage)(notes, facts.log(event.stream), event)
    else if (event.k === 'gone') checkGone(notes, facts, event)
    else if (event.k === 'ctl') {
      const open = opened.get(event.sub)
      if (open?.stream === undefined) continue
      const log = facts.log(open.stream)
      for (const told of [event.pos, event.head, event.first]) checkPosition(notes, log, told, event.t)
      const { ctl, pos, head, reason, t } = event
      if (ctl === 'at') {
        const at = seqOf(head)
        // Only the first one answers a request.
        const low = open.heard === true ? 0 : log.lowest(open.t)
        notes.expect(within(at, { low, high: log.highest(t) }), () => says(`${log.name}: \`at\` for ${open.reader}`, at, log, open.t, t))
        notes.expect(seqOf(pos) <= at, () => `${log.name}: \`at\` with pos ${pos} beyond its head ${head}`)
        open.heard = true
      }
      if (ctl === 'reset') checkReason(notes, facts, log, { reason: reason ?? '', position: open.from ?? '', call: open.t, t })
    }
  }
  return notes
}

/** Every position that is told is that of the entry with its seq. */
function checkPosition(notes: Notes, log: StreamLog, told: string | undefined, t: number): void {
  if (told === undefined || told === '') return
  const seq = seqOf(told)
  const entry = log.entries.get(seq)
  const isTrue = seq === 0 ? told.endsWith('.0.0000') : entry?.pos === told
  notes.expect(isTrue, () => `${log.name}: the position ${told} was told at ${t}, and seq ${seq} has ${entry?.pos}`)
}

function checkPage(notes: Notes, log: StreamLog, page: PageEvent): void {
  const head = seqOf(page.head)
  const range = rangeOf(log, page)
  notes.expect(within(head, range), () => says(`${log.name}: a page of node ${page.node}`, head, log, page.call, page.t))
  if (isSlice(page)) return checkSlice(notes, log, page, range.low)
  const seqs = page.entries.map(([pos]) => seqOf(pos))
  const next = seqOf(page.next)
  if (seqs.length > 0) {
    const after = page.after === undefined || page.after === 'earliest' ? (seqs[0] ?? 0) - 1 : seqOf(page.after)
    notes.expect(
      seqs.every((seq, index) => seq === after + 1 + index) && next === seqs.at(-1),
      () =>
        `${log.name}: the page after ${page.after} of node ${page.node} at ${page.t} holds ${seqs[0]} to ${seqs.at(-1)} of ${seqs.length}`,
    )
  }
  if (page.upToDate)
    notes.expect(
      next >= range.low,
      () => `${log.name}: up to date at ${next}, when seq ${range.low} stood, node ${page.node} at ${page.call}`,
    )
}

function checkState(notes: Notes, log: StreamLog, page: PageEvent): void {
  const at = seqOf(page.head)
  notes.expect(within(at, rangeOf(log, page)), () => says(`${log.name}: a state of node ${page.node}`, at, log, page.call, page.t))
  const wanted = log.state(at).map(({ pos }) => pos)
  const found = page.entries.map(([pos]) => pos)
  notes.expect(!page.upToDate || wanted.join(' ') === found.join(' '), () => {
    const missing = wanted.filter((pos) => !found.includes(pos))
    const wrong = found.filter((pos) => !wanted.includes(pos))
    return `${log.name}: the state at ${at} of node ${page.node} at ${page.t} lacks ${missing.join(' ') || 'nothing'} and has wrongly ${wrong.join(' ') || 'nothing'}`
  })
}

function checkGone(notes: Notes, facts: Facts, gone: GoneEvent): void {
  checkReason(notes, facts, facts.log(gone.stream), { reason: gone.reason, position: gone.after, call: gone.call, t: gone.t })
}

function checkReason(
  notes: Notes,
  facts: Facts,
  log: StreamLog,
  { reason, position, call, t }: { readonly reason: string; readonly position: string; readonly call: number; readonly t: number },
): void {
  const asked = seqOf(position)
  const stood = log.lowest(call)
  if (reason === 'ahead') notes.expect(asked > stood, () => `${log.name}: ${position} was called ahead at ${t}, when seq ${stood} stood`)
  else if (reason === 'trimmed') {
    const first = Math.max(0, ...facts.trims.filter((trim) => trim.stream === log.name && trim.t <= t).map((trim) => trim.first))
    notes.expect(first > 0, () => `${log.name}: ${position} was called trimmed at ${t}, and nothing was`)
  } else notes.expect(false, () => `${log.name}: ${position} was refused at ${t} as ${reason}; all positions here are true ones`)
}

function rangeOf(log: StreamLog, { call, t }: { readonly call: number; readonly t: number }): Range {
  return { low: log.lowest(call), high: log.highest(t) }
}

function within(seq: number, { low, high }: Range): boolean {
  return seq >= low && seq <= high
}

function says(what: string, head: number, log: StreamLog, call: number, t: number): string {
  return `${what} says that ${head} is the head at ${t}; it was ${log.lowest(call)} to ${log.highest(t)} since ${call}`
}
