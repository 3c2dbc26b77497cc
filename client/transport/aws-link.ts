/** One MQTT connection to AWS IoT Core by mqtt.js, which is loaded when the first one is opened [P-20.13]. */
import type { MqttClient } from 'mqtt'
import { asClientError, ClientError } from '../errors.ts'
import type { Surroundings } from '../request.ts'
import { loadMqtt } from './mqtt-js.ts'
import type { AwsCredential, Credential } from './transport.ts'

/** AWS closes for more. */
export const filtersPerPacketMax = 8

export interface AwsLinkEvents {
  message(topic: string, payload: string): void
  /** It is over, once, unless it was closed here. */
  closed(): void
}

export class AwsLink {
  readonly #client: MqttClient
  /** Rejects when it is over. */
  readonly #over: Promise<never>
  #endAll: (error: ClientError) => void = () => {}
  #isOver = false

  /** Resolves at CONNACK. Rejects with `network`: what AWS refuses looks like what cannot be reached. */
  static async open(
    surroundings: Surroundings,
    { mqttUrl }: Credential,
    { clientId }: AwsCredential,
    events: AwsLinkEvents,
    signal: AbortSignal,
  ): Promise<AwsLink> {
    const connectMqtt = await loadMqtt()
    if (signal.aborted) throw asClientError(signal.reason, 'closed')
    const client = connectMqtt(mqttUrl, {
      clientId,
      connectTimeout: surroundings.bounds.openTimeoutMs,
    })
    const link = new AwsLink(client, events)
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => link.close())
      client.on('error', (error) => reject(new ClientError('network', error.message, {}, error)))
      client.on('close', () => {
        reject(new ClientError('network', `${new URL(mqttUrl).origin} cannot be reached, or lets nobody in with this URL`))
        link.#lost(events)
      })
      client.once('connect', () => resolve(link))
    })
  }

  private constructor(client: MqttClient, events: AwsLinkEvents) {
    this.#client = client
    this.#over = new Promise((_resolve, reject) => (this.#endAll = reject))
    this.#over.catch(() => {}) // Told to who waits.
    const text = new TextDecoder()
    client.on('message', (topic, payload) => {
      if (!this.#isOver) events.message(topic, text.decode(payload))
    })
  }

  /** Whether each was granted. Rejects with `network` where the connection is over instead. At most eight filters. */
  subscribe(filters: readonly string[], qos: 0 | 1): Promise<readonly boolean[]> {
    const answered = new Promise<readonly boolean[]>((resolve) => {
      this.#client.subscribe([...filters], { qos }, (_error, _granted, suback) => {
        const codes: readonly unknown[] = suback?.granted ?? []
        if (!this.#isOver) resolve(filters.map((_, at) => codes[at] === 0 || codes[at] === 1))
      })
    })
    return Promise.race([answered, this.#over])
  }

  unsubscribe(filters: readonly string[]): void {
    for (let at = 0; at < filters.length; at += filtersPerPacketMax) this.#client.unsubscribe(filters.slice(at, at + filtersPerPacketMax))
  }

  publish(topic: string, payload: string): void {
    // What is never acknowledged is noticed by who waits for the answer.
    this.#client.publish(topic, payload, { qos: 1 }, () => {})
  }

  close(): void {
    this.#isOver = true
    this.#client.end(true)
    this.#endAll(new ClientError('network', 'the MQTT connection was closed'))
  }

  #lost(events: AwsLinkEvents): void {
    if (this.#isOver) return
    this.close()
    events.closed()
  }
}
