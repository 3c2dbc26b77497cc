/** `tidemark serve`: runs the server until a signal ends it. */
import closeWithGrace from 'close-with-grace'
import type { Command } from 'commander'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'
import { createLogger } from '../logger.ts'
import { startServer } from '../server.ts'
import { readyLine, welcome } from '../welcome.ts'

export function define(command: Command): void {
  addConfigFlags(command)
  command.action(serve)
}

async function serve(flags: Record<string, unknown>): Promise<void> {
  const { config } = configOfFlags(flags)
  const logger = createLogger(config.logLevel)
  const server = await startServer(config, { logger })
  // Each part has had its time by then; what is left is a handle that nobody waits for.
  const delay = config.limits.stopTimeoutMs + 1_000
  closeWithGrace({ delay, logger }, async ({ err, signal }) => {
    if (err) logger.error({ err }, 'an error that nobody caught: stopping')
    else logger.info({ signal }, 'stopping')
    await server.stop()
    logger.info({}, 'stopped')
  })
  process.stdout.write(`${welcome(server)}\n${readyLine(server)}\n`)
}
