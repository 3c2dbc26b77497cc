/** `hint-listener.ts URL LISTENERS`: nodes that hear every hint and follow none of the streams. Answers with what it cost so far. */
import { RedisHints } from '../../../hints/redis.ts'
import { defaultLimits } from '../../../seams/limits.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { noTelemetry } from '../../../seams/telemetry.ts'
import { waitUntil } from './waiting.ts'

export interface HintsHeard {
  readonly hints: number
  readonly cpuMicros: number
}

/** What a node holds in memory: none of it is what the hints name. */
const streams = new Map(Array.from({ length: 10_000 }, (_, at) => [`users/other-${at}`, { headSeq: at }]))
const [url = '', count = '1'] = process.argv.slice(2)
let hints = 0

const listeners = Array.from({ length: Number(count) }, () => {
  const listener = new RedisHints({ url, prefix: 'scale', limits: defaultLimits, logger: silentLogger, telemetry: noTelemetry })
  listener.listen((hint) => {
    hints++
    if (hint.type === 'head' && (streams.get(hint.stream)?.headSeq ?? 0) > hint.seq) throw new Error('nobody follows it')
  })
  listener.start('measured')
  return listener
})
await waitUntil(() => listeners.every(({ connected }) => connected), 'the listeners to connect')
process.on('message', answer)
process.on('disconnect', () => process.exit())
answer()

function answer(): void {
  const { user, system } = process.cpuUsage()
  process.send?.({ hints, cpuMicros: user + system } satisfies HintsHeard)
}
