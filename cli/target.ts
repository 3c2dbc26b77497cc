/** Which server a client command talks to, and with which token. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadDevelopmentKey, mintDevelopmentToken } from '../auth/development.ts'
import { SyncError } from '../protocol/errors.ts'
import { addressesOf } from './addresses.ts'
import { addConfigFlags, configOfFlags } from './config-flags.ts'
import type { Config } from './config.ts'
import { UsageError } from './usage-error.ts'

export interface Target {
  readonly url: string
  /** A token for the next connection; in development mode a fresh one each time. */
  token(): Promise<string>
}

/** The options that every client command has. */
export function addTargetOptions(command: Command, door: 'mqtt' | 'http'): void {
  const forms = door === 'mqtt' ? 'mqtt, mqtts, ws or wss' : 'http or https'
  command
    .option('--url <URL>', `the server, ${forms}; default: as configured here`)
    .option('--token <TOKEN>', 'who you are (TIDEMARK_TOKEN)')
    .option('--user <NAME>', 'in development mode, the user to be when there is no token', 'dev')
  addConfigFlags(command, ['data', 'audience', 'host', door === 'mqtt' ? 'mqttPort' : 'httpPort'])
}

export function targetOf(options: Readonly<Record<string, unknown>>, door: 'mqtt' | 'http'): Target {
  const { config } = configOfFlags(options)
  const given = options['token'] ?? process.env['TIDEMARK_TOKEN']
  const user = String(options['user'])
  return {
    url: urlOf(options['url'], config, door),
    token: () => (typeof given === 'string' && given !== '' ? Promise.resolve(given) : developmentToken(config, user)),
  }
}

function urlOf(given: unknown, config: Config, door: 'mqtt' | 'http'): string {
  const schemes = door === 'mqtt' ? /^(mqtts?|wss?):$/ : /^https?:$/
  if (typeof given === 'string') {
    if (!URL.canParse(given) || !schemes.test(new URL(given).protocol)) throw new UsageError(`--url ${given} is no ${door} URL`)
    // A WebSocket URL without a path means the only one there is [P-7.21].
    const url = new URL(given)
    return url.protocol.startsWith('ws') && url.pathname === '/' ? new URL('/mqtt', url).href : given.replace(/\/$/, '')
  }
  const addresses = addressesOf(config, { mqtt: config.mqttPort, http: config.httpPort, mqtts: undefined })
  return door === 'mqtt' ? addresses.publicMqttUrl : addresses.publicHttpUrl
}

async function developmentToken({ data, audience, issuers }: Config, name: string): Promise<string> {
  if (issuers.length > 0) throw new SyncError('unauthorized', 'a token is needed: give it with --token or TIDEMARK_TOKEN')
  // Looked for first: a client in the wrong folder must not leave a key there.
  if (!existsSync(join(data, 'dev-key'))) {
    throw new SyncError(
      'unauthorized',
      `there is no development key in ${data}: name the server's data folder with --data, or give a token with --token or TIDEMARK_TOKEN`,
    )
  }
  return mintDevelopmentToken({ key: await loadDevelopmentKey(data), audience, name })
}
