/** What every way to the server must do, over a real server: client/transport/transport.ts. */
import { expect } from 'chai'
import { connectAsync } from 'mqtt'
import { ClientError } from '../../client/errors.ts'
import { seqOf } from '../../client/position.ts'
import type { Surroundings } from '../../client/request.ts'
import type { Transport } from '../../client/transport/transport.ts'
import { FaultProxy } from '../../chaos/faults/proxy.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'
import { credentialFrom, failureOf, Heard, surroundings } from './rig.ts'

const board = 'spaces/board-7/#'
const spaces = { 'board-7': 'write', 'board-8': 'write' } as const

/** What is published at once is more than a WebSocket message may hold: the largest packet, and what the SDK gathers. */
const strictServer = (): Promise<TestServer> => testServer({ settings: { limits: { webSocketMessageBytesMax: 1 } } })

export interface ContractWorld {
  /** Default one of this process. */
  readonly server?: () => Promise<TestServer>
  /** Titles of what this transport does otherwise, or what cannot be tried with it, and why: they are not run. */
  readonly differs?: Readonly<Record<string, string>>
  /** Of a token that shall end during a test. */
  readonly shortLifeMs?: number
}

export function transportContract(
  name: string,
  make: (surroundings: Surroundings) => Transport,
  { server: start = strictServer, differs = {}, shortLifeMs = 2_000 }: ContractWorld = {},
): void {
  const titles = new Set<string>()
  const it = (title: string, run: () => Promise<void>): void => {
    titles.add(title)
    if (!Object.hasOwn(differs, title)) globalThis.it(title, run)
  }

  describe(`transport contract: ${name}`, () => {
    let server: TestServer
    let proxy: FaultProxy
    const open: Heard[] = []

    before(async () => void (server = await start()))
    after(() => server.stop())
    beforeEach(async () => void (proxy = await FaultProxy.open('client', server.ports.http)))
    afterEach(() => {
      for (const heard of open.splice(0)) heard.session.close()
      proxy.close()
    })

    globalThis.it('differs in nothing that is not in it', () => expect([...titles]).to.include.members(Object.keys(differs)))

    /** As a client asks for it again. */
    const idOf = ({ credential }: Heard): string => credential.aws?.clientId ?? credential.clientId
    const viaProxy = (): string => `http://127.0.0.1:${proxy.port}`

    /** A session of the user; `url` of the server or the proxy. */
    async function session(user: string, url = server.urls.http, using = surroundings(), ttlMs = 3_600_000): Promise<Heard> {
      const credential = await credentialFrom(url, await server.token(user, { spaces, ttlMs }))
      const heard = await Heard.open(make(using), credential)
      open.push(heard)
      return heard
    }

    it('[P-6.1] [P-6.8] [P-6.15] tells at first, then every entry from there on, in order, without a gap', async () => {
      const [reader, writer] = [await session('alice'), await session('bob')]
      const before = await writer.session.put('spaces/board-7/before', { id: 'before-1', data: 0 })
      const at = await reader.follow(board)
      expect(at.head).to.equal('pos' in before ? before.pos : '')
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, n) => writer.session.put('spaces/board-7/n', { id: `n-${n}`, data: n })),
      )
      const entries = await reader.count(board, 30)
      // Requests of their own may pass each other on the way; the answers say where each one stands.
      const places = answers.map((answer) => ('pos' in answer ? { id: answer.id, seq: seqOf(answer.pos) } : { id: answer.id, seq: -1 }))
      const inOrder = places.sort((one, other) => one.seq - other.seq)
      expect(inOrder.map(({ seq }) => seq)).to.deep.equal(Array.from({ length: 30 }, (_, n) => seqOf(at.head) + 1 + n))
      expect(entries.map(({ id }) => id)).to.deep.equal(inOrder.map(({ id }) => id))
      expect(entries[0]).to.include({ from: 'bob', topic: 'spaces/board-7/n' })
    })

    it('[P-5.10] [P-5.11] answers puts by their ids: new, duplicate, conflict with what stands there', async () => {
      const { session: writer } = await session('bob')
      const topic = 'spaces/board-8/card'
      const first = await writer.put(topic, { id: 'card-1', text: 'a', retain: true, if: 'none' })
      expect(first).to.have.all.keys('id', 'pos')
      const again = await writer.put(topic, { id: 'card-1', text: 'a', retain: true, if: 'none' })
      expect(again).to.deep.equal({ ...first, duplicate: true })
      const conflict = await writer.put(topic, { id: 'card-2', text: 'b', retain: true, if: 'none' })
      expect(conflict).to.deep.include({ id: 'card-2', error: 'conflict' })
      expect('current' in conflict && conflict.current).to.include({ id: 'card-1', text: 'a' })
      const reused = await writer.put(topic, { id: 'card-1', text: 'c', retain: true })
      expect(reused).to.include({ id: 'card-1', error: 'id-reused' })
      const forbidden = await writer.put('spaces/other/card', { id: 'card-3', text: 'x' })
      expect(forbidden).to.include({ id: 'card-3', error: 'forbidden' })
    })

    it('[P-8.9] appends the puts that may be under way at once in the order of their calls', async () => {
      const writer = await session('bob')
      const { putsInFlightMax } = make(surroundings())
      const reader = await session('alice')
      await reader.follow('spaces/board-8/#')
      const count = Math.min(putsInFlightMax, 64)
      await Promise.all(Array.from({ length: count }, (_, n) => writer.session.put('spaces/board-8/order', { id: `order-${n}`, data: n })))
      const entries = await reader.count('spaces/board-8/#', count)
      expect(entries.map((entry) => entry.data)).to.deep.equal(Array.from({ length: count }, (_, n) => n))
    })

    it('[P-8.9] [P-13.6] puts that are under way at once may each be nearly as large as a packet', async () => {
      const { session: writer } = await session('bob')
      const { putsInFlightMax } = make(surroundings())
      const text = 'x'.repeat(90_000)
      const count = Math.min(putsInFlightMax, 24)
      const answers = await Promise.all(
        Array.from({ length: count }, (_, n) => writer.put('spaces/board-8/large', { id: `large-${n}`, text })),
      )
      for (const answer of answers) expect(answer).to.have.property('pos')
    })

    it('[P-5.11] [P-12.20] a put that would cost the connection is answered, and the session goes on', async () => {
      const { session: writer } = await session('bob')
      const big = await writer.put('spaces/board-8/big', { id: 'big-1', text: 'ä'.repeat(70_000) })
      expect(big).to.include({ id: 'big-1', error: 'payload-too-large' })
      for (const topic of ['spaces/board-8/a/b/c/d/e/f/g', `spaces/board-8/${'x'.repeat(300)}`, 'spaces/board-8/+', 'spaces/board-8/\0']) {
        expect(await writer.put(topic, { id: 'bad-1', data: 1 }), topic).to.include({ id: 'bad-1', error: 'bad-topic' })
      }
      expect(await writer.put('spaces/board-8/fine', { id: 'fine-1', data: 1 })).to.have.property('pos')
    })

    it('[P-4.8] [P-13.8] many filters at once: each granted or refused by itself', async () => {
      const reader = await session('alice')
      const good = Array.from({ length: 20 }, (_, n) => `spaces/board-7/part-${n}/#`)
      const bad = ['spaces/other/#', 'users/bob/#']
      for (const filter of [...good, ...bad]) reader.session.follow(filter)
      await Promise.all([...good.map((filter) => reader.at(filter)), ...bad.map((filter) => reader.refused(filter))])
      const writer = await session('bob')
      await writer.session.put('spaces/board-7/part-13/x', { id: 'part-13', data: 13 })
      expect((await reader.count(good[13] as string, 1))[0]?.id).to.equal('part-13')
      expect(reader.told.all.filter((told) => told.what === 'entry')).to.have.length(1)
    })

    it('[P-6.6] two filters of one stream each tell an entry once', async () => {
      const [reader, writer] = [await session('alice'), await session('bob')]
      await reader.follow(board)
      await reader.follow('spaces/board-7/cards/#')
      await writer.session.put('spaces/board-7/cards/1', { id: 'twice-1', data: 1 })
      await writer.session.put('spaces/board-7/last', { id: 'twice-2', data: 2 })
      await Promise.all([reader.count(board, 2), reader.count('spaces/board-7/cards/#', 1)])
      expect(reader.entries(board).map((entry) => entry.id)).to.deep.equal(['twice-1', 'twice-2'])
      expect(reader.entries('spaces/board-7/cards/#').map((entry) => entry.id)).to.deep.equal(['twice-1'])
    })

    it('[P-6.3] a filter below a level is for the topic of that level, too', async () => {
      const [reader, writer] = [await session('alice'), await session('bob')]
      await reader.follow('spaces/board-7/deep/#')
      await writer.session.put('spaces/board-7/deep', { id: 'deep-1', data: 1 })
      expect((await reader.count('spaces/board-7/deep/#', 1))[0]?.id).to.equal('deep-1')
    })

    it('[P-6.1] a filter that is left tells nothing more; followed again it begins at the head', async () => {
      const [reader, writer] = [await session('alice'), await session('bob')]
      await reader.follow(board)
      await reader.follow('spaces/board-8/#')
      reader.session.unfollow(board)
      await reader.session.probe()
      const missed = await writer.session.put('spaces/board-7/x', { id: 'left-1', data: 1 })
      await writer.session.put('spaces/board-8/x', { id: 'left-2', data: 1 })
      await reader.count('spaces/board-8/#', 1)
      expect(reader.entries(board)).to.deep.equal([])
      expect((await reader.follow(board)).head).to.equal('pos' in missed && missed.pos)
      await writer.session.put('spaces/board-7/x', { id: 'left-3', data: 1 })
      expect((await reader.count(board, 1)).map((entry) => entry.id)).to.deep.equal(['left-3'])
    })

    it('[P-3.2] shows ephemeral messages, once', async () => {
      const reader = await session('alice')
      await reader.follow(board)
      const sender = await connectAsync(server.urls.mqtt, {
        password: await server.token('bob', { spaces }),
        username: 'bob',
        reconnectPeriod: 0,
      })
      await sender.publishAsync('spaces/board-7/typing', '{"who":"bob"}', { qos: 0 })
      await sender.endAsync()
      const [message] = await reader.count(board, 1)
      expect(message).to.deep.include({ ephemeral: true, data: { who: 'bob' } })
    })

    it('[P-16.3] a reader who is withdrawn is told ended, and hears nothing more of the space', async () => {
      const reader = await session('carol')
      await reader.follow(board)
      const owner = await server.token('alice', { spaces: { 'board-7': 'own' } })
      const answer = await fetch(`${server.urls.http}/v1/streams/spaces/board-7/members/carol`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${owner}` },
      })
      expect(answer.status).to.equal(200)
      const told = await reader.told.take((one) => one.what === 'control' && one.control.ctl === 'ended', 'ended')
      expect('control' in told && told.control).to.include({ ctl: 'ended', reason: 'withdrawn' })
      reader.session.follow(board)
      await reader.refused(board)
    })

    it('[P-7.9] [P-10.24] a renewed session outlives its first token, and misses nothing', async () => {
      const startedMs = performance.now()
      const writer = await session('bob')
      // A busy machine takes longer to renew, too.
      const lifeMs = shortLifeMs + 10 * Math.ceil(performance.now() - startedMs)
      const endsMs = Date.now() + lifeMs
      const reader = await session('alice', server.urls.http, surroundings(), lifeMs)
      await reader.follow(board)
      await reader.session.renew(await credentialFrom(server.urls.http, await server.token('alice', { spaces }), idOf(reader)))
      for (let n = 0; Date.now() < endsMs + 500; n++) {
        await writer.session.put('spaces/board-7/renew', { id: `renew-${endsMs}-${n}`, data: n })
        await reader.count(board, n + 1)
      }
      await writer.session.put('spaces/board-7/renew', { id: `renew-${endsMs}-last`, data: 'last' })
      await reader.told.until(() => reader.entries(board).some((entry) => entry.data === 'last'), 'the last entry')
      const entries = reader.entries(board)
      expect(entries.slice(0, -1).map((entry) => entry.data)).to.deep.equal(entries.slice(0, -1).map((_, n) => n))
      expect(reader.told.all.some((told) => told.what === 'closed')).to.equal(false)
    })

    it('[P-10.23] a session that is not renewed ends with its token', async () => {
      const reader = await session('alice', server.urls.http, surroundings(), 2_000)
      await reader.follow(board)
      expect(await reader.closed()).to.be.instanceOf(ClientError)
    })

    it('[P-10.24] a token of another user renews nothing, and the session goes on', async () => {
      const reader = await session('alice')
      await reader.follow(board)
      const other = await credentialFrom(server.urls.http, await server.token('bob', { spaces }), idOf(reader))
      const refused = await failureOf(reader.session.renew(other))
      expect(refused.code).to.equal('forbidden')
      await reader.session.probe()
    })

    it('[P-10.25] a revoked token ends the session as unauthorized', async () => {
      const reader = await session('mallory')
      await reader.follow(board)
      const answer = await fetch(`${server.urls.http}/v1/revocations`, {
        method: 'POST',
        headers: { authorization: `Bearer ${await server.token('ops', { grants: ['ops:revoke'] })}`, 'content-type': 'application/json' },
        body: JSON.stringify({ uid: 'mallory' }),
      })
      expect(answer.status).to.equal(204)
      expect((await reader.closed())?.code).to.equal('unauthorized')
    })

    it('[P-12.10] a token that the server does not accept is told from a server that is not there', async () => {
      const credential = await credentialFrom(server.urls.http, await server.token('alice'))
      const forged = { ...credential, token: `${credential.token.slice(0, -8)}AAAAAAAA` }
      expect((await failureOf(Heard.open(make(surroundings()), forged))).code).to.equal('unauthorized')
      const nowhere = { ...credential, mqttUrl: 'ws://127.0.0.1:1/mqtt', httpUrl: 'http://127.0.0.1:1' }
      expect((await failureOf(Heard.open(make(surroundings()), nowhere))).code).to.equal('network')
    })

    it('[P-8.8] a connection that is cut says so once, with every put that has no answer', async () => {
      const writer = await session('bob', viaProxy())
      await writer.follow(board)
      proxy.loseAnswers()
      const puts = [1, 2].map((n) => failureOf(writer.session.put('spaces/board-7/cut', { id: `cut-${n}`, data: n })))
      proxy.cut()
      expect((await Promise.all(puts)).map((error) => error.code)).to.deep.equal(['network', 'network'])
      expect((await writer.closed())?.code).to.equal('network')
      expect((await failureOf(writer.session.put('spaces/board-7/cut', { id: 'cut-3', data: 3 }))).code).to.equal('network')
      expect(writer.told.all.filter((told) => told.what === 'closed')).to.have.length(1)
    })

    it('[P-8.8] a server that does not answer any more is given up after the time-outs', async () => {
      const using = surroundings({ putTimeoutMs: 300, probeTimeoutMs: 200 })
      const prober = await session('alice', viaProxy(), using)
      const writer = await session('bob', viaProxy(), using)
      const credential = await credentialFrom(viaProxy(), await server.token('alice'))
      proxy.hold()
      expect((await failureOf(prober.session.probe())).code).to.equal('network')
      expect((await failureOf(writer.session.put('spaces/board-7/held', { id: 'held-1', data: 1 }))).code).to.equal('network')
      expect((await writer.closed())?.code).to.equal('network')
      expect((await failureOf(Heard.open(make(surroundings({ openTimeoutMs: 300 })), credential))).code).to.equal('network')
    })

    it('[P-6.15] a slow network changes nothing but the time, and the clock estimate says how far it may be off', async () => {
      const quick = await session('alice')
      await quick.follow(board)
      proxy.delay(40)
      const slow = await session('bob', viaProxy())
      await slow.follow(board)
      await Promise.all(Array.from({ length: 5 }, (_, n) => quick.session.put('spaces/board-7/slow', { id: `slow-${n}`, data: n })))
      expect((await slow.count(board, 5)).map((entry) => entry.data)).to.have.members([0, 1, 2, 3, 4])
      for (const { session: one } of [quick, slow]) {
        const clock = one.clockOffset()
        expect(Math.abs(clock?.offsetMs ?? NaN), 'both run on this machine').to.be.at.most((clock?.errorMs ?? NaN) + 2)
      }
      expect(slow.session.clockOffset()?.errorMs).to.be.at.least(40)
    })

    it('[P-7.11] opening that is given up ends at once and leaves nothing behind', async () => {
      const credential = await credentialFrom(viaProxy(), await server.token('alice'))
      proxy.hold()
      const giveUp = new AbortController()
      const opening = failureOf(Heard.open(make(surroundings()), credential, giveUp.signal))
      giveUp.abort(new ClientError('closed'))
      expect((await within(opening, 'the end of opening')).code).to.equal('closed')
    })

    it('[P-7.23] closing tells closed without a reason, and nothing after it', async () => {
      const [reader, writer] = [await session('alice'), await session('bob')]
      await reader.follow(board)
      const put = failureOf(reader.session.put('spaces/board-7/closing', { id: 'closing-1', data: 1 }))
      reader.session.close()
      reader.session.close()
      expect((await put).code).to.equal('network')
      expect(reader.told.all.at(-1)).to.deep.equal({ what: 'closed', reason: undefined })
      const told = reader.told.all.length
      await writer.session.put('spaces/board-7/after', { id: 'after-1', data: 1 })
      await writer.session.probe()
      expect(reader.told.all).to.have.length(told)
    })
  })
}
