/** `tidemark copy`: moves a site from the embedded store to another one, with its epoch and all positions. */
import type { Command } from 'commander'
import { copyStore } from '../../log/copy.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import type { Config } from '../config.ts'
import { withoutPassword } from '../config-values.ts'
import { interruptible } from '../interruptible.ts'
import { createLogger } from '../logger.ts'
import { openStore, publicName, storeFolder } from '../store.ts'
import { UsageError } from '../usage-error.ts'
import { countsLine, WorkProgress } from '../work-progress.ts'

interface CopyFlags {
  readonly from: string
  readonly to: string
}

export function define(command: Command): void {
  command
    .requiredOption('--from <STORE>', 'the store to move, as the setting store names it; its server must be stopped')
    .requiredOption('--to <STORE>', 'a new store, named in the same way')
  addConfigFlags(command, ['data'])
  command.action(copy)
}

async function copy({ from, to, ...flags }: CopyFlags & Record<string, unknown>): Promise<void> {
  const configs = [from, to].map((store) => configOfFlags({ ...flags, store }).config) as [Config, Config]
  const [fromName, toName] = [publicName(configs[0]), withoutPassword(to)]
  if (from === 'memory:' || to === 'memory:') throw new UsageError('a store in memory cannot be copied')
  // Nobody can see from here that the servers on a shared store are all stopped.
  if (storeFolder(configs[0]) === undefined) throw new UsageError(`--from ${fromName}: only an embedded store can be copied`)
  if (publicName(configs[0]) === publicName(configs[1])) throw new UsageError('--from and --to name the same store')
  const logger = createLogger('warn')
  const [source, target] = configs.map((config) => openStore(config, logger)) as [
    ReturnType<typeof openStore>,
    ReturnType<typeof openStore>,
  ]
  const progress = new WorkProgress()
  try {
    const counts = await interruptible((signal) =>
      copyStore(source, target, { fromName, toName, signal, told: (step, seen) => progress.at(step, seen) }),
    )
    progress.clear()
    process.stdout.write(`copied ${countsLine(counts)}, compared, and sealed ${fromName}; start the server with --store ${toName}\n`)
  } finally {
    progress.clear()
    await Promise.all([source.close(), target.close()])
  }
}
