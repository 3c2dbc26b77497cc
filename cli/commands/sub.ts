/** `tidemark sub FILTER`: follows a stream over the sync door, one line per entry. */
import type { Command } from 'commander'
import { parsePosition } from '../../protocol/positions.ts'
import { entryLine } from '../entry-lines.ts'
import { Follower } from '../follower.ts'
import { PlaceFile } from '../place-file.ts'
import { Progress } from '../progress.ts'
import { addTargetOptions, targetOf } from '../target.ts'
import { UsageError } from '../usage-error.ts'

interface SubOptions {
  readonly from: string
  readonly resume?: string
  readonly count?: string
  readonly json?: boolean
  readonly progress?: boolean
}

export function define(command: Command): void {
  command
    .argument('<FILTER>', 'a filter of one stream, like users/alice/#')
    .option('--from <PLACE>', 'where to begin: now, earliest, snapshot (the state, then what follows) or a position', 'now')
    .option('--resume <FILE>', 'begin at the position in this file, if it exists, and keep it there')
    .option('-C, --count <COUNT>', 'end after so many entries')
    .option('--json', 'print envelopes')
    .option('--progress', 'say on stderr how far catching up is; default on a terminal')
  addTargetOptions(command, 'mqtt')
  command.action(sub)
}

async function sub(filter: string, options: SubOptions & Record<string, unknown>): Promise<void> {
  const { json = false } = options
  const file = options.resume === undefined ? undefined : new PlaceFile(options.resume)
  const from = file?.read() ?? placeOf(options.from)
  const progress = options.progress || process.stderr.isTTY ? new Progress() : undefined
  let left = countOf(options.count)
  const follower = new Follower(targetOf(options, 'mqtt'), filter, from, {
    entry(text, pos) {
      progress?.clear()
      process.stdout.write(`${json ? text : entryLine(text)}\n`)
      if (pos !== undefined) {
        file?.moved(pos)
        progress?.seen(pos)
      }
      if (--left === 0) follower.stop()
    },
    at(pos, head) {
      file?.moved(pos)
      progress?.at(pos, head)
    },
    snapshot: (pos) => say(`the state at ${pos} follows`),
    lost: (place) => say(`the connection is lost; going on from ${place}`),
  })
  const say = (text: string): void => {
    progress?.clear()
    process.stderr.write(`tidemark: ${text}\n`)
  }
  const stop = (): void => follower.stop()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    await follower.run()
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    file?.save()
  }
}

function placeOf(from: string): string {
  if (from === 'now' || from === 'earliest' || from === 'snapshot') return from
  try {
    parsePosition(from)
  } catch {
    throw new UsageError(`--from ${from}: write now, earliest, snapshot or a position`)
  }
  return from
}

function countOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new UsageError(`--count ${text}: write a whole number from 1 on`)
  return Number(text)
}
