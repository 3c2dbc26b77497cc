/** `POST …/entries`. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { GatedStore } from '../support/gated-store.ts'
import { append, ask, history, makeWorld, refusals, seqOf, type Answer, type Shown, type World } from './support.ts'

const path = '/v1/streams/users/alice/entries'
const board = '/v1/streams/spaces/board/entries'

describe('bridge: publish', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld({ openEnabled: true })))
  afterEach(() => world.close())

  const post = (json: unknown, headers: Record<string, string> = {}, to = path, token = 'alice'): Promise<Answer> =>
    ask(world, to, { token, json, headers })

  it('201 with id and pos; the entry stands there under both [P-8.5] [P-11.3] [P-11.29]', async () => {
    const { status, body } = await post({ topic: 'notes/1', id: 'one', data: { a: 1 } })
    expect(status).to.equal(201)
    expect(body).to.have.all.keys('id', 'pos')
    expect(body['id']).to.equal('one')
    const { entries, head } = await history(world)
    expect(body['pos']).to.equal(head)
    expect(entries[0]).to.include({ pos: head, id: 'one', from: 'alice', client: '~http', topic: 'users/alice/notes/1' })
    expect(entries[0]).to.have.deep.property('data', { a: 1 })
  })

  it('an entry without an id gets the one that every door shows [P-3.19] [P-11.27]', async () => {
    const answers = await Promise.all([1, 2, 3].map((n) => post({ topic: 'a', data: n })))
    const shown = new Map((await history(world)).entries.map(({ pos, id }) => [pos, id]))
    expect(new Set(shown.values())).to.have.property('size', 3)
    for (const { status, body } of answers) {
      expect(status).to.equal(201)
      expect(body['id'])
        .to.match(/^[A-Za-z0-9_-]{1,64}$/)
        .and.to.equal(shown.get(body['pos'] as string))
    }
  })

  it('the client of an entry is the one the token is bound to, or ~http [P-1.14]', async () => {
    await ask(world, path, { token: 'alice.phone', json: { topic: 'a', text: 'x' } })
    await post({ topic: 'a', text: 'x' })
    const { entries } = await history(world)
    expect(entries.map((entry) => (entry as unknown as { client: string }).client)).to.deep.equal(['phone', '~http'])
  })

  it('data, text and base64 are stored as the put door stores them [P-5.3 – P-5.5]', async () => {
    await post({ topic: 'a', text: 'grüße' })
    await post({ topic: 'a', base64: '/wD/' })
    await post({ topic: 'a', data: null })
    await ask(world, path, {
      token: 'alice',
      body: '{"topic":"a","data":{"__proto__":{"x":1}}}',
      headers: { 'content-type': 'application/json; charset=utf-8' },
    })
    const { text } = await ask(world, path, { token: 'alice' })
    for (const part of ['"text":"grüße"', '"base64":"/wD/"', '"data":null', '"data":{"__proto__":{"x":1}}']) expect(text).to.include(part)
  })

  it('the same id and content is 200 with duplicate and the first position; other content is 422 [P-9.6] [P-9.7] [P-11.29] [P-12.15]', async () => {
    const first = await post({ topic: 'a', id: 'one', data: 1 })
    const again = await post({ topic: 'a', id: 'one', data: 1 })
    expect([again.status, again.body]).to.deep.equal([200, { id: 'one', pos: first.body['pos'], duplicate: true }])
    const other = await post({ topic: 'a', id: 'one', data: 2 })
    expect([other.status, other.body['code']]).to.deep.equal([422, 'id-reused'])
    expect((await history(world)).entries).to.have.length(1)
  })

  it('twenty times the same id at once is one entry [P-9.6]', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => post({ topic: 'a', id: 'one', data: 1 })))
    expect(answers.filter(({ status }) => status === 201)).to.have.length(1)
    expect(answers.filter(({ status, body }) => status === 200 && body['duplicate'] === true)).to.have.length(19)
    expect(new Set(answers.map(({ body }) => body['pos']))).to.have.property('size', 1)
    expect((await history(world)).entries).to.have.length(1)
  })

  it('Idempotency-Key is id and If-Position is if; where header and member differ it is bad-request [P-11.28]', async () => {
    const made = await post({ topic: 'a', data: 1, retain: true }, { 'idempotency-key': 'one', 'if-position': 'none' })
    expect([made.status, made.body['id']]).to.deep.equal([201, 'one'])
    const again = await post(
      { topic: 'a', data: 1, retain: true, id: 'one', if: 'none' },
      { 'idempotency-key': 'one', 'if-position': 'none' },
    )
    expect(again.status).to.equal(200)
    for (const [json, headers] of [
      [{ topic: 'a', data: 1, id: 'two' }, { 'idempotency-key': 'one' }],
      [{ topic: 'a', data: 1, retain: true, if: 'none' }, { 'if-position': 'id:x' }],
    ] as const) {
      const { status, body } = await post(json, headers)
      expect([status, body['code']]).to.deep.equal([400, 'bad-request'])
    }
    expect((await post({ topic: 'a', data: 1 }, { 'idempotency-key': 'not an id' })).body['code']).to.equal('bad-put')
    expect((await post({ topic: 'a', data: 1 }, { 'if-position': 'none' })).body['code']).to.equal('bad-put')
    expect((await post({ topic: 'a', data: 1, retain: true }, { 'if-position': 'junk' })).body['code']).to.equal('bad-position')
    expect((await history(world)).entries).to.have.length(1)
  })

  it('a condition holds for a position, none and id:{entry id}; else 412 with the current envelope, byte for byte [P-9.12 – P-9.15] [P-12.14]', async () => {
    const first = await post({ topic: 'a', id: 'v1', text: '1.0', retain: true, if: 'none' })
    expect(first.status).to.equal(201)
    const second = await ask(world, path, {
      token: 'alice',
      body: `{"topic":"a","id":"v2","base64":"${Buffer.from('{"n": 1.00}').toString('base64')}","retain":true,"if":"${first.body['pos'] as string}"}`,
      headers: { 'content-type': 'application/json' },
    })
    expect(second.status).to.equal(201)
    const third = await post({ topic: 'a', id: 'v3', text: 'x', retain: true, if: 'none' })
    expect(third.status).to.equal(412)
    expect(third.headers.get('content-type')).to.equal('application/problem+json')
    const current = third.body['current'] as Shown
    expect(current).to.include({ id: 'v2', pos: second.body['pos'], topic: 'users/alice/a' })
    expect(third.text).to.include('"data":{"n": 1.00}')
    expect((await post({ topic: 'a', id: 'v3', text: 'x', retain: true, if: 'id:v2' })).status).to.equal(201)
    const absent = await post({ topic: 'b', text: 'x', retain: true, if: first.body['pos'] })
    expect([absent.status, absent.body['current']]).to.deep.equal([412, null])
    expect(absent.text).to.include('"current":null')
    expect(await refusals(world, 'conflict')).to.equal(2)
  })

  it('twenty writers with one condition: exactly one 201, nineteen 412 [P-9.16]', async () => {
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, at) => post({ topic: `race/${round}`, text: `w${at}`, retain: true }, { 'if-position': 'none' })),
      )
      const won = answers.filter(({ status }) => status === 201)
      expect(won).to.have.length(1)
      for (const { status, body } of answers) {
        if (status === 201) continue
        expect(status).to.equal(412)
        // The winner may stand in the same commit, and is shown as it will be read.
        expect(body['current']).to.include({ pos: won[0]?.body['pos'], id: won[0]?.body['id'], from: 'alice' })
      }
    }
  })

  it('since behind the window of ids is 409 unknown-outcome and appends nothing [P-9.9] [P-11.29] [P-12.16]', async () => {
    const { status, body } = await post({ topic: 'a', id: 'lost', data: 1, since: 'OTHEREPO.5.abcd' })
    expect([status, body['code']]).to.deep.equal([409, 'unknown-outcome'])
    expect((await history(world)).entries).to.have.length(0)
  })

  it('a retained publish without payload deletes; in a space only its creator or an owner may [P-3.21] [P-9.3]', async () => {
    await post({ topic: 'card', data: 1, retain: true }, {}, board, 'bob')
    await post({ topic: 'other', data: 1, retain: true }, {}, board, 'carol')
    const refused = await post({ topic: 'other', retain: true }, {}, board, 'bob')
    expect([refused.status, refused.body['code']]).to.deep.equal([403, 'forbidden'])
    expect((await post({ topic: 'card', retain: true }, {}, board, 'carol')).status).to.equal(201)
    expect((await post({ topic: 'absent', retain: true }, {}, board, 'bob')).status).to.equal(201)
    await append(world, 'users/alice', [{ topic: 'users/alice/mine', retain: true }], 'back-end')
    expect((await post({ topic: 'mine', retain: true })).status).to.equal(201)
  })

  it('an invalid body is bad-put and appends nothing [P-11.27]', async () => {
    const bodies = [
      '',
      '{',
      '[]',
      'null',
      '"x"',
      '{"data":1}',
      '{"topic":5,"data":1}',
      '{"topic":"a"}',
      '{"topic":"a","data":1,"text":"x"}',
    ]
    const more = [
      { topic: 'a', data: 1, id: 'with space' },
      { topic: 'a', data: 1, id: '' },
      { topic: 'a', text: 5 },
      { topic: 'a', base64: 'a' },
      { topic: 'a', data: 1, retain: 'yes' },
      { topic: 'a', data: 1, if: 'none' },
      { topic: 'a', data: 1, retain: true, if: 5 },
    ]
    for (const body of [...bodies, ...more.map((put) => JSON.stringify(put))]) {
      const answer = await ask(world, path, { token: 'alice', body, headers: { 'content-type': 'application/json' } })
      expect([answer.status, answer.body['code']], body).to.deep.equal([400, 'bad-put'])
    }
    const notUtf8 = await ask(world, path, {
      token: 'alice',
      body: new Uint8Array([0x22, 0xff, 0x22]),
      headers: { 'content-type': 'application/json' },
    })
    expect(notUtf8.body['code']).to.equal('bad-put')
    expect((await post({ topic: 'a', data: 1, since: 'junk' })).body['code']).to.equal('bad-position')
    expect((await history(world)).entries).to.have.length(0)
  })

  it('a topic that is no topic of the stream is bad-topic [P-1.15 – P-1.19]', async () => {
    for (const topic of ['', 'a//b', '/a', 'a/', '+', 'a/#', '$acl', 'a*', 'a?', 'a\0', '1/2/3/4/5/6', 'x'.repeat(250)]) {
      expect((await post({ topic, data: 1 })).body['code'], JSON.stringify(topic)).to.equal('bad-topic')
    }
    for (const topic of ['users/alice/x', 'sync/a', 'put/a', 'auth/renew', 'reply/x', '$SYS/a', '$share/a']) {
      const { body } = await post({ topic, data: 1 }, {}, '/v1/streams/open/-/entries')
      expect(body['code'], topic).to.equal('bad-topic')
    }
    expect((await post({ topic: '/legacy', data: 1 }, {}, '/v1/streams/open/-/entries')).status).to.equal(201)
  })

  it('a publish outside the grants is forbidden [P-10.9] [P-11.3]', async () => {
    for (const [to, token, topic] of [
      [path, 'bob', 'a'],
      [board, 'reader', 'a'],
      [path, 'narrow', 'notes/2'],
      [path, 'tapper', 'a'],
    ] as const) {
      const { status, body } = await post({ topic, data: 1 }, {}, to, token)
      expect([status, body['code']], token).to.deep.equal([403, 'forbidden'])
    }
    expect((await post({ topic: 'notes/1', data: 1 }, {}, path, 'narrow')).status).to.equal(201)
  })

  it('a payload above payloadBytesMax and a body above packetBytesMax are payload-too-large [P-3.22] [P-11.33]', async () => {
    expect((await post({ topic: 'a', text: 'x'.repeat(94_208) })).status).to.equal(201)
    const payload = await post({ topic: 'a', text: 'x'.repeat(94_209) })
    expect([payload.status, payload.body['code']]).to.deep.equal([413, 'payload-too-large'])
    const body = await post({ topic: 'a', text: 'x'.repeat(131_072) })
    expect([body.status, body.body['code']]).to.deep.equal([413, 'payload-too-large'])
  })

  it('a form or plain text is no JSON: pages cannot publish across origins without a preflight [P-11.1]', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const answer = await ask(world, path, { token: 'alice', body: '{"topic":"a","data":1}', headers: { 'content-type': type } })
      expect([answer.status, answer.body['code']], type).to.deep.equal([400, 'bad-request'])
    }
  })

  it('while the log is pressed a publish waits, and goes on when it is relieved', async () => {
    const waits: (() => void)[] = []
    let pressed = true
    Object.defineProperty(world.log, 'pressed', { get: () => pressed })
    world.log.whenRelieved = (callback) => void waits.push(callback)
    const waiting = post({ topic: 'a', data: 1 })
    for (let at = 0; waits.length === 0 && at < 200; at++) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(waits).to.have.length(1)
    expect((await history(world)).entries).to.have.length(0)
    pressed = false
    for (const goOn of waits) goOn()
    expect((await waiting).status).to.equal(201)
  })

  it('what the store did not take is 503 with Retry-After, never 201, until it takes it [P-8.7] [P-12.23]', async () => {
    const store = new GatedStore(new MemoryStore())
    await world.close()
    world = await makeWorld({ store })
    store.committing = async (buckets) => buckets.map(() => 'unknown')
    const { status, body, headers } = await post({ topic: 'a', id: 'one', data: 1 })
    expect([status, body['code']]).to.deep.equal([503, 'store-unavailable'])
    expect(Number(headers.get('retry-after'))).to.be.greaterThan(0)
    store.committing = undefined
    expect((await post({ topic: 'a', id: 'one', data: 1 })).status).to.equal(201)
    expect((await history(world)).entries).to.have.length(1)
  })

  it('a publish while the log closes is 503 stopping, never 201 [P-8.7] [P-12.24]', async () => {
    await world.log.close()
    const { status, body, headers } = await post({ topic: 'a', data: 1 })
    expect([status, body['code']]).to.deep.equal([503, 'stopping'])
    expect(Number(headers.get('retry-after'))).to.be.greaterThan(0)
  })

  it('publishes of one client in turn have ascending positions [P-8.10]', async () => {
    const seqs: number[] = []
    for (let at = 0; at < 5; at++) seqs.push(seqOf((await post({ topic: 'a', data: at })).body['pos'] as string))
    expect(seqs).to.deep.equal([1, 2, 3, 4, 5])
  })
})
