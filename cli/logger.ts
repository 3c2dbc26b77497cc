/** Logs: JSON lines on stderr, without tokens [P-10.29]. */
import { destination, pino, type Logger } from 'pino'
import type { Config } from './config.ts'

/** Three parts of base64url of which the first is a JSON object: a JWT, wherever it stands. */
const jwt = /eyJ[\w-]+\.[\w-]+(\.[\w-]*)?/g

export function createLogger(level: Config['logLevel'], write: { write(line: string): void } = destination(2)): Logger {
  const serializers = { err: pino.stdSerializers.err, error: pino.stdSerializers.err }
  const redact = {
    paths: ['token', 'password', 'authorization', '*.token', '*.password', '*.authorization', '*.headers.authorization'],
    censor: '[token]',
  }
  return pino({ level, serializers, redact, hooks: { streamWrite: withoutTokens } }, write)
}

/** The last line of defence: names that were not foreseen, and texts that quote a request. */
export function withoutTokens(text: string): string {
  return text.includes('eyJ') ? text.replaceAll(jwt, '[token]') : text
}
