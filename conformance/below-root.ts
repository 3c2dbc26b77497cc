/** Packets as AWS IoT Core has them: topics stand behind the root, and a put brings the token of its client [P-20.1, P-20.3]. */
import type { Packet } from 'mqtt-packet'

/** What token exchange gives a client. */
export interface Admission {
  readonly url: string
  /** As in CONNECT. */
  readonly clientId: string
  /** As in reply topics and entries. */
  readonly client: string
  readonly root: string
  readonly token: string
}

export function outward(packet: Packet, { root, token }: Admission): Packet {
  if (packet.cmd === 'publish') {
    const payload = packet.topic.startsWith('put/') ? withToken(packet.payload, token) : packet.payload
    return { ...packet, topic: `${root}/${packet.topic}`, payload }
  }
  if (packet.cmd === 'subscribe')
    return { ...packet, subscriptions: packet.subscriptions.map((one) => ({ ...one, topic: behind(root, one.topic) })) }
  if (packet.cmd === 'unsubscribe') return { ...packet, unsubscriptions: packet.unsubscriptions.map((filter) => behind(root, filter)) }
  if (packet.cmd === 'connect' && packet.will) return { ...packet, will: { ...packet.will, topic: `${root}/${packet.will.topic}` } }
  return packet
}

/** What AWS has by itself, such as `$share`, stands before the root. */
function behind(root: string, filter: string): string {
  const [, share = '', rest = filter] = /^(\$share\/[^/]+\/)(.+)$/.exec(filter) ?? []
  return rest.startsWith('$') ? filter : `${share}${root}/${rest}`
}

/** An array of envelopes as so many messages [P-20.9]. */
export function inward(packet: Packet, { root }: Admission): readonly Packet[] {
  if (packet.cmd !== 'publish' || !packet.topic.startsWith(`${root}/`)) return [packet]
  const below = { ...packet, topic: packet.topic.slice(root.length + 1) }
  if (!below.topic.startsWith('sync/')) return [below]
  const json = parsed(packet.payload.toString())
  return Array.isArray(json) ? json.map((envelope) => ({ ...below, payload: JSON.stringify(envelope) })) : [below]
}

/** What is no JSON object, or has a token already, goes as it is. */
function withToken(payload: string | Buffer, token: string): string | Buffer {
  const json = parsed(payload.toString())
  if (typeof json !== 'object' || json === null || Array.isArray(json) || 'token' in json) return payload
  return JSON.stringify({ ...json, token })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
