/** Two brokers over one store that both write to: what holds on one server holds on several [P-14.2]. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { parsePosition } from '../../protocol/positions.ts'
import { deafHintHub, flakyHintHub, hintHub } from '../support/hints.ts'
import {
  closeAllNodes,
  control,
  deafPair,
  headOf,
  hold,
  longMs,
  numbered,
  pairOf,
  publishAll,
  put,
  receive,
  stored,
  stream,
  texts,
  topic,
  type Json,
  type Pair,
} from '../support/nodes.ts'
import type { Message } from '../support/raw-mqtt.ts'
import { mongoBackings } from '../support/mongo/backings.ts'
import { redisHubs } from '../support/redis.ts'
import { within } from '../support/waiting.ts'

for (const { name, begin, store } of [
  { name: 'the reliable hub', begin: () => hintHub },
  { name: 'the flaky hub', begin: () => () => flakyHintHub(20_261) },
  { name: 'no hints at all', begin: () => deafHintHub },
  { name: 'hints over Redis', begin: redisHubs },
  { name: 'the flaky hub, over MongoDB', begin: () => () => flakyHintHub(20_262), store: mongoBackings },
]) {
  describe(`Two nodes with ${name}`, function () {
    this.timeout(2 * longMs)
    const hub = begin()
    const backing = store?.()
    afterEach(closeAllNodes)
    const opened = (): Promise<Pair> => pairOf(hub(), {}, backing?.())

    it('[P-4.11] [P-6.8] everything published on one reaches readers on the other, in order', async () => {
      const { a, b } = await opened()
      const plain = await b.client('alice', { clientId: 'plain' })
      await plain.subscribe('users/alice/#')
      const sync = await b.client('alice', { clientId: 'sync' })
      await sync.subscribe('sync@earliest/users/alice/#')
      const desk = await a.client('alice', { clientId: 'desk' })
      const wanted = numbered('m', 300)
      // In several bursts, so that many commits and many hints come about.
      for (let at = 0; at < wanted.length; at += 30) await publishAll(desk, wanted.slice(at, at + 30))
      expect(texts(await receive(plain, wanted.length))).to.deep.equal(wanted)
      const envelopes: Json[] = []
      while (envelopes.length < wanted.length) {
        const [message] = await receive(sync, 1)
        const json = JSON.parse(message?.text as string) as Json
        if (!('ctl' in json)) envelopes.push(json)
      }
      expect(envelopes.map(({ text }) => text)).to.deep.equal(wanted)
      expect(envelopes.map(({ pos }) => parsePosition(pos as string).seq)).to.deep.equal(wanted.map((_text, index) => index + 1))
    })

    it('[P-4.11] [P-6.8] entries published one by one reach readers on the other, with nothing after them that would tell of them', async () => {
      const { a, b } = await opened()
      const plain = await b.client('alice', { clientId: 'plain' })
      await plain.subscribe('users/alice/#')
      const sync = await b.client('alice', { clientId: 'sync' })
      await sync.subscribe('sync/users/alice/#')
      const desk = await a.client('alice', { clientId: 'desk' })
      for (const text of numbered('m', 5)) {
        await publishAll(desk, [text])
        expect(texts(await receive(plain, 1))).to.deep.equal([text])
        let envelope: Json = {}
        while (envelope['text'] === undefined) envelope = JSON.parse((await receive(sync, 1))[0]?.text as string) as Json
        expect(envelope['text']).to.equal(text)
      }
      await plain.ping()
      expect(plain.unread()).to.deep.equal([])
    })

    it('[P-8.9] [P-1.1] appends of both collide and leave one contiguous log: nothing lost, nothing twice, each publisher in order', async () => {
      const pair = await opened()
      const { a, b } = pair
      const reader = await b.client('alice', { clientId: 'reader' })
      await reader.subscribe('users/alice/#')
      const clients = [
        { client: await a.client('alice', { clientId: 'a1' }), all: numbered('a1-', 100) },
        { client: await a.client('alice', { clientId: 'a2' }), all: numbered('a2-', 100) },
        { client: await b.client('alice', { clientId: 'b1' }), all: numbered('b1-', 100) },
        { client: await b.client('alice', { clientId: 'b2' }), all: numbered('b2-', 100) },
      ]
      const publishing = clients.map(async ({ client, all }) => {
        for (let at = 0; at < all.length; at += 5) await publishAll(client, all.slice(at, at + 5))
      })
      await Promise.all(publishing)
      expect(pair.taken(), 'collisions').to.be.above(3)
      const entries = await stored(pair)
      expect(entries.map(({ seq }) => seq)).to.deep.equal(entries.map((_entry, index) => index + 1))
      for (const { all } of clients) {
        const prefix = (all[0] as string).slice(0, 3)
        expect(texts(entries).filter((text) => text.startsWith(prefix))).to.deep.equal(all)
      }
      expect(texts(await receive(reader, 400))).to.deep.equal(texts(entries))
      for (const { log } of [a, b]) {
        const known = await log.stream(stream)
        await log.confirmHead(known)
        expect(known.headSeq).to.equal(400)
      }
    })

    it('[P-9.6] an id given on both nodes stands for one entry', async () => {
      const pair = await opened()
      const [atA, atB] = [await pair.a.client('alice', { clientId: 'one' }), await pair.b.client('alice', { clientId: 'two' })]
      await atA.subscribe('reply/one/#')
      await atB.subscribe('reply/two/#')
      const first = await put(atA, 'first', { data: 1 })
      expect(await put(atB, 'first', { data: 1 })).to.deep.equal({ ...first, duplicate: true })
      expect(await put(atB, 'first', { data: 2 })).to.include({ error: 'id-reused' })
      for (let round = 0; round < 20; round++) {
        const replies = await Promise.all([atA, atB].map((client) => put(client, `r${round}`, { data: round })))
        expect(replies[0]?.['pos']).to.equal(replies[1]?.['pos'])
        expect(replies.filter(({ duplicate }) => duplicate === true)).to.have.length(1)
      }
      expect(await stored(pair)).to.have.length(21)
    })

    it('[P-9.16] of two writes with one condition on two nodes exactly one wins, and the other is shown it', async () => {
      const pair = await opened()
      const [atA, atB] = [await pair.a.client('alice', { clientId: 'one' }), await pair.b.client('alice', { clientId: 'two' })]
      await atA.subscribe('reply/one/#')
      await atB.subscribe('reply/two/#')
      let condition = 'none'
      const winners = new Set<unknown>()
      for (let round = 0; round < 30; round++) {
        const both = await Promise.all(
          [atA, atB].map((client, index) => put(client, `r${round}-${index}`, { data: round, retain: true, if: condition })),
        )
        const won = both.filter(({ error }) => error === undefined)
        const lost = both.filter(({ error }) => error === 'conflict')
        expect([won.length, lost.length], JSON.stringify(both)).to.deep.equal([1, 1])
        expect(lost[0]?.['current']).to.include({ pos: won[0]?.['pos'], id: won[0]?.['id'] })
        condition = won[0]?.['pos'] as string
        winners.add(both.indexOf(won[0] as Json))
      }
      expect(await stored(pair)).to.have.length(30)
      expect(pair.taken(), 'collisions').to.be.above(0)
    })

    it('[P-4.26] of one client id on both nodes exactly one connection survives, and goes on from the same place', async () => {
      const pair = await opened()
      const { a, b } = pair
      const old = await a.client('alice', { clientId: 'phone', clean: false, present: false })
      await old.subscribe('users/alice/#')
      const desk = await b.client('alice', { clientId: 'desk' })
      await publishAll(desk, ['m0', 'm1'])
      expect(texts(await receive(old, 2))).to.deep.equal(['m0', 'm1'])
      const newer = await b.client('alice', { clientId: 'phone', clean: false, present: true })
      // A lost hint is made good by the first save of the older one, which comes with its next delivery.
      const wanted = numbered('n', 20)
      await publishAll(desk, wanted)
      await within(old.closed, 'the older connection to be closed', longMs)
      const got: Message[] = []
      while (got.at(-1)?.text !== 'n19') got.push(...(await receive(newer, 1)))
      // Acknowledgements of the older connection that its node had not stored yet are not known here: those come again, with DUP.
      const again = got.filter(({ text }) => text.startsWith('m'))
      expect(again.every(({ dup }) => dup)).to.equal(true)
      expect(texts(got.slice(again.length))).to.deep.equal(wanted)
      await newer.ping()
      expect(newer.isClosed).to.equal(false)
      expect([a.broker.stats().sessions, b.broker.stats().sessions]).to.deep.equal([0, 2])
    })

    it('[P-10.25] a revocation on one node closes connections on the other', async () => {
      const { a, b } = await opened()
      const phone = await b.client('alice', { clientId: 'phone' })
      await phone.subscribe('reply/phone/$ctl')
      const bystander = await b.client('bob')
      const operator = await a.authority.authenticate(await a.token('root', { grants: ['ops:revoke'] }), 'console')
      await a.authority.revoke(operator, { uid: 'alice' })
      await within(phone.closed, 'the revoked connection to be closed', longMs)
      expect(texts(phone.unread()).map((text) => (JSON.parse(text) as Json)['ctl'])).to.deep.equal(['revoked'])
      const again = await b.raw()
      expect(
        (await again.connect({ clientId: 'phone', password: await a.token('alice', { now: Date.now() - 5_000 }) })).returnCode,
      ).to.equal(4)
      await bystander.ping()
    })
  })
}

describe('Two nodes', function () {
  this.timeout(2 * longMs)
  afterEach(closeAllNodes)

  it('[P-3.2] QoS 0 messages reach who reads the stream on the other node, once', async () => {
    const hub = hintHub()
    const { a, b } = await pairOf(hub)
    const plain = await b.client('alice', { clientId: 'plain' })
    await plain.subscribe(['users/alice/#', 'users/alice/notes/+'])
    const sync = await b.client('alice', { clientId: 'sync' })
    await sync.subscribe('sync/users/alice/#')
    await control(sync, 'at')
    const bob = await b.client('bob')
    await bob.subscribe('users/bob/#')
    const desk = await a.client('alice', { clientId: 'desk' })
    await desk.subscribe('users/alice/#')
    for (const text of ['q0', 'q1']) desk.publishNow(topic, text, { qos: 0 })
    expect(texts(await receive(plain, 2))).to.deep.equal(['q0', 'q1'])
    const envelopes = texts(await receive(sync, 2)).map((text) => JSON.parse(text) as Json)
    expect(envelopes.map(({ text, ephemeral, from, client }) => ({ text, ephemeral, from, client }))).to.deep.equal([
      { text: 'q0', ephemeral: true, from: 'alice', client: 'desk' },
      { text: 'q1', ephemeral: true, from: 'alice', client: 'desk' },
    ])
    expect(texts(await receive(desk, 2))).to.deep.equal(['q0', 'q1'])
    await hub.settled()
    for (const client of [plain, sync, desk, bob]) {
      await client.ping()
      expect(client.unread()).to.deep.equal([])
    }
  })

  it('[P-4.17] a session moves with its place to a node that knows only old entries', async () => {
    const { a, b } = await deafPair()
    const elsewhere = await b.client('alice', { clientId: 'elsewhere' })
    await elsewhere.subscribe('users/alice/#')
    const phone = await a.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    const desk = await a.client('alice', { clientId: 'desk' })
    await publishAll(desk, ['m0', 'm1', 'm2', 'm3'])
    phone.acknowledges = false
    expect(texts(await receive(phone, 4))).to.deep.equal(['m0', 'm1', 'm2', 'm3'])
    await phone.disconnect()
    await publishAll(desk, ['m4', 'm5'])
    const back = await b.client('alice', { clientId: 'phone', clean: false, present: true })
    const got = await receive(back, 2)
    expect(texts(got)).to.deep.equal(['m4', 'm5'])
    expect(got.map(({ dup }) => dup)).to.deep.equal([false, false])
    await back.ping()
    expect(back.unread()).to.deep.equal([])
  })

  it('[P-4.20] what the older node may have sent is sent with DUP by the next one', async () => {
    const { a, b } = await deafPair()
    const phone = await a.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#')
    phone.acknowledges = false
    const desk = await a.client('alice', { clientId: 'desk' })
    // Its place as the store knows it lies before everything that follows.
    const gate = hold(a, 'documents.put', 'sessions')
    await publishAll(desk, ['m0', 'm1'])
    expect(texts(await receive(phone, 2))).to.deep.equal(['m0', 'm1'])
    const back = await b.client('alice', { clientId: 'phone', clean: false, present: true })
    const got = await receive(back, 2)
    expect(got.map(({ text, dup }) => `${text} ${dup}`)).to.deep.equal(['m0 true', 'm1 true'])
    gate.release()
  })

  it('[P-4.26] a late save of the older node is fenced and leaves the record as it is', async () => {
    const { a, b, inner } = await deafPair({ cursorFlushMs: 3_600_000 })
    const old = await a.client('alice', { clientId: 'phone', clean: false })
    await old.subscribe('users/alice/#')
    const desk = await a.client('alice', { clientId: 'desk' })
    const gate = hold(a, 'documents.put', 'sessions')
    await publishAll(desk, ['m0', 'm1'])
    expect(texts(await receive(old, 2))).to.deep.equal(['m0', 'm1'])
    old.send({ cmd: 'disconnect' })
    await within(gate.reached, 'the older node to save the session', longMs)
    const newer = await b.client('alice', { clientId: 'phone', clean: false, present: true })
    await newer.unsubscribe('users/alice/#')
    await newer.subscribe('users/alice/other')
    const before = await inner.documents.get('sessions', 'alice/phone')
    gate.release()
    await within(a.close(), 'the older node to finish', longMs)
    expect(await inner.documents.get('sessions', 'alice/phone')).to.deep.equal(before)
    expect(JSON.stringify(before?.value)).to.include('users/alice/other')
    expect(before?.generation).to.equal(2)
    await newer.ping()
  })

  it('[P-4.22] a session begun anew fences the older node as well', async () => {
    const { a, b, inner } = await deafPair({ cursorFlushMs: 3_600_000 })
    const old = await a.client('alice', { clientId: 'phone', clean: false })
    await old.subscribe('users/alice/#')
    const desk = await b.client('alice', { clientId: 'desk' })
    await publishAll(desk, numbered('m', 5))
    await b.log.trim(stream, 5)
    const newer = await b.client('alice', { clientId: 'phone', clean: false, present: false })
    await newer.subscribe('users/alice/other')
    const before = await inner.documents.get('sessions', 'alice/phone')
    await old.disconnect()
    await within(a.close(), 'the older node to finish', longMs)
    expect(await inner.documents.get('sessions', 'alice/phone')).to.deep.equal(before)
  })

  it('[P-2.11] [P-2.18] a position written on the other node is not ahead', async () => {
    const pair = await deafPair()
    const reader = await pair.b.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const desk = await pair.a.client('alice', { clientId: 'desk' })
    await publishAll(desk, ['m0', 'm1'])
    const head = await headOf(pair)
    const sync = await pair.b.client('alice', { clientId: 'sync' })
    await sync.subscribe(`sync@${head}/users/alice/#`)
    expect(await control(sync, 'at')).to.include({ pos: head, head })
  })

  it('[P-2.18] [P-6.15] caught up is said only of the confirmed head', async () => {
    const pair = await deafPair()
    const reader = await pair.b.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const desk = await pair.a.client('alice', { clientId: 'desk' })
    await publishAll(desk, ['m0'])
    const old = await headOf(pair)
    const sync = await pair.b.client('alice', { clientId: 'sync' })
    await sync.subscribe('sync@earliest/users/alice/#')
    expect(await control(sync, 'at')).to.include({ head: old })
    await publishAll(desk, ['m1', 'm2'])
    const head = await headOf(pair)
    const again = await pair.b.client('alice', { clientId: 'again' })
    await again.subscribe(`sync@${old}/users/alice/#`)
    expect(await control(again, 'at')).to.include({ pos: old, head })
    expect(texts(await receive(again, 2)).map((text) => (JSON.parse(text) as Json)['text'])).to.deep.equal(['m1', 'm2'])
    expect(await control(again, 'at')).to.include({ pos: head, head })
  })

  it('[P-6.1] [P-4.12] a filter begins at the confirmed head, not at the one the node knew', async () => {
    const pair = await deafPair()
    const reader = await pair.b.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const desk = await pair.a.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'kept', { retain: true })
    await publishAll(desk, ['before'])
    const head = await headOf(pair)
    const sync = await pair.b.client('alice', { clientId: 'sync' })
    await sync.subscribe('sync/users/alice/#')
    expect(await control(sync, 'at')).to.include({ pos: head, head })
    await publishAll(desk, ['between'])
    const plain = await pair.b.client('alice', { clientId: 'plain' })
    await plain.subscribe('users/alice/#')
    expect((await receive(plain, 1)).map(({ text, retain }) => `${text} ${retain}`)).to.deep.equal(['kept true'])
    const here = await pair.b.client('alice', { clientId: 'here' })
    await publishAll(here, ['after'])
    expect((await receive(plain, 1)).map(({ text, retain }) => `${text} ${retain}`)).to.deep.equal(['after false'])
  })

  it('[P-9.15] a condition on what the other node wrote is judged by what the store holds', async () => {
    const pair = await deafPair()
    const here = await pair.b.client('alice', { clientId: 'here' })
    await here.subscribe(['users/alice/#', 'reply/here/#'])
    const desk = await pair.a.client('alice', { clientId: 'desk' })
    await desk.publish(topic, 'theirs', { retain: true })
    const pos = await headOf(pair)
    const refused = await put(here, 'one', { text: 'ours', retain: true, if: 'none' })
    expect(refused).to.include({ error: 'conflict' })
    expect(refused['current']).to.include({ pos, text: 'theirs' })
    expect(await put(here, 'two', { text: 'ours', retain: true, if: pos })).to.have.all.keys('id', 'pos')
  })

  it('[P-9.12] [P-9.16] a condition that names what the other node has just written is taken by one that knows only older entries', async () => {
    const pair = await deafPair()
    const here = await pair.b.client('alice', { clientId: 'here' })
    await here.subscribe(['users/alice/#', 'reply/here/#'])
    const desk = await pair.a.client('alice', { clientId: 'desk' })
    let mine = await put(here, 'v0', { text: 'mine 0', retain: true, if: 'none' })
    for (let round = 1; round <= 3; round++) {
      const knownBefore = (await pair.b.log.stream(stream)).headSeq
      for (const text of ['theirs', `theirs ${round}`]) await desk.publish(topic, text, { retain: true })
      const newest = await headOf(pair)
      expect((await pair.b.log.stream(stream)).headSeq, 'the node knows nothing of it').to.equal(knownBefore)
      const taken = await put(here, `v${round}`, { text: `mine ${round}`, retain: true, if: newest })
      expect(taken, `round ${round}`).to.deep.equal({ id: `v${round}`, pos: await headOf(pair) })
      const outdated = await put(here, `w${round}`, { text: 'outdated', retain: true, if: newest })
      expect(outdated).to.include({ error: 'conflict' })
      expect(outdated['current']).to.include({ id: `v${round}`, pos: taken['pos'], text: `mine ${round}` })
      // And one whose node last saw its own entry, which the other one has overwritten.
      await desk.publish(topic, `theirs after ${round}`, { retain: true })
      const overwritten = await put(here, `x${round}`, { text: 'outdated', retain: true, if: taken['pos'] })
      expect(overwritten).to.include({ error: 'conflict' })
      expect(overwritten['current']).to.include({ pos: await headOf(pair), text: `theirs after ${round}`, client: 'desk' })
      expect(await put(here, `y${round}`, { text: 'outdated', retain: true, if: mine['pos'] })).to.include({ error: 'conflict' })
      mine = taken
    }
    expect(texts(await stored(pair)).filter((text) => text === 'outdated')).to.deep.equal([])
  })

  it('[P-6.20] a node whose knowledge ends before what the other has trimmed goes on from there', async () => {
    const pair = await deafPair()
    const { a, b } = pair
    const sync = await b.client('alice', { clientId: 'sync' })
    await sync.subscribe('sync@earliest/users/alice/#')
    await control(sync, 'at')
    const plain = await b.client('alice', { clientId: 'plain' })
    await plain.subscribe('users/alice/#')
    const desk = await a.client('alice', { clientId: 'desk' })
    for (let at = 0; at < 6; at++) await publishAll(desk, [`m${at}`])
    await a.log.trim(stream, 5)
    const first = (await stored(pair)).find(({ seq }) => seq === 5)?.pos
    void b.log.refresh(await b.log.stream(stream))
    expect(await control(sync, 'reset')).to.include({ reason: 'trimmed', first, head: await headOf(pair) })
    await within(plain.closed, 'the plain reader to be closed [P-4.23]', longMs)
    const again = await b.client('alice', { clientId: 'again' })
    await again.subscribe('sync@earliest/users/alice/#')
    const envelopes = texts(await receive(again, 3)).map((text) => JSON.parse(text) as Json)
    expect(envelopes.flatMap(({ text }) => (text === undefined ? [] : [text]))).to.deep.equal(['m4', 'm5'])
  })

  it('[P-8.15] a node that stops finishes what had to give way to the other one', async () => {
    const { a, inner } = await deafPair()
    const commit = new Promise<void>((resolve) => {
      a.gates.committing = async (buckets) => {
        a.gates.committing = undefined
        resolve()
        return buckets.map(() => 'taken')
      }
    })
    const frame = encodeFrame(topic, Buffer.from('late'))
    const draft = a.log.publish(stream, { topic, ...frame, qos: 1, retain: false, from: 'alice', client: 'desk', receivedMs: Date.now() })
    await within(commit, 'the commit', longMs)
    await within(a.close(), 'the node to stop', longMs)
    const before = (await inner.load(stream)).last?.lastSeq
    await within(draft, 'the append', longMs)
    expect(before).to.equal(1)
  })

  it('[P-8.6] a node that reads its own entry before its commit is answered goes on', async () => {
    const pair = await deafPair()
    const { a, b } = pair
    const reader = await a.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const desk = await a.client('alice', { clientId: 'desk' })
    await publishAll(desk, ['m0'])
    for (const answer of ['stored', 'unknown'] as const) {
      let release = (): void => {}
      const open = new Promise<void>((resolve) => (release = resolve))
      let arrived = (): void => {}
      const reached = new Promise<void>((resolve) => (arrived = resolve))
      a.gates.committing = async (buckets, commit) => {
        a.gates.committing = undefined
        await commit()
        arrived()
        await open
        return buckets.map(() => answer)
      }
      const messageId = desk.publishNow(topic, answer)
      await within(reached, 'the commit', longMs)
      await a.log.confirmHead(await a.log.stream(stream))
      release()
      await desk.expect((packet) => packet.cmd === 'puback' && packet.messageId === messageId, `PUBACK of ${answer}`, longMs)
      await publishAll(desk, [`after ${answer}`])
    }
    const wanted = ['m0', 'stored', 'after stored', 'unknown', 'after unknown']
    expect(texts(await receive(reader, 5))).to.deep.equal(wanted)
    expect(texts(await stored(pair))).to.deep.equal(wanted)
    const other = await b.client('alice', { clientId: 'other' })
    await publishAll(other, ['from b'])
    await publishAll(desk, ['from a'])
    expect(texts(await receive(reader, 2))).to.deep.equal(['from b', 'from a'])
  })
})
