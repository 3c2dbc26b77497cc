/** From the setting `hints` to the way between nodes, and what the operator should know of it. */
import type { RedisHints } from '../hints/redis.ts'
import type { Log } from '../log/log.ts'
import { noHints, type Hints } from '../seams/hints.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import type { Config } from './config.ts'

/** Undefined where none are configured. The library is loaded here. */
export async function openHints(parts: { config: Config; logger: Logger; metrics: Telemetry }): Promise<RedisHints | undefined> {
  const { config, logger, metrics: telemetry } = parts
  const { hints: url, hintsPrefix: prefix, limits } = config
  if (url === undefined) return undefined
  const { RedisHints } = await import('../hints/redis.ts')
  return new RedisHints({ url, prefix, limits, logger, telemetry })
}

export function sayHowNodesMeet({ log, hints, logger }: { log: Log; hints: Hints; logger: Logger }): void {
  const { headPollMs } = log.limits
  if (log.shared && hints === noHints) {
    logger.warn(
      { headPollMs },
      'other nodes may serve this store, and no hints are configured: what they append is seen within headPollMs, and QoS 0 messages stay on their node',
    )
  }
  if (!log.shared && hints !== noHints) logger.warn({}, 'hints are configured, and the store is for one node alone: nobody will hear them')
}
