/** Puts that a broker would close the connection for, and every later one that tries again. */
import type { Credential } from './transport.ts'

/** Why a put to the stream's topic cannot be sent; `wire` is the topic as it is sent. Undefined where it can. */
export function refusalOf(
  { packetBytesMax, topicBytesMax, topicLevelsMax }: Credential,
  topic: string,
  wire: string,
  payload: string,
): { readonly error: string; readonly reason: string } | undefined {
  if (wire.split('/').length > topicLevelsMax || isLonger(wire, topicBytesMax) || /[+#\0\p{Surrogate}]/u.test(topic)) {
    return { error: 'bad-topic', reason: 'a topic that is too long or has characters that no topic may have' }
  }
  return isLonger(payload, packetBytesMax) ? { error: 'payload-too-large', reason: `more than ${packetBytesMax} bytes as JSON` } : undefined
}

function isLonger(text: string, bytesMax: number): boolean {
  // No character takes more than three bytes.
  return text.length * 3 > bytesMax && new TextEncoder().encode(text).length > bytesMax
}
