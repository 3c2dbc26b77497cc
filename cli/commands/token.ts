/** `tidemark token NAME`: a development token, alone on stdout [P-10.27]. */
import type { Command } from 'commander'
import { loadDevelopmentKey, mintDevelopmentToken } from '../../auth/development.ts'
import { SyncError } from '../../protocol/errors.ts'
import { addConfigFlags, collect, configOfFlags } from '../config-flags.ts'
import { parseDurationMs } from '../durations.ts'
import { UsageError } from '../usage-error.ts'

interface TokenOptions {
  readonly space?: readonly string[]
  readonly ttl: string
  readonly grant?: readonly string[]
  readonly tap?: boolean
}

export function define(command: Command): void {
  command
    .argument('<NAME>', 'the user')
    .option('--space <ID=LEVEL>', 'the space, with read, write or own; may be given several times', collect)
    .option('--ttl <TIME>', 'how long the token lives, like 90s, 15m, 1h or 1d; at most 1d', '1h')
    .option('--grant <GRANT>', 'one more grant, like publish:spaces/board-7/# or ops:revoke; may be given several times', collect)
    .option('--tap', 'may subscribe across streams, as in users/#')
  addConfigFlags(command, ['data', 'audience'])
  command.action(async (name: string, options: TokenOptions & Record<string, unknown>) => {
    const { config } = configOfFlags(options)
    if (config.issuers.length > 0) {
      const names = config.issuers.map(({ issuer }) => issuer).join(', ')
      throw new SyncError('forbidden', `development tokens are refused where issuers are configured; get a token from ${names}`)
    }
    const { space, grant: grants = [], tap = false } = options
    const spaces = space ? { spaces: spacesOf(space) } : {}
    const ttlMs = parseDurationMs('--ttl', options.ttl)
    const key = await loadDevelopmentKey(config.data)
    process.stdout.write(`${await mintDevelopmentToken({ key, audience: config.audience, name, ttlMs, ...spaces, grants, tap })}\n`)
  })
}

type Level = 'read' | 'write' | 'own'

function spacesOf(given: readonly string[]): Record<string, Level> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.lastIndexOf('=')
      const level = text.slice(at + 1)
      if (at < 1 || !isLevel(level)) throw new UsageError(`--space ${text}: write it as ID=read, ID=write or ID=own`)
      return [text.slice(0, at), level] as const
    }),
  )
}

function isLevel(text: string): text is Level {
  return text === 'read' || text === 'write' || text === 'own'
}
