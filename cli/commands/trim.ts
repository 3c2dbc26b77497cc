/** `tidemark trim STREAM`: works on the store itself; on a data folder while no server does. */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { checkPosition, firstPosition } from '../../log/history.ts'
import { Log } from '../../log/log.ts'
import type { Stream } from '../../log/stream.ts'
import { SyncError } from '../../protocol/errors.ts'
import { parsePosition } from '../../protocol/positions.ts'
import { streamName } from '../../protocol/topics.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { createLogger } from '../logger.ts'
import { openStore, storeFolder } from '../store.ts'
import { UsageError } from '../usage-error.ts'

export function define(command: Command): void {
  command
    .argument('<STREAM>', 'the stream, like users/alice')
    .requiredOption('--before <POSITION|SEQ>', 'the stream then begins at this entry; those before it are deleted')
  addConfigFlags(command, ['data', 'store'])
  command.action(trim)
}

async function trim(name: string, options: { before: string } & Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(options)
  checkStream(name)
  if (config.store === 'memory:') throw new UsageError('a store in memory cannot be trimmed from here')
  const folder = storeFolder(config)
  // Opening would make an empty store.
  if (folder !== undefined && !existsSync(folder))
    throw new SyncError('store-unavailable', `there is no store in ${folder}; name the data folder with --data`)
  const logger = createLogger('warn')
  const log = await Log.open({ store: openStore(config, logger), limits: config.limits, logger })
  try {
    const stream = await log.stream(name)
    const before = await seqOf(log, stream, options.before)
    await log.trim(name, before)
    process.stdout.write(`${name} begins at ${await firstPosition(log, stream)}\n`)
  } finally {
    await log.close()
  }
}

function checkStream(name: string): void {
  const levels = name.split('/')
  if (name === 'open/-') return
  if (levels.length !== 2) throw new UsageError(`${name} is no stream; it has two levels, like users/alice`)
  streamName(levels, 'bad-request', name)
}

async function seqOf(log: Log, stream: Stream, text: string): Promise<number> {
  const { name, headSeq } = stream
  if (headSeq === 0) throw new SyncError('not-found', `${name} has no entries`)
  if (/^\d{1,15}$/.test(text)) {
    if (Number(text) > headSeq + 1) throw new SyncError('ahead', `${name} ends at ${headSeq}: there is nothing before ${text} beyond that`)
    return Number(text)
  }
  const position = parsePosition(text)
  const unservable = await checkPosition(log, stream, position)
  if (unservable && unservable.reason !== 'trimmed') {
    const { reason, first, head } = unservable
    throw new SyncError(reason, `${text} is no position of ${name} (${reason}): it begins at ${first} and ends at ${head}`)
  }
  return position.seq
}
