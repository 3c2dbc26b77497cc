/** What the preload library wrote down, and what the program was doing at each event. See recorder.c for the format. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export type DiskEvent = { readonly at: number } & (
  | { readonly kind: 'create'; readonly inode: string; readonly path: string }
  | { readonly kind: 'unlink'; readonly inode: string; readonly path: string }
  | { readonly kind: 'mkdir'; readonly path: string }
  | { readonly kind: 'rename'; readonly inode: string; readonly path: string; readonly to: string }
  | { readonly kind: 'write' | 'truncate'; readonly inode: string; readonly size: number }
  | { readonly kind: 'sync'; readonly inode: string; readonly size: number; readonly since: number }
  | { readonly kind: 'sync-directory'; readonly path: string; readonly since: number }
  | { readonly kind: 'told'; readonly words: readonly string[] }
  | { readonly kind: 'failed'; readonly inode: string }
)

/** What the store was doing: one moment may belong to several. `steady` is none of the others. */
export const phases = ['first opening', 'reopening', 'log roll', 'flush', 'compaction', 'snapshot', 'trimming', 'steady'] as const
export type Phase = (typeof phases)[number]

export class Recording {
  readonly events: readonly DiskEvent[]
  readonly side: string

  /** Throws where the library saw something that it cannot follow, or missed an event. */
  constructor(side: string) {
    this.side = side
    const lines = readFileSync(join(side, 'events'), 'utf8').split('\n').slice(0, -1)
    this.events = lines.map(parse)
    this.events.forEach(({ at }, index) => {
      if (at !== index + 1) throw new Error(`the record has event ${at} at line ${index + 1}`)
    })
  }

  /** For each event, what the store was doing right after it. */
  phases(): Set<Phase>[] {
    const found = this.events.map(() => new Set<Phase>())
    const mark = (phase: Phase, from: number, to: number): void => {
      for (let index = from; index <= to; index++) found[index]?.add(phase)
    }
    this.#markTold(mark)
    this.#markRolls(found, mark)
    this.#markTables(found, mark)
    for (const set of found) if (set.size === 0) set.add('steady')
    return found
  }

  /** The program itself says what it begins and what has ended. */
  #markTold(mark: Mark): void {
    const begun = new Map<string, number>()
    this.events.forEach((event, index) => {
      if (event.kind !== 'told') return
      const [verb, ...rest] = event.words
      const phase = rest.join(' ')
      if (verb === 'begin') begun.set(phase, index)
      const from = begun.get(phase)
      if (verb !== 'end' || from === undefined) return
      mark(phase as Phase, from, index - 1)
      begun.delete(phase)
    })
  }

  /** From the new log file to the sync of its folder: the first entries behind a roll are acknowledged at the end of it. */
  #markRolls(found: readonly Set<Phase>[], mark: Mark): void {
    let rolledAt: number | undefined
    this.events.forEach((event, index) => {
      if (event.kind === 'create' && event.path.endsWith('.log') && !opening(found[index])) rolledAt = index
      if (event.kind !== 'sync-directory' || rolledAt === undefined || event.since <= rolledAt) return
      mark('log roll', rolledAt, index)
      rolledAt = undefined
    })
  }

  /** From the first table of a job to its last unlink. A compaction unlinks tables, a flush a log. */
  #markTables(found: readonly Set<Phase>[], mark: Mark): void {
    let from: number | undefined
    let to: number | undefined
    let compaction = false
    const close = (): void => {
      if (from !== undefined && to !== undefined) mark(compaction ? 'compaction' : 'flush', from, to)
      from = to = undefined
      compaction = false
    }
    this.events.forEach((event, index) => {
      if (opening(found[index])) return close()
      if (event.kind === 'create' && event.path.endsWith('.ldb')) {
        if (to !== undefined) close()
        from ??= index
      }
      if (event.kind !== 'unlink' || !/\.(?:ldb|log)$/.test(event.path)) return
      to = index
      if (event.path.endsWith('.ldb')) compaction = true
    })
    close()
  }
}

function opening(found: ReadonlySet<Phase> | undefined): boolean {
  return found?.has('first opening') === true || found?.has('reopening') === true
}

type Mark = (phase: Phase, from: number, to: number) => void

function parse(line: string): DiskEvent {
  const [number = '', letter = '', one = '', two = '', three = ''] = line.split('\t')
  const at = Number(number)
  switch (letter) {
    case 'C':
      return { at, kind: 'create', inode: one, path: two }
    case 'U':
      return { at, kind: 'unlink', inode: one, path: two }
    case 'M':
      return { at, kind: 'mkdir', path: one }
    case 'R':
      return { at, kind: 'rename', inode: one, path: two, to: three }
    case 'W':
      return { at, kind: 'write', inode: one, size: Number(two) }
    case 'T':
      return { at, kind: 'truncate', inode: one, size: Number(two) }
    case 'S':
      return { at, kind: 'sync', inode: one, size: Number(two), since: Number(three) }
    case 'D':
      return { at, kind: 'sync-directory', path: one, since: Number(two) }
    case 'A':
      return { at, kind: 'told', words: one.split(' ') }
    case 'E':
      return { at, kind: 'failed', inode: one }
    default:
      throw new Error(`the program did what the recorder cannot follow: ${line}`)
  }
}
