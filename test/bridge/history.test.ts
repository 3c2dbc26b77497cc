/** `GET …/entries`: what a page says. */
import { expect } from 'chai'
import { append, ask, history, makeWorld, seqOf, type World } from './support.ts'

const path = '/v1/streams/users/alice/entries'

describe('bridge: history', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld({ openEnabled: true })))
  afterEach(() => world.close())

  const notes = (count: number): { topic: string; payload: string }[] =>
    Array.from({ length: count }, (_, at) => ({ topic: `users/alice/notes/${at % 3}`, payload: `n${at + 1}` }))

  it('an empty stream is a page without entries at the empty beginning [P-1.34] [P-2.8]', async () => {
    const beginning = `${world.log.epoch}.0.0000`
    expect(await history(world)).to.deep.equal({ entries: [], next: beginning, head: beginning, first: beginning, upToDate: true })
  })

  it('envelopes show the entry, its payload verbatim, and the latency receipt [P-3.3 – P-3.17] [P-11.21]', async () => {
    world.clock.ms = 1_700_000_000_123
    await append(world, 'users/alice', [
      { topic: 'users/alice/a', payload: '{"big": 12345678901234567890, "x":1.0}', id: 'one' },
      { topic: 'users/alice/b', payload: 'plain ü "quoted"', retain: true },
      { topic: 'users/alice/b', payload: '', retain: true },
    ])
    const { text, body } = await ask(world, path, { token: 'alice' })
    expect(text).to.include('"data":{"big": 12345678901234567890, "x":1.0}')
    const [data, plain, deleted] = body['entries'] as Record<string, unknown>[]
    expect(data).to.include({ id: 'one', ts: 1_700_000_000_123, from: 'alice', client: 'phone', topic: 'users/alice/a' })
    expect(data).to.not.have.any.keys('retain', 'deleted', 'text', 'base64')
    expect(data?.['hops']).to.deep.equal({
      received: world.clock.ms,
      authorised: world.clock.ms,
      committed: world.clock.ms,
      written: world.clock.ms,
    })
    expect(plain).to.include({ text: 'plain ü "quoted"', retain: true })
    expect(deleted).to.include({ deleted: true, retain: true })
    expect(body['first']).to.equal(data?.['pos'])
    expect(body['head']).to.equal(deleted?.['pos'])
    expect(body['next']).to.equal(body['head'])
  })

  it('two reads show the same members, hops apart [P-3.20]', async () => {
    await append(world, 'users/alice', notes(5))
    const bare = async (): Promise<unknown[]> => (await history(world)).entries.map((entry) => ({ ...entry, hops: undefined }))
    const first = await bare()
    world.clock.ms += 5_000
    expect(await bare()).to.deep.equal(first)
  })

  it('the limit is 100 by default and 1,000 at most [P-11.20] [P-13.30] [P-13.31]', async () => {
    await append(world, 'users/alice', notes(1_100))
    expect((await history(world)).entries).to.have.length(100)
    expect((await history(world, 'limit=1000')).entries).to.have.length(1_000)
    const { status, body } = await ask(world, `${path}?limit=1001`, { token: 'alice' })
    expect([status, body['code']]).to.deep.equal([400, 'bad-request'])
  })

  it('a page ends at pageBytesMax, and one entry always has room [P-11.20] [P-13.32]', async () => {
    await world.close()
    world = await makeWorld({ limits: { pageBytesMax: 1_000 } })
    await append(world, 'users/alice', [{ topic: 'users/alice/big', payload: 'y'.repeat(3_000) }, ...notes(20)])
    const big = await history(world)
    expect(big.entries).to.have.length(1)
    expect(big.upToDate).to.equal(false)
    const { text, body } = await ask(world, `${path}?after=${big.next}`, { token: 'alice' })
    const entries = body['entries'] as unknown[]
    expect(entries.length).to.be.greaterThan(1)
    expect(text.indexOf('],"next"') - '{"entries":['.length).to.be.at.most(1_000)
    expect(text.indexOf('],"next"') - '{"entries":['.length).to.be.greaterThan(600)
  })

  it('limit=0 answers where the stream stands, and whether anything is left [P-11.25]', async () => {
    await append(world, 'users/alice', notes(9))
    const all = await history(world)
    expect(await history(world, 'limit=0')).to.deep.equal({ ...all, entries: [], next: `${world.log.epoch}.0.0000`, upToDate: false })
    const third = all.entries[2]?.pos ?? ''
    expect((await history(world, `limit=0&after=${third}`)).next).to.equal(third)
    expect((await history(world, `limit=0&after=${all.head}`)).upToDate).to.equal(true)
    expect((await history(world, `limit=0&reverse=true&before=${third}`)).next).to.equal(third)
  })

  it('earliest is one before first, also after trimming [P-2.15] [P-11.14]', async () => {
    await append(world, 'users/alice', notes(10))
    await append(world, 'users/alice', notes(10))
    await world.log.trim('users/alice', 8)
    const page = await history(world, 'after=earliest')
    expect(page.entries.map(({ pos }) => seqOf(pos))).to.deep.equal([8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
    expect(page.first).to.equal(page.entries[0]?.pos)
    expect((await history(world, '')).entries).to.have.length(13)
  })

  it('the position one before first is served after trimming, its mark checked [P-2.14]', async () => {
    await append(world, 'users/alice', notes(3))
    const last = (await history(world)).head
    await append(world, 'users/alice', notes(3))
    await world.log.trim('users/alice', 4)
    expect((await history(world, `after=${last}`)).entries).to.have.length(3)
    const forged = last.slice(0, -4) + (last.endsWith('aaaa') ? 'bbbb' : 'aaaa')
    expect((await ask(world, `${path}?after=${forged}`, { token: 'alice' })).body).to.include({ status: 410, reason: 'epoch' })
  })

  for (const parameter of ['after', 'before']) {
    it(`${parameter} that cannot be served is 410 with reason, first and head, checked in order [P-11.26] [P-2.9 – P-2.13] [P-12.17 – P-12.19]`, async () => {
      await append(world, 'users/alice', notes(5))
      const old = (await history(world)).entries[1]?.pos ?? ''
      await append(world, 'users/alice', notes(5))
      await world.log.trim('users/alice', 5)
      const { first, head } = await history(world)
      const [epoch = '', , mark = ''] = head.split('.')
      const cases = {
        trimmed: old,
        ahead: `${epoch}.99.${mark}`,
        epoch: `OTHEREPO.99.${mark}`,
      }
      for (const [reason, position] of Object.entries(cases)) {
        const { status, body, headers } = await ask(world, `${path}?${parameter}=${position}`, { token: 'alice' })
        expect(status, reason).to.equal(410)
        expect(headers.get('content-type')).to.equal('application/problem+json')
        expect(body).to.include({ code: reason, reason, first, head, type: `urn:tidemark:error:${reason}` })
      }
      const wrongMark = await ask(world, `${path}?${parameter}=${epoch}.10.${mark === 'aaaa' ? 'bbbb' : 'aaaa'}`, { token: 'alice' })
      expect(wrongMark.body).to.include({ code: 'epoch', reason: 'epoch' })
      const malformed = await ask(world, `${path}?${parameter}=${epoch}.010.${mark}`, { token: 'alice' })
      expect(malformed.body).to.include({ status: 400, code: 'bad-position' })
    })
  }

  it('malformed and unknown parameters are bad-request, other words for positions bad-position, filters bad-filter [P-11.14 – P-11.20] [P-12.5]', async () => {
    const expected: Record<string, string> = {
      'limit=-1': 'bad-request',
      'limit=1.5': 'bad-request',
      'limit=': 'bad-request',
      'limit=0x10': 'bad-request',
      'limit=1&limit=2': 'bad-request',
      'reverse=1': 'bad-request',
      'reverse=': 'bad-request',
      'since=yesterday': 'bad-request',
      'until=1e3': 'bad-request',
      'nonsense=1': 'bad-request',
      '__proto__=1': 'bad-request',
      'after=': 'bad-position',
      'after=snapshot': 'bad-position',
      'after=now': 'bad-position',
      'before=earliest': 'bad-position',
      'topic=': 'bad-filter',
      'topic=a%23': 'bad-filter',
      'topic=%23/a': 'bad-filter',
      'topic=a//b': 'bad-filter',
      'topic=%24acl': 'bad-filter',
      'topic=a*': 'bad-filter',
      'topic=a%00': 'bad-filter',
      'topic=%FF': 'bad-filter',
      'topic=1/2/3/4/5/6/7/8': 'bad-filter',
    }
    for (const [query, code] of Object.entries(expected)) {
      const { status, body } = await ask(world, `${path}?${query}`, { token: 'alice' })
      expect([status, body['code']], query).to.deep.equal([400, code])
    }
  })

  it('a topic filter selects below the stream; next moves over what does not match [P-11.18] [P-11.22]', async () => {
    await append(world, 'users/alice', notes(9))
    const page = await history(world, `topic=${encodeURIComponent('notes/1')}`)
    expect(page.entries.map(({ pos }) => seqOf(pos))).to.deep.equal([2, 5, 8])
    expect(page.next).to.equal(page.head)
    expect(page.upToDate).to.equal(true)
    expect((await history(world, `topic=${encodeURIComponent('+/2')}`)).entries).to.have.length(3)
    expect((await history(world, `topic=${encodeURIComponent('notes')}`)).entries).to.have.length(0)
  })

  it('upToDate is true with the last matching entry, though others follow it, and false while one is left [P-11.24]', async () => {
    await append(world, 'users/alice', [...notes(6), { topic: 'users/alice/other' }, { topic: 'users/alice/other' }])
    const full = await history(world, 'topic=notes/1&limit=2')
    expect([full.entries.length, full.upToDate, full.next === full.head]).to.deep.equal([2, true, true])
    const left = await history(world, 'topic=notes/1&limit=1')
    expect([left.entries.length, left.upToDate, seqOf(left.next)]).to.deep.equal([1, false, 4])
  })

  it('since and until are compared with ts: not less, and less [P-11.16] [P-11.17]', async () => {
    for (const ms of [1_000, 2_000, 3_000, 4_000]) {
      world.clock.ms = ms
      await append(world, 'users/alice', notes(2))
    }
    const seqs = async (query: string): Promise<number[]> => (await history(world, query)).entries.map(({ pos }) => seqOf(pos))
    expect(await seqs('since=2000')).to.deep.equal([3, 4, 5, 6, 7, 8])
    expect(await seqs('since=2001')).to.deep.equal([5, 6, 7, 8])
    expect(await seqs('until=3000')).to.deep.equal([1, 2, 3, 4])
    expect(await seqs('since=2000&until=4000')).to.deep.equal([3, 4, 5, 6])
    expect(await seqs('since=3000&until=2000')).to.deep.equal([])
    expect(await seqs('since=9999')).to.deep.equal([])
    expect(await seqs('until=4000&reverse=true&limit=2')).to.deep.equal([6, 5])
    expect(await seqs('since=3000&reverse=true')).to.deep.equal([8, 7, 6, 5])
  })

  it('reverse goes backwards from the newest, or from the one before before [P-11.23]', async () => {
    await append(world, 'users/alice', notes(7))
    const newest = await history(world, 'reverse=true&limit=3')
    expect(newest.entries.map(({ pos }) => seqOf(pos))).to.deep.equal([7, 6, 5])
    const rest = await history(world, `reverse=true&before=${newest.next}`)
    expect(rest.entries.map(({ pos }) => seqOf(pos))).to.deep.equal([4, 3, 2, 1])
    expect([newest.upToDate, rest.upToDate]).to.deep.equal([false, true])
  })

  it('Link names the next page in either direction, and the last page has none [P-11.22] [P-11.23]', async () => {
    await append(world, 'users/alice', notes(7))
    const follow = async (query: string): Promise<number[][]> => {
      const pages: number[][] = []
      for (let next: string | undefined = query; next !== undefined;) {
        const { headers, body } = await ask(world, path + next, { token: 'alice' })
        const { entries, upToDate } = body as unknown as { entries: { pos: string }[]; upToDate: boolean }
        pages.push(entries.map(({ pos }) => seqOf(pos)))
        next = /^<(\?[^>]*)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1]
        expect(next === undefined).to.equal(upToDate)
      }
      return pages
    }
    expect(await follow('?limit=3&topic=%23')).to.deep.equal([[1, 2, 3], [4, 5, 6], [7]])
    expect(await follow('?limit=2&topic=notes%2F%2B&reverse=true&until=9999999999999')).to.deep.equal([[7, 6], [5, 4], [3, 2], [1]])
  })

  it('before and after bound a page on both sides [P-11.14] [P-11.15]', async () => {
    await append(world, 'users/alice', notes(9))
    const { entries } = await history(world)
    const between = await history(world, `after=${entries[2]?.pos}&before=${entries[6]?.pos}`)
    expect(between.entries.map(({ pos }) => seqOf(pos))).to.deep.equal([4, 5, 6])
    expect([between.upToDate, seqOf(between.next)]).to.deep.equal([true, 6])
    const none = await history(world, `after=${entries[6]?.pos}&before=${entries[2]?.pos}`)
    expect([none.entries.length, none.upToDate, none.next]).to.deep.equal([0, true, entries[6]?.pos])
  })

  it('the open stream is read by its own name; a leading wildcard passes over $ topics [P-1.26] [P-1.27] [P-11.13]', async () => {
    await append(world, 'open/-', [{ topic: 'a' }, { topic: '/x' }, { topic: '$data/1' }, { topic: 'deep/1/2/3/4/5/6/7' }])
    const open = '/v1/streams/open/-/entries'
    expect((await history(world, '', open)).entries.map(({ topic }) => topic)).to.deep.equal(['a', '/x', 'deep/1/2/3/4/5/6/7'])
    expect((await history(world, `topic=${encodeURIComponent('$data/#')}`, open)).entries).to.have.length(1)
    for (const filter of ['$SYS/#', '$share/g/a', 'users/alice/#', 'sync/a', 'outbox/a/#']) {
      const { body } = await ask(world, `${open}?topic=${encodeURIComponent(filter)}`, { token: 'alice' })
      expect(body['code'], filter).to.equal('bad-filter')
    }
  })

  it('the store is asked for the head before a page speaks of it [P-2.18]', async () => {
    let asked = 0
    const confirm = world.log.confirmHead.bind(world.log)
    world.log.confirmHead = (stream) => (asked++, confirm(stream))
    await history(world)
    expect(asked).to.be.greaterThan(0)
  })

  it('a page that was overtaken by trimming begins again, or is refused as trimmed [P-2.17]', async () => {
    await world.close()
    world = await makeWorld({ limits: { tailCacheBytesMax: 1 } })
    for (let at = 0; at < 6; at++) await append(world, 'users/alice', notes(4))
    const positions = (await history(world)).entries.map(({ pos }) => pos)
    const read = world.log.read.bind(world.log)
    let overtaken = 0
    const trimOnRead = (before: number): void => {
      world.log.read = async (stream, from, bytesMax) => {
        world.log.read = read
        overtaken++
        await world.log.trim('users/alice', before)
        return await read(stream, from, bytesMax)
      }
    }
    trimOnRead(9)
    expect(seqOf((await history(world)).entries[0]?.pos ?? '')).to.equal(9)
    trimOnRead(13)
    expect((await ask(world, `${path}?after=${positions[7]}`, { token: 'alice' })).body).to.include({ status: 410, code: 'trimmed' })
    expect((await ask(world, `${path}?after=${positions[1]}`, { token: 'alice' })).body).to.include({ status: 410, code: 'trimmed' })
    expect(overtaken).to.equal(2)
  })
})
