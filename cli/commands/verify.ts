/** `tidemark verify`: walks a store and tells what is wrong with it. */
import type { Command } from 'commander'
import { sessionPlaces } from '../../broker/session-places.ts'
import { verifyStore } from '../../log/verify.ts'
import { SyncError } from '../../protocol/errors.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { interruptible } from '../interruptible.ts'
import { withReadingStore } from '../reading-store.ts'
import { WorkProgress } from '../work-progress.ts'

export function define(command: Command): void {
  addConfigFlags(command, ['data', 'store'])
  command.action(verify)
}

async function verify(options: Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(options)
  const progress = new WorkProgress()
  const { name, epoch, counts, findings } = await interruptible((signal) =>
    withReadingStore(config, async ({ store, ...reading }) => {
      const told = (seen: object): void => progress.at('verifying', seen)
      return { ...reading, ...(await verifyStore(store, { limits: config.limits, placesIn: sessionPlaces, told, signal })) }
    }),
  ).finally(() => progress.clear())
  const rows = Object.entries({ store: name, epoch, ...counts }).map(([what, value]) => `${what.padEnd(12)}${value.toLocaleString('en')}\n`)
  process.stdout.write(rows.join(''))
  for (const finding of findings) process.stdout.write(`- ${finding}\n`)
  if (findings.length < counts.findings) process.stdout.write(`- and ${counts.findings - findings.length} more\n`)
  if (counts.findings > 0) throw new SyncError('store-unavailable', `${name} is damaged`)
}
