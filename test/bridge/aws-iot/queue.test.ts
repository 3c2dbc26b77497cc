/**
 * What clients publish at AWS IoT Core, by the template's rules into a queue, and from there into the log. The queue is moto's, which keeps
 * messages, hides what is in hand and moves dead letters; it checks no rights, and rules are read by a stand-in.
 */
import { expect } from 'chai'
import { publishedBy } from '../../../bridge/aws-iot/queue-message.ts'
import { Queue } from '../../../bridge/aws-iot/queue.ts'
import { QueueWorker } from '../../../bridge/aws-iot/queue-worker.ts'
import type { Intake } from '../../../bridge/aws-iot/intake.ts'
import type { Settings } from '../../../cli/config.ts'
import { MemoryStore } from '../../../log/stores/memory.ts'
import { systemClock } from '../../../seams/clock.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { startMoto, type Moto } from '../../support/aws/moto.ts'
import { Queues } from '../../support/aws/queues.ts'
import { awsCredentials, AwsWorld } from '../../support/aws/world.ts'
import { GatedStore } from '../../support/gated-store.ts'
import { childServer, type TestServer } from '../../support/server.ts'
import { moto, needs } from '../../support/venv.ts'
import { within } from '../../support/waiting.ts'
import { appended, Device, entriesOf } from './support.ts'

