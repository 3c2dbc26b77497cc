/** What AWS's documents leave open (docs/AWS.md, "Open questions"), as tests that can be asked of an account, and of the stand-in to see that they can be asked. */
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import type { GatedStore } from '../support/gated-store.ts'
import type { TestServer, TokenOptions } from '../support/server.ts'
import { within } from '../support/waiting.ts'
import { appended, entriesOf } from '../bridge/aws-iot/support.ts'

/** Everybody is asked by a user of their own, so that nothing is left over from another time. */
export class Asked {
  readonly user = `q${randomBytes(4).toString('hex')}`
  readonly server: TestServer
  readonly store: GatedStore
  /** For how long a signed URL is watched. */
  readonly urlMs: number
  readonly #devices: MqttClient[] = []

  constructor(server: TestServer, store: GatedStore, urlMs: number) {
    this.server = server
    this.store = store
    this.urlMs = urlMs
  }

  /** With all levels but the root. */
  topic(below: string): string {
    return `users/${this.user}/${below}`
  }

  async admitted(name: string, options: TokenOptions = {}): Promise<Admission> {
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: await this.server.token(this.user, options),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      client_id: name,
    }
    const answer = await fetch(`${this.server.urls.http}/v1/token`, { method: 'POST', body: new URLSearchParams(form) })
    if (answer.status !== 200) throw new Error(await answer.text())
    const { mqtt_url: url, mqtt, expires_in: lifeS } = (await answer.json()) as Answer
    return { url, clientId: mqtt.client_id, root: mqtt.root, lifeS }
  }

  /** Resolves at CONNACK. */
  async device({ url, clientId }: Admission, options: IClientOptions = {}): Promise<MqttClient> {
    const device = connect(url, { clientId, protocolVersion: 4, reconnectPeriod: 0, resubscribe: false, ...options })
    this.#devices.push(device)
    device.on('error', () => {}) // `close` comes behind it.
    const refused = closed(device).then(() => Promise.reject(new Error('closed before CONNACK')))
    await within(Promise.race([new Promise<void>((resolve) => device.once('connect', () => resolve())), refused]), 'CONNACK', 20_000)
    refused.catch(() => {}) // It ends some time.
    return device
  }

  end(): void {
    for (const device of this.#devices) device.end(true)
  }
}

interface Answer {
  readonly mqtt_url: string
  readonly expires_in: number
  readonly mqtt: { readonly client_id: string; readonly root: string }
}

interface Admission {
  readonly url: string
  /** Of CONNECT. */
  readonly clientId: string
  readonly root: string
  readonly lifeS: number
}

export interface Question {
  readonly asks: string
  readonly ask: (asked: Asked) => Promise<void>
}

const lifeMs = 8_000

/** Rejects unless the connection ends within the life of the token and a while. */
function ended(device: MqttClient): Promise<unknown> {
  return within(closed(device), 'the end of the connection', 2 * lifeMs)
}

function closed(device: MqttClient): Promise<void> {
  return new Promise((resolve) => device.once('close', () => resolve()))
}

/** The policy ends up to two seconds before its token; nobody is told of that. */
async function untilOver({ lifeS }: Admission): Promise<void> {
  await pause(lifeS * 1000 + 1_000)
}

