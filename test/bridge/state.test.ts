/** `GET …/state`. */
import { expect } from 'chai'
import { append, ask, history, makeWorld, seqOf, type Shown, type World } from './support.ts'

const path = '/v1/streams/users/alice/state'

interface StatePage {
  readonly entries: Shown[]
  readonly next: string
  readonly pos: string
  readonly upToDate: boolean
}

describe('bridge: state', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld()))
  afterEach(() => world.close())

  const state = async (query = ''): Promise<StatePage> => {
    const { status, body, text } = await ask(world, `${path}?${query}`, { token: 'alice' })
    expect(status, text).to.equal(200)
    return body as unknown as StatePage
  }
  const put = (name: string, payload = 'x'): Promise<number> =>
    append(world, 'users/alice', [{ topic: `users/alice/${name}`, payload, retain: true }])
  const names = ({ entries }: StatePage): string[] => entries.map(({ topic }) => topic.slice('users/alice/'.length))

  it('an empty stream has an empty state at the empty beginning [P-11.30]', async () => {
    const beginning = `${world.log.epoch}.0.0000`
    expect(await state()).to.deep.equal({ entries: [], next: beginning, pos: beginning, upToDate: true })
  })

  it('shows the last retained entry of each topic in ascending position, without what was deleted [P-9.1] [P-11.30]', async () => {
    await put('a', '1')
    await put('b', '1')
    await put('c', '1')
    await append(world, 'users/alice', [{ topic: 'users/alice/d' }])
    await put('a', '2')
    await put('b', '')
    const page = await state()
    expect(page.entries.map(({ topic, pos }) => [topic, seqOf(pos)])).to.deep.equal([
      ['users/alice/c', 3],
      ['users/alice/a', 5],
    ])
    const { entries, head } = await history(world)
    const { hops, ...shown } = entries[4] as Shown & { hops?: unknown }
    expect(hops).to.be.an('object')
    expect(page.entries[1]).to.deep.equal(shown)
    expect(page.pos).to.equal(head)
  })

  it('next of each page works as after of the next; only the last is upToDate; pos continues in the history [P-11.31] [P-11.32]', async () => {
    for (let at = 0; at < 25; at++) await put(`t${at}`)
    for (const limit of [1, 7, 24, 25, 26]) {
      const seen: string[] = []
      let after = 'earliest'
      let pages = 0
      for (;;) {
        const page = await state(`limit=${limit}&after=${after}`)
        seen.push(...names(page))
        after = page.next
        expect(page.upToDate).to.equal(seen.length === 25)
        if (++pages > 30 || page.upToDate) break
      }
      expect(seen).to.deep.equal(Array.from({ length: 25 }, (_, at) => `t${at}`))
      expect(pages).to.equal(Math.ceil(25 / limit))
    }
    const { pos } = await state('limit=1')
    await put('t0', 'changed')
    expect((await history(world, `after=${pos}`)).entries.map(({ topic }) => topic)).to.deep.equal(['users/alice/t0'])
  })

  it('takes a filter; upToDate looks at what matches only [P-11.18]', async () => {
    for (const name of ['a/1', 'b/1', 'a/2', 'b/2']) await put(name)
    const page = await state('topic=a/%2B&limit=2')
    expect([names(page), page.upToDate]).to.deep.equal([['a/1', 'a/2'], true])
    expect((await state('topic=b/%2B&limit=1')).upToDate).to.equal(false)
    expect((await state('limit=0')).upToDate).to.equal(false)
  })

  it('a page ends at pageBytesMax [P-11.20]', async () => {
    await world.close()
    world = await makeWorld({ limits: { pageBytesMax: 700 } })
    for (let at = 0; at < 10; at++) await put(`t${at}`, 'y'.repeat(100))
    const page = await state()
    expect(page.entries.length).to.be.within(1, 5)
    expect(page.upToDate).to.equal(false)
  })

  it('pages lead on over entries whose log was trimmed [P-9.5] [P-11.32]', async () => {
    for (let at = 0; at < 6; at++) await put(`t${at}`)
    await append(world, 'users/alice', [{ topic: 'users/alice/x' }])
    await append(world, 'users/alice', [{ topic: 'users/alice/x' }])
    await world.log.trim('users/alice', 8)
    const first = await state('limit=2')
    expect(names(first)).to.deep.equal(['t0', 't1'])
    expect(names(await state(`after=${first.next}`))).to.deep.equal(['t2', 't3', 't4', 't5'])
    expect(names(await state(`after=${world.log.epoch}.0.0000`))).to.have.length(6)
    await put('t1', 'changed')
    expect(names(await state(`after=${first.next}`))).to.deep.equal(['t2', 't3', 't4', 't5', 't1'])
    const forged = (await state('limit=1')).next.replace(/.{4}$/, 'zzzz')
    expect((await ask(world, `${path}?after=${forged}`, { token: 'alice' })).body).to.include({ status: 410 })
  })

  it('after of another history or beyond the head is 410, malformed 400 [P-11.26]', async () => {
    await put('a')
    const { next } = await state()
    const mark = next.split('.')[2] ?? ''
    for (const [after, code] of [
      [`OTHEREPO.1.${mark}`, 'epoch'],
      [`${world.log.epoch}.9.${mark}`, 'ahead'],
      [`${world.log.epoch}.1.${mark === 'zzzz' ? 'yyyy' : 'zzzz'}`, 'epoch'],
      ['snapshot', 'bad-position'],
    ] as const) {
      expect((await ask(world, `${path}?after=${after}`, { token: 'alice' })).body['code'], after).to.equal(code)
    }
  })

  it('parameters of history that mean nothing here are bad-request [P-11.30]', async () => {
    for (const query of ['before=x', 'since=1', 'reverse=true', 'limit=1001']) {
      expect((await ask(world, `${path}?${query}`, { token: 'alice' })).body['code'], query).to.equal('bad-request')
    }
  })
})
