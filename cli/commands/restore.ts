/** `tidemark restore FILE`: fills an empty store from a backup. */
import { createReadStream } from 'node:fs'
import type { Command } from 'commander'
import { BackupReader } from '../../log/backup.ts'
import { restoreInto } from '../../log/restore.ts'
import { SyncError } from '../../protocol/errors.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { interruptible } from '../interruptible.ts'
import { createLogger } from '../logger.ts'
import { openStore, publicName } from '../store.ts'
import { UsageError } from '../usage-error.ts'
import { countsLine, WorkProgress } from '../work-progress.ts'

export function define(command: Command): void {
  command.argument('<FILE>', 'the backup, or - for standard input').option('--check', 'only read it to its end and say whether it is whole')
  addConfigFlags(command, ['data', 'store'])
  command.action(restore)
}

async function restore(file: string, options: { check?: boolean } & Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(options)
  if (config.store === 'memory:') throw new UsageError('a store in memory cannot be restored into')
  const progress = new WorkProgress()
  await interruptible(async (signal) => {
    // What comes from a pipe cannot be read twice.
    if (options.check === true || file !== '-') await check(file, progress, signal)
    if (options.check === true) return
    const store = openStore(config, createLogger('warn'))
    const name = publicName(config)
    const backup = readerOf(file)
    const { epoch: before } = await backup.header()
    try {
      const epoch = await restoreInto(store, backup, { name, signal, told: (counts) => progress.at('restoring', counts) })
      progress.clear()
      process.stdout.write(`restored ${countsLine(backup.counts)} into ${name}; its epoch is ${epoch}, that of the backup was ${before}\n`)
    } finally {
      await store.close()
    }
  }).finally(() => progress.clear())
}

async function check(file: string, progress: WorkProgress, signal: AbortSignal): Promise<void> {
  const backup = readerOf(file)
  const { at, epoch } = await backup.header()
  const items = backup.items()
  for (let next = await items.next(); !next.done; next = await items.next()) {
    signal.throwIfAborted()
    progress.at('checking', backup.counts)
  }
  progress.clear()
  process.stdout.write(`${file} is whole: ${countsLine(backup.counts)}, of ${new Date(at).toISOString()}, epoch ${epoch}\n`)
}

function readerOf(file: string): BackupReader {
  return new BackupReader(file === '-' ? process.stdin : readFile(file))
}

async function* readFile(file: string): AsyncGenerator<Buffer> {
  try {
    for await (const piece of createReadStream(file, { highWaterMark: 1024 * 1024 })) yield piece as Buffer
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw code === undefined ? error : new SyncError('bad-request', `${file} cannot be read: ${message}`, {}, error)
  }
}
