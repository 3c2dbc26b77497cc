/** `tidemark state STREAM`: the last retained entry per topic, over HTTP [P-11.30]. */
import type { Command } from 'commander'
import { entryLine } from '../entry-lines.ts'
import { getFromStream } from '../http-client.ts'
import { rawElements, rawMembers } from '../raw-json.ts'
import { addTargetOptions, targetOf } from '../target.ts'

interface StateOptions {
  readonly topic?: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .argument('<STREAM>', 'the stream, like users/alice')
    .option('--topic <FILTER>', 'only topics that match, below the stream')
    .option('--json', 'print envelopes')
  addTargetOptions(command, 'http')
  command.action(state)
}

async function state(stream: string, options: StateOptions & Record<string, unknown>): Promise<void> {
  const target = targetOf(options, 'http')
  const { topic, json = false } = options
  let after: string | undefined
  for (;;) {
    const page = await getFromStream(target, stream, 'state', { topic, after, limit: '1000' })
    const { next, upToDate } = JSON.parse(page) as { next: string; upToDate: boolean }
    for (const entry of rawElements(rawMembers(page).get('entries') ?? '[]')) process.stdout.write(`${json ? entry : entryLine(entry)}\n`)
    if (upToDate) return
    after = next
  }
}
