/** The plain door, and what a connection may send. */
import { expect } from 'chai'
import { connectAsync, type MqttClient } from 'mqtt'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAll, TestClock, testBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'

const topic = 'users/alice/notes/1'

describe('The plain door', () => {
  const clients: MqttClient[] = []
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)))
    await closeAll()
  })

  const texts = (messages: readonly { text: string }[]): string[] => messages.map(({ text }) => text)

  it('[P-4.1] serves a client that nobody here wrote', async () => {
    const it = await testBroker()
    const client = await connectAsync(it.mqttUrl, {
      username: 'alice',
      password: await it.token('alice'),
      clientId: 'js',
      reconnectPeriod: 0,
    })
    clients.push(client)
    const got: string[] = []
    const third = new Promise<void>((resolve) => {
      client.on('message', (name, payload) => {
        got.push(`${name} ${payload.toString('hex')}`)
        if (got.length === 3) resolve()
      })
    })
    const [granted] = await client.subscribeAsync('users/alice/#', { qos: 2 })
    expect(granted?.qos).to.equal(1)
    const bytes = Buffer.from([0, 255, 128, 10])
    for (const qos of [0, 1, 2] as const) await client.publishAsync(`users/alice/q${qos}`, bytes, { qos })
    await within(third, 'three messages')
    expect(got).to.deep.equal(['users/alice/q0 00ff800a', 'users/alice/q1 00ff800a', 'users/alice/q2 00ff800a'])
  })

  it('[P-4.2] acknowledges only what is on disk, and shows it to nobody before [P-8.13]', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const writer = await it.client('alice', { clientId: 'writer' })
    const gate = store.hold(calls('commit'))
    const published = writer.publish(topic, 'one')
    await within(gate.reached, 'the commit')
    await writer.ping()
    await reader.ping()
    expect(writer.inbox.waiting.some(({ cmd }) => cmd === 'puback')).to.equal(false)
    expect(reader.unread()).to.deep.equal([])
    gate.release()
    await published
    expect((await reader.message()).text).to.equal('one')
  })

  it('[P-8.7, P-12.23] closes the connection of a publish that the store did not take', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const writer = await it.client('alice')
    store.committing = () => Promise.resolve(['unknown'])
    writer.publishNow(topic, 'lost')
    await writer.gone('the store did not take its publish')
    expect(it.refusals.at(-1)).to.equal('tcp store-unavailable')
    expect(writer.inbox.waiting.filter(({ cmd }) => cmd === 'puback')).to.deep.equal([])
    store.committing = undefined
    const again = await it.client('alice')
    await again.publish(topic, 'kept')
    const stream = await it.log.stream('users/alice')
    expect(stream.headSeq).to.equal(1)
  })

  it('[P-4.6] writes PUBACKs in the order of the publishes, across streams and doors', async () => {
    const it = await testBroker()
    const client = await it.client('alice', { token: { spaces: { board: 'write' } } })
    await client.subscribe('reply/alice/#')
    const ids: number[] = []
    for (let at = 0; at < 40; at++) {
      if (at % 4 === 0) ids.push(client.publishNow('spaces/board/x', `${at}`))
      else if (at % 4 === 1) ids.push(client.publishNow('put/users/alice/x', JSON.stringify({ id: `i${at}`, data: at })))
      else if (at % 4 === 2) ids.push(client.publishNow('put/users/alice/x', '{'))
      else ids.push(client.publishNow(topic, `${at}`))
    }
    await client.expect(({ cmd, messageId }) => cmd === 'puback' && messageId === ids.at(-1), 'the last PUBACK')
    expect(client.inbox.all.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId)).to.deep.equal(ids)
  })

  it('[P-4.4] logs a QoS 0 publish with retain', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    client.publishNow(topic, 'kept', { qos: 0, retain: true })
    await client.publish(topic, 'barrier')
    const late = await it.client('alice', { clientId: 'late' })
    await late.subscribe('users/alice/#')
    expect(await late.message()).to.include({ text: 'kept', retain: true, qos: 0 })
  })

  it('[P-3.2] delivers QoS 0 live, and keeps it for nobody', async () => {
    const it = await testBroker()
    const kept = await it.client('alice', { clientId: 'kept', clean: false })
    await kept.subscribe('users/alice/#')
    await kept.disconnect()
    const live = await it.client('alice', { clientId: 'live' })
    await live.subscribe('users/alice/#')
    const writer = await it.client('alice', { clientId: 'writer' })
    writer.publishNow(topic, 'ephemeral', { qos: 0 })
    await writer.publish(topic, 'durable')
    expect((await live.messages(2)).map(({ text, qos }) => `${text} ${qos}`)).to.deep.equal(['ephemeral 0', 'durable 1'])
    const back = await it.client('alice', { clientId: 'kept', clean: false, present: true })
    expect((await back.message()).text).to.equal('durable')
    expect((await it.log.stream('users/alice')).headSeq).to.equal(1)
  })

  it('[P-8.12] lets an ephemeral publish take effect after all earlier publishes of its connection', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const client = await it.client('alice')
    await client.subscribe('users/alice/#')
    const gate = store.hold(calls('commit'))
    client.publishNow(topic, 'first', { qos: 1 })
    client.publishNow(topic, 'second', { qos: 0 })
    await within(gate.reached, 'the commit')
    await client.ping()
    expect(client.unread()).to.deep.equal([])
    gate.release()
    expect(texts(await client.messages(2))).to.deep.equal(['first', 'second'])
  })

  it('[P-8.9] appends the publishes of one connection in the order sent, whatever their QoS and door', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    await client.subscribe(['users/alice/#', 'reply/alice/#'])
    for (let at = 0; at < 60; at++) {
      if (at % 4 === 0) client.publishNow('users/alice/x', `${at}`, { qos: 1 })
      else if (at % 4 === 1) client.publishNow('users/alice/x', `${at}`, { qos: 2 })
      else if (at % 4 === 2) client.publishNow('put/users/alice/x', JSON.stringify({ id: `i${at}`, text: `${at}` }))
      else client.publishNow('users/alice/x', `${at}`, { qos: 0, retain: true })
    }
    await client.inbox.until(() => client.unread().filter((message) => message.topic === 'users/alice/x').length === 60, '60 messages')
    const got = client.unread().filter((message) => message.topic === 'users/alice/x')
    expect(texts(got)).to.deep.equal(Array.from({ length: 60 }, (_unused, at) => `${at}`))
  })

  it('[P-4.5] closes the connection of a refused publish, and the log names client, topic and reason', async () => {
    const refused: [string, string, string][] = [
      ['users/bob/x', 'a', 'forbidden'],
      ['users/alice', 'a', 'bad-topic'],
      ['users/alice/', 'a', 'bad-topic'],
      ['users/alice/$x', 'a', 'bad-topic'],
      ['users/alice/$acl', 'a', 'bad-topic'],
      ['users/alice/a*', 'a', 'bad-topic'],
      ['users/al ice/a', 'a', 'bad-topic'],
      ['users/alice/a/b/c/d/e/f', 'a', 'bad-topic'],
      [`users/alice/${'x'.repeat(220)}`, 'a', 'bad-topic'],
      ['inbox/alice/bob/a', 'a', 'forbidden'],
      ['outbox/alice/a', 'a', 'bad-topic'],
      ['sync/users/alice/a', 'a', 'bad-topic'],
      ['sync@earliest/users/alice/a', 'a', 'bad-topic'],
      ['reply/alice/a', 'a', 'bad-topic'],
      ['auth/other', 'a', 'bad-topic'],
      ['$SYS/x', 'a', 'bad-topic'],
      ['free/topic', 'a', 'bad-topic'],
      [topic, 'x'.repeat(94_209), 'payload-too-large'],
    ]
    const it = await testBroker()
    for (const [name, payload, code] of refused) {
      const client = await it.client('alice')
      client.publishNow(name, payload)
      await client.gone(`its publish to ${name} is refused`)
      expect(client.inbox.waiting, name).to.deep.equal([])
      const line = await it.lines.take(({ level, fields }) => level === 'warn' && fields['topic'] === name, `a log line about ${name}`)
      expect(line.fields, name).to.include({ client: 'alice', code })
      expect(it.refusals.at(-1), name).to.equal(`tcp ${code}`)
    }
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
  })

  it('[P-1.20] closes the connection on a topic or filter with NUL or malformed UTF-8', async () => {
    const it = await testBroker()
    const bad = [Buffer.from('users/alice/a\0b'), Buffer.concat([Buffer.from('users/alice/'), Buffer.from([0xc3, 0x28])])]
    const text = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0, bytes.length]), bytes])
    const packet = (first: number, ...parts: Buffer[]): Buffer => {
      const body = Buffer.concat(parts)
      return Buffer.concat([Buffer.from([first, body.length]), body])
    }
    const id = Buffer.from([0, 1])
    for (const name of bad) {
      const packets = {
        PUBLISH: packet(0x32, text(name), id, Buffer.from('x')),
        'put PUBLISH': packet(0x32, text(Buffer.concat([Buffer.from('put/'), name])), id, Buffer.from('{"id":"a","data":1}')),
        SUBSCRIBE: packet(0x82, id, text(name), Buffer.from([1])),
        UNSUBSCRIBE: packet(0xa2, id, text(name)),
      }
      for (const [what, bytes] of Object.entries(packets)) {
        const client = await it.client('alice')
        await client.subscribe('reply/alice/#')
        client.bytes(bytes)
        await client.gone(`${what} with ${name.toString('latin1')}`)
      }
    }
  })

  it('[P-4.8] judges each filter by itself', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    const codes = await client.subscribe([
      'users/alice/#',
      'users/bob/#',
      'users/alice/a/+',
      'free/#',
      'users/alice',
      'inbox/bob/#',
      'auth/renew',
      'put/#',
    ])
    expect(codes).to.deep.equal([1, 128, 1, 128, 128, 128, 128, 128])
    await client.publish('users/alice/a/1', 'x')
    expect((await client.message()).text).to.equal('x')
  })

  it('[P-12.7] refuses what is no filter with 0x80, and keeps the others', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    for (const bad of [
      'users/alice/#/x',
      'users/alice/a+',
      '',
      '#a',
      `users/alice/${'x/'.repeat(110)}x`,
      `users/alice/${'x'.repeat(300)}`,
      '$share/g/users/alice/#',
      '$SYS/#',
    ]) {
      expect(await client.subscribe([bad, 'users/alice/ok']), bad).to.deep.equal([128, 1])
    }
    await client.ping()
  })

  it('[MQTT-3.8.4-5] gives a filter that comes twice in one SUBSCRIBE two codes', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    expect(await client.subscribe(['users/alice/#', 'users/bob/#', 'users/alice/#'])).to.deep.equal([1, 128, 1])
  })

  it('[P-7.20] answers SUBSCRIBE, PUBLISH and UNSUBSCRIBE of one chunk in the order sent', async () => {
    for (const clean of [true, false]) {
      const it = await testBroker()
      const client = await it.client('alice', { clean })
      client.socket.cork()
      const codes = [client.subscribe('users/alice/a'), client.subscribe(['users/bob/x', 'users/alice/b'])]
      const off = client.unsubscribe('users/alice/a')
      client.publishNow('users/alice/a', 'not heard', { qos: 0 })
      const last = client.publish('users/alice/b', 'last')
      client.socket.uncork()
      expect(await Promise.all(codes)).to.deep.equal([[1], [128, 1]])
      await off
      await last
      expect((await client.message()).text).to.equal('last')
      await client.ping()
      expect(client.unread()).to.deep.equal([])
    }
  })

  it('[P-4.7] delivers at the lower of the entry and the granted QoS', async () => {
    const it = await testBroker()
    const zero = await it.client('alice', { clientId: 'zero' })
    const two = await it.client('alice', { clientId: 'two' })
    expect(await zero.subscribe('users/alice/#', 0)).to.deep.equal([0])
    expect(await two.subscribe('users/alice/#', 2)).to.deep.equal([1])
    const writer = await it.client('alice', { clientId: 'writer' })
    for (const qos of [0, 1, 2] as const) await writer.publish(topic, `${qos}`, { qos })
    expect((await zero.messages(3)).map(({ qos }) => qos)).to.deep.equal([0, 0, 0])
    expect((await two.messages(3)).map(({ qos }) => qos)).to.deep.equal([0, 1, 1])
  })

  it('[P-4.10] delivers once, at the highest QoS, what several filters match', async () => {
    const it = await testBroker()
    for (const filters of [
      ['users/alice/#', 'users/alice/notes/1'],
      ['users/alice/notes/1', 'users/alice/#'],
    ]) {
      const client = await it.client('alice')
      await client.subscribe(filters[0] as string, 0)
      await client.subscribe(filters[1] as string, 1)
      await client.publish(topic, 'once')
      await client.publish('users/alice/end', 'end')
      const [once, end] = await client.messages(2)
      expect(once).to.include({ text: 'once', qos: 1 })
      expect(end?.text).to.equal('end')
    }
  })

  it('[P-4.10] delivers once what a filter of its own and a tap match', async () => {
    const it = await testBroker()
    const client = await it.client('alice', { token: { tap: true } })
    expect(await client.subscribe(['users/alice/#', 'users/#'])).to.deep.equal([1, 0])
    await client.publish(topic, 'once')
    client.publishNow(topic, 'live', { qos: 0 })
    await client.publish('users/alice/end', 'end')
    await client.ping()
    expect(texts(client.unread())).to.deep.equal(['once', 'live', 'end'])
  })

  it('[P-4.11] delivers the entries of a stream in order to many readers while many write', async () => {
    const it = await testBroker()
    const readers = await Promise.all([0, 1, 2].map((at) => it.client('alice', { clientId: `r${at}` })))
    for (const reader of readers) await reader.subscribe('users/alice/#')
    const writers = await Promise.all([0, 1, 2, 3].map((at) => it.client('alice', { clientId: `w${at}` })))
    for (let at = 0; at < 250; at++) for (const [index, writer] of writers.entries()) writer.publishNow(topic, `${index}.${at}`)
    const got = await Promise.all(readers.map((reader) => reader.messages(1_000)))
    expect(texts(got[1] ?? [])).to.deep.equal(texts(got[0] ?? []))
    expect(texts(got[2] ?? [])).to.deep.equal(texts(got[0] ?? []))
    for (const index of [0, 1, 2, 3]) {
      const own = texts(got[0] ?? []).filter((text) => text.startsWith(`${index}.`))
      expect(own).to.deep.equal(Array.from({ length: 250 }, (_unused, at) => `${index}.${at}`))
    }
  })

  it('[P-4.30, P-13.16] lets at most inflightMax deliveries wait, and goes on as they are acknowledged', async () => {
    const it = await testBroker({ limits: { inflightMax: 5 } })
    const reader = await it.client('alice', { clientId: 'reader' })
    reader.acknowledges = false
    await reader.subscribe('users/alice/#')
    const writer = await it.client('alice', { clientId: 'writer' })
    for (let at = 0; at < 20; at++) await writer.publish(topic, `m${at}`)
    await reader.ping()
    const got = reader.unread()
    expect(texts(got)).to.deep.equal(['m0', 'm1', 'm2', 'm3', 'm4'])
    expect(new Set(got.map(({ messageId }) => messageId)).size).to.equal(5)
    reader.acknowledges = true
    for (const { messageId } of got) reader.send({ cmd: 'puback', messageId: messageId as number })
    expect(texts(await reader.messages(20))).to.deep.equal(Array.from({ length: 20 }, (_unused, at) => `m${at}`))
  })

  it('[P-4.30] keeps at most unsentBytesMax for a reader that does not read, and slows nobody', async () => {
    const unsentBytesMax = 32 * 1024
    const it = await testBroker({ limits: { unsentBytesMax } })
    const stalled = await it.client('alice', { clientId: 'stalled' })
    await stalled.subscribe('users/alice/#', 0)
    stalled.socket.pause()
    const live = await it.client('alice', { clientId: 'live' })
    await live.subscribe('users/alice/#')
    const writer = await it.client('alice', { clientId: 'writer' })
    const payload = Buffer.alloc(90_000, 'x')
    const send = async (): Promise<void> => {
      for (let at = 0; at < 50; at++) writer.publishNow(topic, payload)
      await live.messages(50)
    }
    // The system's own buffers take some megabytes first.
    let rounds = 1
    for (; it.broker.stats().unsentBytes === 0 && rounds < 40; rounds++) await send()
    await send()
    const { unsentBytes } = it.broker.stats()
    expect(unsentBytes).to.be.greaterThan(0)
    expect(unsentBytes).to.be.lessThan(unsentBytesMax + 2 * payload.length)
    stalled.socket.resume()
    expect(await stalled.messages(50 * rounds)).to.have.length(50 * rounds)
  })

  it('[P-7.19] closes a connection that completes no packet, also one that trickles bytes', async () => {
    const clock = new TestClock()
    const it = await testBroker({ clock })
    const [silent, trickling, pinging] = await Promise.all([0, 1, 2].map((at) => it.client('alice', { clientId: `c${at}`, keepalive: 2 })))
    if (!silent || !trickling || !pinging) throw new Error('three clients')
    clock.ms += 2_000
    trickling.bytes(Buffer.from([0x30]))
    await pinging.ping()
    clock.ms += 2_000
    await silent.gone('nothing was heard')
    await trickling.gone('no packet was whole')
    await pinging.ping()
    expect(pinging.isClosed).to.equal(false)
  })

  it('[P-8.15] acknowledges at a graceful stop what is being committed, then closes', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const client = await it.client('alice')
    const gate = store.hold(calls('commit'))
    const published = client.publish(topic, 'last')
    await within(gate.reached, 'the commit')
    const closed = it.close()
    gate.release()
    await published
    await client.gone('the server stops')
    await closed
  })

  it('[P-8.12] finishes what came before a DISCONNECT', async () => {
    const it = await testBroker()
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const client = await it.client('alice')
    client.socket.cork()
    client.publishNow(topic, 'one', { qos: 1 })
    client.publishNow(topic, 'two', { qos: 0 })
    client.send({ cmd: 'disconnect' })
    client.publishNow(topic, 'ignored', { qos: 0 })
    client.socket.uncork()
    await client.gone('it has sent DISCONNECT')
    expect(client.inbox.waiting.map(({ cmd }) => cmd)).to.deep.equal(['puback'])
    expect(texts(await reader.messages(2))).to.deep.equal(['one', 'two'])
  })
})