export const questions: readonly Question[] = [
  {
    asks: 'AWS says what time it is to the policy: a connection with a deadline opens and publishes',
    async ask(asked) {
      const admission = await asked.admitted('deadline')
      const device = await asked.device(admission)
      await device.publishAsync(`${admission.root}/${asked.topic('x')}`, 'x', { qos: 1 })
      await within(appended(asked.server, `users/${asked.user}`, 1), 'the entry', 20_000)
    },
  },
  {
    asks: 'the deadline is asked on every publish of a live connection',
    async ask(asked) {
      const admission = await asked.admitted('ends-in', { ttlMs: lifeMs })
      const device = await asked.device(admission)
      await device.publishAsync(`${admission.root}/${asked.topic('x')}`, 'before', { qos: 1 })
      await untilOver(admission)
      const over = ended(device)
      device.publish(`${admission.root}/${asked.topic('x')}`, 'after', { qos: 1 })
      await over
      expect((await entriesOf(asked.server, `users/${asked.user}`, asked.user)).map(({ text }) => text)).to.deep.equal(['before'])
    },
  },
  {
    asks: 'the deadline is asked on every delivery of a live connection',
    async ask(asked) {
      const admission = await asked.admitted('ends-out', { ttlMs: lifeMs })
      const [reader, writer] = [await asked.device(admission), await asked.device(await asked.admitted('writer'))]
      const heard: string[] = []
      reader.on('message', (_topic, payload) => heard.push(payload.toString()))
      await reader.subscribeAsync(`${admission.root}/${asked.topic('#')}`, { qos: 1 })
      const say = (text: string): Promise<unknown> => writer.publishAsync(`${admission.root}/${asked.topic('x')}`, text, { qos: 1 })
      await say('before')
      await within(appended(asked.server, `users/${asked.user}`, 1), 'the entry', 20_000)
      await untilOver(admission)
      await say('after')
      await within(appended(asked.server, `users/${asked.user}`, 2), 'the second', 20_000)
      expect(heard).to.deep.equal(['before'])
    },
  },
  {
    asks: 'a plain right to connect allows a session that is kept, and a will',
    async ask(asked) {
      const admission = await asked.admitted('kept')
      const will = { topic: `${admission.root}/${asked.topic('will')}`, payload: Buffer.from('gone'), qos: 1 as const, retain: false }
      const device = await asked.device(admission, { clean: false, will })
      await device.publishAsync(`${admission.root}/${asked.topic('x')}`, 'x', { qos: 1 })
    },
  },
  {
    asks: 'a topic beyond ASCII in a policy, written with \\u, is that topic',
    async ask(asked) {
      const admission = await asked.admitted('words', { grants: ['publish:spaces/日/#', 'subscribe:spaces/日/#'] })
      const device = await asked.device(admission)
      const [granted] = await device.subscribeAsync(`${admission.root}/spaces/日/#`, { qos: 1 })
      expect(granted?.qos).to.equal(1)
      await device.publishAsync(`${admission.root}/spaces/日/x`, 'x', { qos: 1 })
    },
  },
  {
    asks: 'the bridge may connect, and subscribe as a member of a group',
    async ask({ server }) {
      const open = async (): Promise<string> => {
        const text = await (await fetch(`${server.urls.http}/metrics`)).text()
        return ['ingest', 'delivery'].map((what) => new RegExp(`^tidemark_aws_${what}_connections (\\d+)$`, 'm').exec(text)?.[1]).join(' ')
      }
      for (let tries = 0; tries < 60 && (await open()) !== '2 2'; tries++) await pause(1_000)
      expect(await open(), 'what ingests, and what delivers').to.equal('2 2')
    },
  },
  {
    asks: 'a member that is slow keeps its messages: nothing comes twice',
    async ask(asked) {
      const admission = await asked.admitted('slow')
      const device = await asked.device(admission)
      const gate = asked.store.hold(({ name }) => name === 'commit')
      for (let n = 0; n < 5; n++) await device.publishAsync(`${admission.root}/${asked.topic('n')}`, String(n), { qos: 1 })
      await within(gate.reached, 'the first commit', 20_000)
      await pause(asked.urlMs / 60)
      gate.release()
      await within(appended(asked.server, `users/${asked.user}`, 5), 'all', 60_000)
      const numbers = (await entriesOf(asked.server, `users/${asked.user}`, asked.user)).map(({ data }) => data)
      expect(numbers).to.have.members([0, 1, 2, 3, 4])
    },
  },
  {
    asks: 'nothing is lost where clients publish more than 100 messages in a second',
    async ask(asked) {
      const devices: [MqttClient, string][] = []
      for (const name of ['a', 'b', 'c', 'd']) {
        const admission = await asked.admitted(name)
        devices.push([await asked.device(admission), admission.root])
      }
      // Fewer than AWS takes of each.
      const publishes = devices.flatMap(([device, root]) =>
        Array.from({ length: 60 }, (_, n) => device.publishAsync(`${root}/${asked.topic('n')}`, String(n), { qos: 1 })),
      )
      await Promise.all(publishes)
      await within(appended(asked.server, `users/${asked.user}`, publishes.length), 'all', 120_000)
    },
  },
  {
    asks: 'the longest query that a policy of ours makes opens a connection',
    async ask(asked) {
      await asked.device(await asked.admitted('many-rights', { spaces: { s: 'write' } }))
    },
  },
  {
    asks: 'a denied SUBSCRIBE is answered with 0x80, or ends the connection',
    async ask(asked) {
      const admission = await asked.admitted('denied')
      const device = await asked.device(admission)
      const answered = new Promise<string>((resolve) => {
        device.subscribe(`${admission.root}/users/somebody/#`, { qos: 1 }, (_error, _granted, suback) => {
          if (suback) resolve(`SUBACK ${suback.granted.map(String).join(' ')}`)
        })
      })
      const how = await within(Promise.race([answered, closed(device).then(() => 'closed')]), 'an answer', 20_000)
      console.log(`      a denied SUBSCRIBE: ${how}`)
      expect(how).to.be.oneOf(['SUBACK 128', 'closed'])
    },
  },
  {
    asks: 'a signed URL opens connections as often as one likes, and for as long as it says',
    async ask(asked) {
      const admission = await asked.admitted('again')
      await asked.device(admission)
      await pause(asked.urlMs)
      await asked.device(admission)
    },
  },
]
