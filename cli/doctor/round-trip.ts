/** One entry there and back: put, and read on every door; then its topic is deleted again. */
import { randomUUID } from 'node:crypto'
import { getFromStream } from '../http-client.ts'
import type { MqttSession } from '../mqtt-session.ts'
import type { Target } from '../target.ts'
import { askHttp } from './http-checks.ts'
import { Trouble, type Found } from './report.ts'
import type { Place } from './token-checks.ts'
import { stepTimeoutMs } from './unreachable.ts'

export async function checkRoundTrip(session: MqttSession, target: Target, place: Place): Promise<Found<undefined>> {
  const stream = place.granted.split('/', 2).join('/')
  const below = place.granted.slice(stream.length + 1)
  const { head } = JSON.parse(await getFromStream(target, stream, 'entries', { limit: '0' })) as { head: string }
  const messages = new Messages(session)
  await messages.subscribe(`reply/${session.clientId}/+`)
  await messages.subscribe(`sync@${head}/${place.granted}`)
  const events = await EventsAt.open(target, `${place.granted}@${head}`)
  try {
    const beganMs = Date.now()
    const id = `doctor-${randomUUID()}`
    const { pos } = await messages.put(place.topic, { id, data: { doctor: id }, retain: true, if: 'none' })
    const tookMs = Date.now() - beganMs
    try {
      const isIt = (json: Json): boolean => json['pos'] === pos && json['id'] === id
      await messages.until((topic, json) => topic.startsWith('sync@') && isIt(json), 'what was put does not come on the sync door')
      for (const [route, query] of [
        ['entries', { after: head, topic: below, limit: '1000' }],
        ['state', { topic: below }],
      ] as const) {
        const { entries } = JSON.parse(await getFromStream(target, stream, route, query)) as { entries: Json[] }
        if (!entries.some(isIt))
          throw new Trouble(`what was put does not stand in ${route} over HTTP`, 'is --url another server than the one of MQTT?')
      }
      await events.until(`"id":"${id}"`)
    } finally {
      await messages.put(place.topic, { id: `${id}-end`, retain: true })
    }
    return { said: `put at ${pos} in ${tookMs} ms; read by sync@, history, state and events`, value: undefined }
  } finally {
    events.close()
  }
}

type Json = Readonly<Record<string, unknown>>

/** What the session hears, as JSON. */
class Messages {
  readonly #session: MqttSession
  readonly #heard: { readonly topic: string; readonly json: Json }[] = []
  #look: () => void = () => {}

  constructor(session: MqttSession) {
    this.#session = session
    session.client.on('message', (topic, payload) => {
      this.#heard.push({ topic, json: JSON.parse(payload.toString()) as Json })
      this.#look()
    })
  }

  async subscribe(filter: string): Promise<void> {
    // A refused filter rejects.
    const granted = await this.#session.client.subscribeAsync(filter, { qos: 1 }).catch(() => [])
    if (granted[0]?.qos === undefined || granted[0].qos > 2) {
      throw new Trouble(`the server refuses the filter ${filter}`, 'look at its log: it names the reason')
    }
  }

  async put(
    topic: string,
    put: { readonly id: string; readonly data?: unknown; readonly retain: boolean; readonly if?: string },
  ): Promise<{ pos: string }> {
    const answered = this.until((heard) => heard === `reply/${this.#session.clientId}/${put.id}`, 'a put is not answered')
    this.#session.client.publish(`put/${topic}`, JSON.stringify(put), { qos: 1 }, () => {}) // What counts is the answer.
    const { pos, error } = await answered
    if (error === 'conflict') throw new Trouble(`${topic} holds something already`, 'choose a topic of nobody with --topic')
    if (typeof pos !== 'string')
      throw new Trouble(`a put to ${topic} is refused: ${String(error)}`, 'docs/PROTOCOL.md chapter 12 says what the code means')
    return { pos }
  }

  async until(matches: (topic: string, json: Json) => boolean, otherwise: string): Promise<Json> {
    const found = (): Json | undefined => this.#heard.find(({ topic, json }) => matches(topic, json))?.json
    const heard = new Promise<Json>((resolve) => {
      this.#look = () => {
        const json = found()
        if (json) resolve(json)
      }
      this.#look()
    })
    const lost = this.#session.closed.then((): never => {
      throw new Trouble('the server closed the connection instead of answering', 'look at its log: it names the reason')
    })
    return await Promise.race([heard, lost, late(otherwise)])
  }
}

/** An event stream, looked at as text. */
class EventsAt {
  readonly #abort: AbortController
  readonly #body: ReadableStream<Uint8Array>

  static async open(target: Target, from: string): Promise<EventsAt> {
    const abort = new AbortController()
    const headers = { authorization: `Bearer ${await target.token()}` }
    const response = await askHttp(`${target.url}/v1/events?from=${encodeURIComponent(from)}`, { headers, signal: abort.signal })
    if (response.status !== 200 || !response.body)
      throw new Trouble(`/v1/events answers ${response.status}`, 'let the proxy in front pass the path on')
    return new EventsAt(abort, response.body)
  }

  private constructor(abort: AbortController, body: ReadableStream<Uint8Array>) {
    this.#abort = abort
    this.#body = body
  }

  async until(text: string): Promise<void> {
    await Promise.race([
      this.#read(text),
      late('what was put does not come as an event: something on the way holds answers back until they are whole'),
    ])
  }

  close(): void {
    this.#abort.abort()
  }

  async #read(text: string): Promise<void> {
    let all = ''
    for await (const chunk of this.#body) {
      all += Buffer.from(chunk).toString('latin1')
      if (all.includes(text)) return
    }
    throw new Trouble(
      'the event stream ended before what was put came',
      'look at the log of the server, and at time-outs of what stands in between',
    )
  }
}

function late(what: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    const after = `within ${stepTimeoutMs / 1_000} s`
    setTimeout(
      () => reject(new Trouble(`${what} (${after})`, 'look at the log of the server, and at what stands in between')),
      stepTimeoutMs,
    ).unref()
  })
}
