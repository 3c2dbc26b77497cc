/** `tidemark bench`: puts a running server under load and tells how it fared. */
import type { Command } from 'commander'
import { runLoad } from '../../bench/load/load.ts'
import { defaultLoad, type LoadResult } from '../../bench/load/options.ts'
import type { Credentials } from '../../bench/load/packets.ts'
import { brokerTokenType } from '../../auth/tokens.ts'
import { SyncError } from '../../protocol/errors.ts'
import { encodeUid } from '../../protocol/names.ts'
import { configOfFlags } from '../config-flags.ts'
import { addTargetOptions, targetOf } from '../target.ts'
import { UsageError } from '../usage-error.ts'

type BenchOptions = Readonly<Record<string, unknown>>

export function define(command: Command): void {
  command
    .option('--ws', 'over WebSocket')
    .option('--http-port <PORT>', 'with --ws and without --url: the HTTP port (default 8080; TIDEMARK_HTTP_PORT)')
    .option('--publishers <N>', 'each writes to a topic of its own', '4')
    .option('--subscribers <N>', 'for each publisher', '1')
    .option('--window <N>', 'messages of a publisher that wait for their PUBACK', '64')
    .option('--rate <N>', 'messages a second in all; 0: as many as the window allows', '0')
    .option('--seconds <N>', 'that count, after 1.5 s of warm-up', '10')
    .option('--size <BYTES>', 'of a payload, at least 16', '100')
    .option('--qos <QOS>', '0 or 1', '1')
    .option('--persistent', 'subscribers with clean=0 sessions, which are removed at the end')
    .option('--processes <N>', 'of the load generator', '1')
    .option('--json', 'print the result as JSON')
  addTargetOptions(command, 'mqtt')
  command.action(bench)
}

async function bench(options: BenchOptions): Promise<void> {
  const url = urlOf(options)
  const publishers = numberOf(options, 'publishers', 1)
  const result = await runLoad({
    ...defaultLoad,
    ...(await usersOf(options, publishers)),
    url,
    publishers,
    subscribers: numberOf(options, 'subscribers', 0),
    window: numberOf(options, 'window', 1),
    ratePerSecond: numberOf(options, 'rate', 0),
    countMs: numberOf(options, 'seconds', 1) * 1000,
    sizeBytes: numberOf(options, 'size', 16),
    qos: qosOf(options),
    clean: options['persistent'] !== true,
    processes: numberOf(options, 'processes', 1),
  }).catch((error: unknown) => {
    throw new SyncError('store-unavailable', `${url}: ${error instanceof Error ? error.message : String(error)}`, {}, error)
  })
  process.stdout.write(options['json'] === true ? `${JSON.stringify(result)}\n` : table(result))
  // At QoS 0 what is missing may have been dropped for a reader that was behind [P-3.2].
  const missing = result.qos === 0 ? 0 : result.gaps + result.undelivered
  if (missing + result.duplicates + result.reordered > 0) throw new SyncError('internal', 'messages were lost, doubled or out of order')
}

function urlOf(options: BenchOptions): string {
  const target = new URL(targetOf(options, 'mqtt').url)
  if (options['url'] === undefined && options['ws'] === true) {
    return `ws://${target.host.replace(/:\d+$/, '')}:${configOfFlags(options).config.httpPort}/mqtt`
  }
  if (target.protocol !== 'mqtt:' && target.protocol !== 'ws:') throw new UsageError(`--url ${target.href}: the load goes over mqtt or ws`)
  if (options['ws'] === true && target.protocol !== 'ws:')
    throw new UsageError(`--ws with --url ${target.href}: write the URL as ws://HOST:PORT/mqtt`)
  return target.href
}

/** In development mode each publisher is a user of its own; otherwise all are the one of the token. */
async function usersOf(options: BenchOptions, publishers: number): Promise<{ topic: string; credentials: Credentials[] }> {
  const token = options['token'] ?? process.env['TIDEMARK_TOKEN']
  if (typeof token === 'string' && token !== '') {
    return { topic: `users/${uidOf(token, options)}/bench/{n}`, credentials: [{ user: 'bench', password: token }] }
  }
  const mint = async (number: number): Promise<Credentials> => {
    const user = `bench-${number}`
    return { user, password: await targetOf({ ...options, user }, 'mqtt').token() }
  }
  const credentials = await Promise.all(Array.from({ length: publishers }, (_, number) => mint(number)))
  return { topic: 'users/bench-{n}/bench', credentials }
}

/** As the server will see it, which verifies what is only read here. */
function uidOf(token: string, options: BenchOptions): string {
  const [header, claims] = token.split('.').slice(0, 2).map(parsed)
  const sub = claims?.['sub']
  if (typeof sub !== 'string') throw new UsageError('the token is no JWT with a sub')
  if (header?.['typ'] === brokerTokenType) return sub
  const { issuers } = configOfFlags(options).config
  return encodeUid(sub, issuers.find(({ issuer }) => issuer === claims?.['iss'])?.prefix)
}

function parsed(part: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
  } catch {
    return {}
  }
}

function numberOf(options: BenchOptions, name: string, least: number): number {
  const text = String(options[name])
  if (!/^\d{1,9}$/.test(text) || Number(text) < least) throw new UsageError(`--${name} ${text}: write a whole number from ${least} on`)
  return Number(text)
}

function qosOf(options: BenchOptions): 0 | 1 {
  const text = String(options['qos'])
  if (text !== '0' && text !== '1') throw new UsageError(`--qos ${text}: write 0 or 1`)
  return text === '1' ? 1 : 0
}

function table(result: LoadResult): string {
  const { publishers, subscribers, qos, sizeBytes, window, ratePerSecond, seconds, latencyMs, ackMs, generator } = result
  const pace = ratePerSecond > 0 ? `${ratePerSecond} msg/s` : `window ${window}`
  const perSecond = (rate: number): string => rate.toLocaleString('en')
  const busy = generator.bottleneck ? '; it was the bottleneck: the server may be faster' : ''
  const rows: readonly (readonly [string, string])[] = [
    ['load', `${publishers} publishers × ${subscribers} subscribers, QoS ${qos}, ${sizeBytes} B, ${pace}, ${seconds} s`],
    ['sent/s', perSecond(result.sentPerSecond)],
    ['acknowledged/s', perSecond(result.ackedPerSecond)],
    ['delivered/s', perSecond(result.deliveredPerSecond)],
    ['publish to receipt', latencyText(latencyMs)],
    ['publish to PUBACK', latencyText(ackMs)],
    ['gaps', String(result.gaps)],
    ['duplicates', String(result.duplicates)],
    ['reordered', String(result.reordered)],
    ['undelivered', String(result.undelivered)],
    ['unacknowledged', String(result.unacknowledged)],
    ['generator', `${Math.round(generator.cpuShare * 100)} % of a core${busy}`],
  ]
  return rows.map(([name, value]) => `${name.padEnd(20)}${value}\n`).join('')
}

function latencyText({ count, p50, p99, p999, max }: LoadResult['latencyMs']): string {
  return count === 0 ? '–' : `p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms, max ${max} ms`
}
