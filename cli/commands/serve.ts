/** `tidemark serve`: runs the server until a signal ends it. */
import type { Command } from 'commander'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { createLogger } from '../logger.ts'
import { startServer } from '../server.ts'
import { stopOnSignals } from '../signals.ts'
import { readyLine, welcome } from '../welcome.ts'

export function define(command: Command): void {
  addConfigFlags(command)
  command.action(serve)
}

async function serve(flags: Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(flags)
  const logger = createLogger(config.logLevel)
  const server = await startServer(config, { logger })
  // Each part has had its time by then.
  stopOnSignals({ logger, timeoutMs: config.limits.stopTimeoutMs + 1_000, stop: () => server.stop() })
  process.stdout.write(`${welcome(server)}\n${readyLine(server)}\n`)
}
