/** Pages backwards and pages of a time: neither too much nor too little [P-11.16, P-11.17, P-11.23, P-11.24]. */
import type { PageEvent } from '../record.ts'
import type { StreamLog } from './facts.ts'
import { seqOf } from './positions.ts'
import type { Notes } from './promise.ts'

export function isSlice({ reverse, since }: PageEvent): boolean {
  return reverse === true || since !== undefined
}

/** `stood`: the head was at least that when the page was asked for. */
export function checkSlice(notes: Notes, log: StreamLog, page: PageEvent, stood: number): void {
  const seqs = page.entries.map(([pos]) => seqOf(pos))
  const step = page.reverse === true ? -1 : 1
  const isRow = seqs.every((seq, index) => index === 0 || seq === (seqs[index - 1] ?? 0) + step)
  const says = (wrong: string): string =>
    `${log.name}: a page of node ${page.node} at ${page.t}, ${asked(page)}, holds ${seqs[0]} to ${seqs.at(-1)} of ${seqs.length}: ${wrong}`
  notes.expect(isRow, () => says('it is not contiguous'))
  if (page.reverse === true) checkBackwards(notes, page, seqs, says)
  else checkTimes(notes, log, page, { seqs, stood, says })
}

function checkBackwards(notes: Notes, page: PageEvent, seqs: readonly number[], says: (wrong: string) => string): void {
  const newest = page.before === undefined ? seqOf(page.head) : seqOf(page.before) - 1
  const isEmpty = newest < Math.max(1, seqOf(page.first))
  notes.expect(seqs.length === 0 ? isEmpty : seqs[0] === newest, () => says(`it does not begin with ${newest}`))
  const oldest = seqs.at(-1) ?? newest
  notes.expect(!page.upToDate || isEmpty || oldest <= seqOf(page.first), () => says(`it ends before the first one, ${page.first}`))
}

interface Times {
  readonly seqs: readonly number[]
  readonly stood: number
  readonly says: (wrong: string) => string
}

function checkTimes(notes: Notes, log: StreamLog, page: PageEvent, { seqs, stood, says }: Times): void {
  const { since = 0, until = Infinity } = page
  for (const [pos, , ts] of page.entries) notes.expect(ts >= since && ts < until, () => says(`${pos} is of ${ts}`))
  const [first] = seqs
  const before = first === undefined ? undefined : log.entries.get(first - 1)
  const isReadable = before !== undefined && before.seq >= seqOf(page.first)
  notes.expect(!isReadable || before.ts < since, () => says(`seq ${before?.seq} of ${before?.ts} is missing`))
  if (!page.upToDate) return
  // Times never fall along the log: what is left out of a page that is complete follows it at once.
  for (let seq = (seqs.at(-1) ?? seqOf(page.first) - 1) + 1; seq <= stood; seq++) {
    const { ts } = log.entries.get(seq) ?? { ts: 0 }
    if (ts < since) continue
    notes.expect(ts >= until, () => says(`seq ${seq} of ${ts} is missing`))
    return
  }
}

function asked({ reverse, before, since, until }: PageEvent): string {
  return reverse === true ? `backwards from ${before ?? 'the head'}` : `of ${since} to ${until ?? 'now'}`
}
