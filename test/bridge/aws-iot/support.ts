/** What the tests of the bridge to AWS IoT Core share: devices that put, and what the log has. */
import type { MqttClient } from 'mqtt'
import type { AwsWorld, Admitted } from '../../support/aws/world.ts'
import type { TestServer } from '../../support/server.ts'
import { Inbox } from '../../support/waiting.ts'

export interface Received {
  readonly topic: string
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
  readonly qos: number
}

const spaces = { b: 'own' } as const

/** One user's client at AWS, with everything that it receives. */
export class Device {
  readonly inbox = new Inbox<Received>()
  readonly admitted: Admitted
  readonly client: MqttClient

  static async open(world: AwsWorld, server: TestServer, user: string, scope = ''): Promise<Device> {
    const token = await server.token(user, { spaces })
    const admitted = await world.admitted(server.urls.http, token, 'phone', scope)
    return new Device(admitted, await world.device(admitted))
  }

  private constructor(admitted: Admitted, client: MqttClient) {
    this.admitted = admitted
    this.client = client
    client.on('message', (topic, payload, { qos }) => {
      const text = payload.toString()
      this.inbox.add({ topic, text, json: text.startsWith('{') ? (JSON.parse(text) as Received['json']) : {}, qos })
    })
  }

  async subscribe(...filters: string[]): Promise<void> {
    await this.client.subscribeAsync(
      filters.map((filter) => `acme/${filter}`),
      { qos: 1 },
    )
  }

  hearReplies(): Promise<void> {
    return this.subscribe(`reply/${this.admitted.client_id}/#`)
  }

  /** Sends the put; does not wait for its answer. */
  async put(topic: string, put: object, token: string | undefined = this.admitted.access_token): Promise<void> {
    await this.client.publishAsync(`acme/put/${topic}`, JSON.stringify({ ...put, ...(token === '' ? {} : { token }) }), { qos: 1 })
  }

  async answer(id: string): Promise<Received['json']> {
    return (await this.next(`reply/${this.admitted.client_id}/${id}`)).json
  }

  next(topic: string): Promise<Received> {
    return this.inbox.take((one) => one.topic === `acme/${topic}`, topic)
  }
}

export interface LoggedEntry {
  readonly pos: string
  readonly id: string
  readonly from: string
  readonly client: string
  readonly topic: string
  readonly data?: unknown
  readonly text?: string
}

/** What stands in the stream. */
export async function entriesOf(server: TestServer, stream: string, user = 'alice'): Promise<LoggedEntry[]> {
  const token = await server.token(user, { spaces })
  const answer = await fetch(`${server.urls.http}/v1/streams/${stream}/entries?limit=1000`, {
    headers: { authorization: `Bearer ${token}` },
  })
  if (answer.status !== 200) throw new Error(await answer.text())
  return ((await answer.json()) as { entries: LoggedEntry[] }).entries
}

/** Resolves when the log of this server has so many entries in the stream. */
export function appended(server: TestServer, name: string, seq: number): Promise<void> {
  const { log } = server.running
  return new Promise((resolve, reject) => {
    const look = (): void => {
      log.stream(name).then((stream) => {
        if (stream.headSeq < seq) return
        stop()
        resolve()
      }, reject)
    }
    const stop = log.observe(look)
    look()
  })
}
