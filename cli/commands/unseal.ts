/** `tidemark unseal`: lets the store that a copy was made of serve again, as it was when it was copied. */
import type { Command } from 'commander'
import { unseal as unsealStore } from '../../log/seal.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { createLogger } from '../logger.ts'
import { openStore, publicName } from '../store.ts'
import { UsageError } from '../usage-error.ts'

export function define(command: Command): void {
  addConfigFlags(command, ['data', 'store'])
  command.action(unseal)
}

async function unseal(options: Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(options)
  if (config.store === 'memory:') throw new UsageError('a store in memory has no seal')
  const name = publicName(config)
  const store = openStore(config, createLogger('warn'))
  await store.open({ existing: true })
  try {
    const said = (await unsealStore(store.documents)) ? 'may be served again; what was written to its copy is not in it' : 'has no seal'
    process.stdout.write(`${name} ${said}\n`)
  } finally {
    await store.close()
  }
}
