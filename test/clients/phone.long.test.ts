/** The phone of the README away for many messages (a hundred thousand with TIDEMARK_TEST_AMOUNT=full) and a SIGKILL of the server. */
import { expect } from 'chai'
import { connect, type MqttClient } from 'mqtt'
import { amount } from '../support/amount.ts'
import { childServer, type ChildServer } from '../support/server.ts'
import { Inbox, within } from '../support/waiting.ts'
import { need } from '../support/skipping.ts'
import { endPrograms, Program } from './tools.ts'

const messages = amount(100_000, 20_000)

describe('the phone', function () {
  this.timeout(400_000)
  let server: ChildServer

  beforeEach(async () => {
    server = await childServer({ settings: { logLevel: 'warn' } })
  })
  afterEach(async () => {
    endPrograms()
    await server.kill('SIGKILL')
  })

  it(`[P-4.17, P-4.20, P-8.6] gets ${messages.toLocaleString('en')} messages, in order, once each, after the server was killed`, async function () {
    need(this, 'mosquitto_sub', 'apt-get install mosquitto-clients')
    const target = ['-p', String(server.ports.mqtt), '-u', 'alice', '-P', await server.token('alice', { ttlMs: 4 * 3_600_000 }), '-q', '1']
    const phone = ['-i', 'phone', '-c', '-t', 'users/alice/#']
    const first = new Program('stdbuf', ['-oL', 'mosquitto_sub', '-d', ...target, ...phone])
    await first.lines.take((line) => line.startsWith('Subscribed'), 'Subscribed')
    await first.kill('SIGTERM')

    const numbers = Array.from({ length: messages }, (_, at) => `${at}`)
    // In two runs: after 65,535 packet ids mosquitto_pub takes an early PUBACK for its last one, and leaves.
    for (const half of [numbers.slice(0, messages / 2), numbers.slice(messages / 2)]) {
      await new Program('mosquitto_pub', [...target, '-l', '-t', 'users/alice/notes/1'], half.join('\n') + '\n').done(100_000)
    }
    await server.kill('SIGKILL')
    await server.start()

    const startedMs = Date.now()
    const returned = await new Program('mosquitto_sub', [...target, ...phone, '-C', String(messages)]).done(120_000)
    console.log(`      ${returned.length} messages within ${Date.now() - startedMs} ms of its return`)
    expect(returned.length).to.equal(messages)
    expect(
      returned.findIndex((text, at) => text !== numbers[at]),
      'the first that is not in its place',
    ).to.equal(-1)

    // What was acknowledged does not come again.
    await server.kill('SIGTERM')
    await server.start()
    const last = new Program('stdbuf', ['-oL', 'mosquitto_sub', ...target, ...phone, '-C', '1'])
    await new Program('mosquitto_pub', [...target, '-t', 'users/alice/notes/1', '-m', 'new']).done()
    expect(await last.done()).to.deep.equal(['new'])
  })

  it('[P-4.18, P-4.19, P-4.20] is killed off while it reads: the rest comes, and what comes twice is marked DUP', async () => {
    const count = 20_000
    const password = await server.token('alice')
    const options = { clientId: 'phone', clean: false, username: 'alice', password, reconnectPeriod: 0 } as const
    const subscriber = connect(server.urls.mqtt, options)
    await within(new Promise((resolve) => subscriber.once('connect', resolve)), 'CONNACK')
    await subscriber.subscribeAsync('users/alice/#', { qos: 1 })
    await subscriber.endAsync()
    await publishMany(server, password, count)

    const got = new Inbox<{ number: number; dup: boolean }>()
    const listen = (): MqttClient => {
      const client = connect(server.urls.mqtt, options)
      client.on('error', () => {})
      client.on('message', (_topic, payload, { dup }) => got.add({ number: Number(payload.toString()), dup }))
      return client
    }
    const broken = listen()
    await got.until(() => got.all.length >= count / 4, 'a quarter of the messages')
    await server.kill('SIGKILL')
    broken.end(true)
    const before = got.all.length
    await server.start()
    const returned = listen()
    await got.until(() => got.all.at(-1)?.number === count - 1, 'the last message', 60_000)
    await returned.endAsync()

    const seen = new Set<number>()
    let highest = -1
    let twice = 0
    for (const { number, dup } of got.all) {
      if (seen.has(number)) {
        twice++
        expect(dup, `${number} came twice, unmarked`).to.equal(true)
      } else {
        expect(number, 'in order, without a gap').to.equal(highest + 1)
        highest = number
      }
      seen.add(number)
    }
    console.log(`      ${before} before the kill, ${twice} of them again, all ${seen.size}`)
    expect(seen.size).to.equal(count)
    expect(before).to.be.below(count)
  })
})

async function publishMany(server: ChildServer, password: string, count: number): Promise<void> {
  const client = connect(server.urls.mqtt, { clientId: 'writer', username: 'alice', password, reconnectPeriod: 0 })
  await within(new Promise((resolve) => client.once('connect', resolve)), 'CONNACK')
  for (let from = 0; from < count; from += 2_000) {
    const numbers = Array.from({ length: Math.min(2_000, count - from) }, (_, at) => from + at)
    await Promise.all(numbers.map((number) => client.publishAsync('users/alice/notes/1', String(number), { qos: 1 })))
  }
  await client.endAsync()
}
