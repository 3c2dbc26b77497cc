/** The log of a stream as clients see it: replayed over MQTT, paged over HTTP. */
import { MqttClient, acknowledge } from './mqtt.ts'
import { within } from './waiting.ts'

export interface SeenEntry {
  readonly pos: string
  readonly seq: number
  readonly text: string
}

export interface Place {
  readonly ports: { readonly mqtt: number; readonly http: number }
  readonly token: string
  readonly stream: string
}

interface Envelope {
  readonly pos: string
  readonly text?: string
  readonly data?: unknown
}

/** Everything after a position (or `earliest`) up to the head, through the sync door. Rejects with the reason of a `reset`. */
export async function replay({ ports, token, stream }: Place, after: string, timeoutMs = 30_000): Promise<SeenEntry[]> {
  const seen: SeenEntry[] = []
  const filter = `sync@${after}/${stream}/#`
  let caughtUp: () => void
  let failed: (error: Error) => void
  const done = new Promise<void>((resolve, reject) => {
    caughtUp = resolve
    failed = reject
  })
  done.catch(() => {}) // It may fail before anybody waits for it.
  const client = await MqttClient.open({
    port: ports.mqtt,
    token,
    clientId: `reader-${Math.random().toString(36).slice(2)}`,
    clean: true,
    received(packet, from) {
      if (packet.cmd !== 'publish') return
      acknowledge(packet, from)
      const message = JSON.parse(packet.payload.toString()) as Envelope & { ctl?: string; head?: string; reason?: string }
      if (message.ctl === 'at') {
        if (message.pos === message.head) caughtUp()
      } else if (message.ctl === 'reset') failed(new Error(`reset: ${message.reason}`))
      else seen.push(entryOf(message))
    },
  })
  void client.closed.then(() => failed(new Error(`the connection ended before ${filter} had caught up, at ${seen.length} entries`)))
  try {
    await client.subscribe(filter)
    await within(timeoutMs, `${filter} to catch up`, done)
  } finally {
    await client.destroy()
  }
  return seen
}

/** The same over HTTP. Rejects with the code of a refusal. */
export async function pages({ ports, token, stream }: Place, after: string): Promise<SeenEntry[]> {
  const seen: SeenEntry[] = []
  for (let next = after; ;) {
    const url = `http://127.0.0.1:${ports.http}/v1/streams/${stream}/entries?after=${next}&limit=1000`
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(20_000) })
    const page = (await response.json()) as { entries: Envelope[]; next: string; upToDate: boolean; code?: string; detail?: string }
    if (!response.ok) throw new Error(`${response.status} ${page.code}: ${page.detail}`)
    seen.push(...page.entries.map(entryOf))
    if (page.upToDate) return seen
    next = page.next
  }
}

function entryOf({ pos, text, data }: Envelope): SeenEntry {
  return { pos, seq: Number(pos.split('.')[1]), text: text ?? String(data) }
}