describe('what clients publish at AWS IoT Core, by rules and a queue', function () {
  this.timeout(300_000)
  let python: Moto
  let world: AwsWorld
  let queues: Queues
  let settings: Settings
  let store: GatedStore
  let server: TestServer | undefined

  before(async function () {
    await needs(this, moto)
    python = await startMoto()
  })
  after(() => python?.close())

  beforeEach(async () => {
    world = await AwsWorld.start()
    queues = await Queues.start(python)
    queues.follow(world.gateway)
    store = new GatedStore(new MemoryStore())
    settings = { awsIot: { ...world.settings.awsIot, ...queues.settings } as NonNullable<Settings['awsIot']> }
  })
  afterEach(async () => {
    await server?.stop()
    server = undefined
    await queues.close()
    await world.close()
  })

  async function started(): Promise<TestServer> {
    return (server = await world.server(settings, { store }))
  }

  async function gauges(of: TestServer): Promise<Readonly<Record<string, number>>> {
    const text = await (await fetch(`${of.urls.http}/metrics`)).text()
    return Object.fromEntries([...text.matchAll(/^tidemark_aws_(\w+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]))
  }

  it('[P-20.16] [P-20.17] is in the log with who published it, also in a space and at QoS 0, byte by byte, and in the queue no more', async () => {
    const running = await started()
    const device = await Device.open(world, running, 'alice')
    const binary = Buffer.from([0, 255, 10, 13, 34, 92, 200])
    await device.client.publishAsync('acme/users/alice/notes/1', binary, { qos: 1 })
    await device.client.publishAsync('acme/spaces/b/card', '{"n":1}', { qos: 1 })
    await device.client.publishAsync('acme/users/alice/notes/2', 'at zero', { qos: 0 })
    await device.client.publishAsync('acme/users/alice/notes/3', '', { qos: 1 })
    await within(Promise.all([appended(running, 'users/alice', 3), appended(running, 'spaces/b', 1)]), 'all four')
    const own = await entriesOf(running, 'users/alice')
    expect(own.map(({ topic }) => topic)).to.have.members([1, 2, 3].map((n) => `users/alice/notes/${n}`))
    for (const entry of own) expect(entry).to.include({ from: 'alice', client: '~mqtt' })
    const first = own.find(({ topic }) => topic === 'users/alice/notes/1') as { readonly base64?: string } | undefined
    expect(first?.base64).to.equal(binary.toString('base64'))
    const [shared] = await entriesOf(running, 'spaces/b')
    expect(shared).to.deep.include({ topic: 'spaces/b/card', data: { n: 1 }, from: 'alice', client: '~mqtt' })
    await within(queues.askedFor('DeleteMessageBatch', 1), 'the messages to be deleted')
    await running.stop()
    expect(await queues.left()).to.equal(0)
    expect(await queues.deadLetters()).to.deep.equal([])
  })

  it('[P-20.3] [P-20.16] a put is answered, and the copy that the server publishes of it does not come back', async () => {
    const running = await started()
    const device = await Device.open(world, running, 'alice')
    await device.hearReplies()
    await device.subscribe('users/alice/#')
    await device.put('users/alice/card', { id: 'card-1', data: 1, retain: true })
    const first = await device.answer('card-1')
    expect(first).to.have.all.keys('id', 'pos')
    expect((await device.next('users/alice/card')).text).to.equal('1')
    await device.put('users/alice/card', { id: 'card-1', data: 1, retain: true })
    expect(await device.answer('card-1')).to.deep.equal({ ...first, duplicate: true })
    await running.stop()
    expect(await queues.left()).to.equal(0)
    await running.restart()
    expect((await entriesOf(running, 'users/alice')).map(({ id }) => id)).to.deep.equal(['card-1'])
  })

  it('[P-20.16] is deleted when it is on disk, not before', async () => {
    const running = await started()
    const device = await Device.open(world, running, 'alice')
    const gate = store.hold(({ name }) => name === 'commit')
    await device.client.publishAsync('acme/users/alice/x', '1', { qos: 1 })
    await gate.reached
    expect(await queues.left()).to.equal(1)
    expect(queues.asked).to.not.include('DeleteMessageBatch')
    await queues.send('no JSON')
    await within(queues.askedFor('DeleteMessageBatch', 1), 'the other worker to have deleted something')
    expect(await queues.left()).to.equal(1)
    gate.release()
    await within(queues.askedFor('DeleteMessageBatch', 2), 'it to be deleted')
    expect(await queues.left()).to.equal(0)
  })

  it('[P-20.17] what SQS brings twice is one entry, with an id or without', async () => {
    const running = await started()
    const device = await Device.open(world, running, 'alice')
    const held = queues.hold('DeleteMessageBatch')
    await device.client.publishAsync('acme/users/alice/plain', 'p', { qos: 1 })
    await queues.giveBack(await within(held.reached, 'the first to be deleted'))
    await within(queues.askedFor('DeleteMessageBatch', 1), 'the second to be deleted', 30_000)
    held.release()
    expect(await entriesOf(running, 'users/alice')).to.have.length(1)
    expect(await gauges(running)).to.include({ queue_received_messages: 2, queue_repeated_messages: 1 })
  })

  it('[P-20.16] [P-20.17] kill -9 between append and deletion loses nothing and doubles nothing', async () => {
    const env = {
      AWS_ACCESS_KEY_ID: awsCredentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: awsCredentials.secretAccessKey,
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    }
    const child = await childServer({ settings: { ...world.settings, ...settings }, env })
    try {
      await world.bridged(0)
      const held = queues.hold('DeleteMessageBatch')
      const token = await child.token('alice')
      const admitted = await world.admitted(child.urls.http, token, 'phone')
      const device = await world.device(admitted)
      const put = { id: 'put-1', data: 1, token: admitted.access_token }
      await device.publishAsync('acme/put/users/alice/x', JSON.stringify(put), { qos: 1 })
      const inHand = await within(held.reached, 'the put to be deleted')
      await child.kill('SIGKILL')
      for (let n = 0; n < 20; n++) await device.publishAsync('acme/users/alice/n', String(n), { qos: 1 })
      await device.publishAsync('acme/put/users/alice/x', JSON.stringify({ ...put, id: 'put-2' }), { qos: 1 })
      await queues.giveBack(inHand)
      await child.start()
      const look = async (): Promise<{ readonly id: string; readonly data?: unknown }[]> => {
        const headers = { authorization: `Bearer ${token}` }
        const answer = await fetch(`${child.urls.http}/v1/streams/users/alice/entries?limit=1000`, { headers })
        return ((await answer.json()) as { entries: { id: string; data?: unknown }[] }).entries
      }
      for (let times = 1; (await queues.left()) > 0 && times < 30; times++) await queues.askedFor('DeleteMessageBatch', times)
      const entries = await look()
      expect(entries.map(({ id }) => id).filter((id) => id.startsWith('put-'))).to.have.members(['put-1', 'put-2'])
      expect(entries.map(({ data }) => data)).to.have.members([1, 1, ...Array.from({ length: 20 }, (_, n) => n)])
    } finally {
      await child.kill('SIGKILL')
    }
  })

  it('[P-20.18] what no log can hold is put aside with the reason, what proves no client is dropped, and the rest flows', async () => {
    const running = await started()
    const device = await Device.open(world, running, 'alice')
    await device.hearReplies()
    const bodies = [
      'no JSON',
      '[]',
      '{"topic":"acme/users/alice/x"}',
      '{"topic":"acme/users/alice/x","payload":"%%%"}',
      '{"topic":"other/x","payload":""}',
    ]
    for (const body of bodies) await queues.send(body)
    await device.client.publishAsync('acme/users/alice/$x', 'no name of a client', { qos: 1 })
    await device.put('users/alice/x', { id: 'none-1', data: 1 }, '')
    await device.put('users/alice/x', { id: 'good-1', data: 1 })
    expect(await device.answer('good-1')).to.have.property('pos')
    while ((await queues.left()) > 0) await queues.askedFor('DeleteMessageBatch', 1)
    const dead = await queues.deadLetters()
    expect(dead.map(({ code }) => code)).to.have.members([...bodies.map(() => 'bad-request'), 'bad-topic'])
    const reasonOf = (part: string): string | undefined => dead.find(({ body }) => body.includes(part))?.reason
    expect(reasonOf('no JSON')).to.include('the message is no JSON')
    expect(reasonOf('%%%')).to.include('no payload in base64')
    expect(reasonOf('other/x')).to.include('no topic below acme/')
    expect(reasonOf('$x')).to.include('users/alice/$x')
    expect(await gauges(running)).to.include({ queue_dead_letters: 6, ingested_entries: 1 })
  })

  it('[P-20.18] what cannot be put aside stays in the queue', async () => {
    const running = await started()
    queues.refused.add('SendMessage')
    await queues.send('no JSON')
    await within(queues.askedFor('SendMessage', 1), 'the dead letter to be refused', 30_000)
    await running.stop()
    expect(await queues.left()).to.equal(1)
    expect(await queues.deadLetters()).to.deep.equal([])
  })

  it('[P-20.16] waits while the server is away, and what a stopping server has in hand is for the next at once', async () => {
    const running = await started()
    const device = await Device.open(world, running, 'alice')
    const gate = store.hold(({ name }) => name === 'commit')
    await device.client.publishAsync('acme/users/alice/n', '0', { qos: 1 })
    await gate.reached
    const heal = store.fail(({ name }) => name === 'commit')
    gate.release()
    await running.stop()
    expect(queues.asked).to.not.include('DeleteMessageBatch')
    for (let n = 1; n < 30; n++) await device.client.publishAsync('acme/users/alice/n', String(n), { qos: 1 })
    await queues.left()
    heal()
    await running.restart()
    await within(appended(running, 'users/alice', 30), 'all thirty', 30_000)
    const entries = await entriesOf(running, 'users/alice')
    expect(entries.map(({ data }) => data)).to.have.members(Array.from({ length: 30 }, (_, n) => n))
  })

  it('[P-20.16] a queue that cannot be read is told by /readyz, and read when it can be again', async () => {
    queues.refused.add('ReceiveMessage')
    const running = await started()
    const ready = async (): Promise<string> => (await fetch(`${running.urls.http}/readyz`)).text()
    await within(queues.askedFor('ReceiveMessage', 2), 'both workers to be refused')
    expect(await ready()).to.match(/2 of 4/)
    queues.refused.clear()
    await queues.send('{"topic":"acme/users/alice/x","payload":"","client":"acme.alice.phone"}')
    await within(appended(running, 'users/alice', 1), 'the message', 30_000)
  })

  it('[P-20.16] what is in hand for long is held on to', async () => {
    const queue = await Queue.open({ ...world.settings.awsIot, ...queues.settings } as never, awsCredentials)
    await queues.send('{"topic":"acme/users/alice/x","payload":""}')
    let done = (): void => {}
    const intake = { take: () => new Promise<undefined>((resolve) => (done = () => resolve(undefined))) } as unknown as Intake
    const worker = new QueueWorker({ config: { root: 'acme' }, queue, intake, clock: systemClock, logger: silentLogger, extendMs: 10 })
    worker.start()
    await within(queues.askedFor('ChangeMessageVisibilityBatch', 3), 'it to be held three times')
    done()
    await within(queues.askedFor('DeleteMessageBatch', 1), 'it to be deleted')
    await worker.close()
    queue.close()
    expect(await queues.left()).to.equal(0)
  })

  it('[P-20.16] what a rule could not write, as its error action has it, is taken like the rest', () => {
    const error = {
      ruleName: 'tidemark_acme_users',
      topic: 'acme/users/alice/x',
      cloudwatchTraceId: '7e146a2c-95b5-6caf-98b9-50e3969734c7',
      clientId: 'acme.alice.phone',
      base64OriginalPayload: 'aGVsbG8=',
      failures: [{ failedAction: 'SqsAction', failedResource: 'acme-ingest', errorMessage: 'Failed to send message to Queue' }],
    }
    const taken = { topic: 'users/alice/x', payload: Buffer.from('hello'), uid: 'alice' }
    expect(publishedBy(JSON.stringify(error), { root: 'acme' })).to.deep.equal(taken)
  })

  it('[P-20.17] only a client id as token exchange gives them says who it was, and the server knows its own', () => {
    const from = (client: string | undefined, principal = 'AROAROLE:alice.phone'): string | undefined => {
      const body = JSON.stringify({ topic: 'acme/spaces/b/x', payload: 'eA==', client, principal })
      const published = publishedBy(body, { root: 'acme' })
      return published ? (published.uid ?? 'nobody') : undefined
    }
    expect(from('acme.alice.phone')).to.equal('alice')
    expect(from('acme.org~auth0=7C1.a-b')).to.equal('org~auth0=7C1')
    for (const client of ['acme.alice', 'acme.alice.a.b', 'acme..x', 'acme.a+b.x', 'acme2.alice.x', 'other', 'n/a', undefined])
      expect(from(client), client).to.equal('nobody')
    expect(from('svc.acme.bridge-out-1')).to.equal(undefined)
    expect(from('n/a', 'AROAROLE:svc.bridge')).to.equal(undefined)
    expect(from('acme.svc.bridge', 'AROAROLE:svc.bridge')).to.equal('svc')
  })
})
