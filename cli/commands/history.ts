/** `tidemark history STREAM`: entries over HTTP, page by page [P-11.2]. */
import type { Command } from 'commander'
import { entryLine } from '../entry-lines.ts'
import { getFromStream } from '../http-client.ts'
import { rawElements, rawMembers } from '../raw-json.ts'
import { addTargetOptions, targetOf } from '../target.ts'
import { UsageError } from '../usage-error.ts'

interface HistoryOptions {
  readonly after?: string
  readonly before?: string
  readonly since?: string
  readonly until?: string
  readonly topic?: string
  readonly reverse?: boolean
  readonly limit?: string
  readonly all?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .argument('<STREAM>', 'the stream, like users/alice')
    .option('--after <POSITION>', 'entries after this position; default from the beginning')
    .option('--before <POSITION>', 'entries before this position')
    .option('--since <TIME>', 'entries not older than this: ms since 1970 or an ISO date')
    .option('--until <TIME>', 'entries older than this: ms since 1970 or an ISO date')
    .option('--topic <FILTER>', 'only topics that match, below the stream')
    .option('--reverse', 'newest first')
    .option('--limit <COUNT>', 'at most so many, at most one page; default 100')
    .option('--all', 'page by page until there are no more')
    .option('--json', 'print envelopes')
  addTargetOptions(command, 'http')
  command.action(history)
}

async function history(stream: string, options: HistoryOptions & Record<string, unknown>): Promise<void> {
  const target = targetOf(options, 'http')
  const { after, before, topic, reverse, limit, all = false, json = false } = options
  const fixed = {
    topic,
    limit: limit ?? (all ? '1000' : undefined),
    since: timeOf('--since', options.since),
    until: timeOf('--until', options.until),
  }
  let place = { after, before }
  for (;;) {
    const page = await getFromStream(target, stream, 'entries', { ...fixed, ...place, reverse: reverse ? 'true' : undefined })
    const { next, upToDate } = JSON.parse(page) as { next: string; upToDate: boolean }
    for (const entry of rawElements(rawMembers(page).get('entries') ?? '[]')) process.stdout.write(`${json ? entry : entryLine(entry)}\n`)
    if (!all || upToDate) return
    place = reverse ? { after, before: next } : { after: next, before }
  }
}

function timeOf(option: string, text: string | undefined): string | undefined {
  if (text === undefined || /^\d+$/.test(text)) return text
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new UsageError(`${option} ${text} is no time; write ms since 1970 or a date like 2026-11-21T09:00:00Z`)
  return String(ms)
}
