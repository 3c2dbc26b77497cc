/** `tidemark backup FILE`: everything that a store holds, in one file, as it is at this moment. */
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { writeBackup } from '../../log/backup.ts'
import { Tally } from '../../log/contents-code.ts'
import { SyncError } from '../../protocol/errors.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { interruptible } from '../interruptible.ts'
import { withReadingStore } from '../reading-store.ts'
import { UsageError } from '../usage-error.ts'
import { countsLine, WorkProgress } from '../work-progress.ts'

export function define(command: Command): void {
  command.argument('<FILE>', 'the file to make, or - for standard output; it holds signing keys: keep it as safe as the store')
  addConfigFlags(command, ['data', 'store'])
  command.action(backup)
}

async function backup(file: string, options: Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(options)
  if (file === '-' && process.stdout.isTTY) throw new UsageError('a backup is no text: name a file, or send standard output to one')
  if (file !== '-' && existsSync(file)) throw new SyncError('bad-request', `${file} is there already; name another file, or remove it`)
  const progress = new WorkProgress()
  const tally = new Tally()
  await interruptible((signal) =>
    withReadingStore(config, async ({ store, epoch }) => {
      const pieces = writeBackup(store, { epoch, at: Date.now() }, tally)
      const watched = watch(pieces, () => {
        signal.throwIfAborted()
        progress.at('backing up', tally.counts)
      })
      await (file === '-' ? toStdout(watched) : toFile(file, watched))
    }),
  ).finally(() => progress.clear())
  process.stderr.write(`backed up ${countsLine(tally.counts)}\n`)
}

async function* watch(pieces: AsyncIterable<Buffer>, seen: () => void): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    seen()
    yield piece
  }
}

/** The file has its name only once it is whole and on disk. */
async function toFile(file: string, pieces: AsyncIterable<Buffer>): Promise<void> {
  const partial = `${file}.partial`
  const handle = await open(partial, 'w', 0o600)
  try {
    for await (const piece of pieces) await handle.writeFile(piece)
    await handle.sync()
    await handle.close()
    await rename(partial, file)
  } catch (error) {
    await handle.close()
    await rm(partial, { force: true })
    throw error
  }
  const folder = await open(dirname(file), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function toStdout(pieces: AsyncIterable<Buffer>): Promise<void> {
  // Whoever reads it may go away in the middle: that is no success.
  process.exitCode = 1
  for await (const piece of pieces) {
    await new Promise<void>((resolve, reject) => void process.stdout.write(piece, (error) => (error ? reject(error) : resolve())))
  }
}
