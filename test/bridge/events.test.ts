/** Event streams of one process without a broker: what is shown, from where, and how a reader that was cut off goes on. */
import { expect } from 'chai'
import { cutEventReaders, EventReader, eventsPath, type EventsRequest, type SentEvent } from '../support/events.ts'
import { append, ask, history, makeWorld, seqOf, type World, type WorldOptions } from './support.ts'

const notes = 'users/alice/#'

describe('bridge: /v1/events', () => {
  const worlds: World[] = []
  const open = async (options: WorldOptions = {}): Promise<World> => {
    const world = await makeWorld(options)
    worlds.push(world)
    return world
  }
  const read = (world: World, from: string | readonly string[], more: Partial<EventsRequest> = {}): Promise<EventReader> =>
    EventReader.open(world.url, { token: 'alice', from: [from].flat(), ...more })
  afterEach(async () => {
    cutEventReaders()
    await Promise.all(worlds.splice(0).map((world) => world.close()))
  })

  it('[P-11.37, P-18.1, P-18.7, P-18.9] shows history, says that it is caught up, and shows what follows', async () => {
    const world = await open()
    await append(world, 'users/alice', [{ topic: 'users/alice/notes/1', payload: 'one' }])
    await append(world, 'users/alice', [{ topic: 'users/alice/notes/2', payload: '{"two":2}', retain: true }])
    const reader = await read(world, `${notes}@earliest`)
    expect(reader.response.headers).to.include({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const first = await reader.event('at')
    expect(first.json).to.include({ ctl: 'at', filter: notes, ts: world.clock.ms })
    expect(seqOf(first.json['pos'] as string)).to.equal(0)
    const [one, two] = await reader.events('entry', 2)
    const at = await reader.caughtUp(notes)
    expect(at.json['pos']).to.equal(two?.json['pos'])
    await append(world, 'users/alice', [{ topic: 'users/alice/notes/3', payload: 'three' }])
    const three = await reader.event('entry')

    // What is shown is what history shows, the receipt apart.
    const shown = [one, two, three].map((event) => {
      const { filter, hops: _hops, ...envelope } = (event as SentEvent).json
      expect(filter).to.equal(notes)
      return envelope
    })
    const page = await history(world)
    expect(shown).to.deep.equal(page.entries.map(({ hops: _hops, ...envelope }: { hops?: unknown; pos: string }) => envelope))
  })

  it('[P-18.3] begins where it is asked to: at a position, with the state, and without a place at the head', async () => {
    const world = await open()
    await append(world, 'users/alice', [
      { topic: 'users/alice/a', payload: 'old', retain: true },
      { topic: 'users/alice/b', payload: 'gone' },
      { topic: 'users/alice/a', payload: 'new', retain: true },
    ])
    const { entries, head } = await history(world)
    const fromPosition = await read(world, `${notes}@${entries[1]?.pos}`)
    expect((await fromPosition.event('entry')).json).to.include({ text: 'new' })

    const withState = await read(world, `${notes}@snapshot`)
    expect((await withState.event('snapshot-start')).json).to.deep.equal({ filter: notes, ctl: 'snapshot-start', pos: head })
    expect((await withState.event('entry')).json).to.include({ text: 'new', pos: head })
    expect((await withState.event('snapshot-end')).json).to.include({ pos: head })

    const bare = await read(world, notes)
    const empty = await read(world, `${notes}@`)
    for (const reader of [fromPosition, withState, bare, empty]) await reader.caughtUp(notes)
    await append(world, 'users/alice', [{ topic: 'users/alice/c', payload: 'next' }])
    for (const reader of [fromPosition, withState, bare, empty]) expect((await reader.event('entry')).json).to.include({ text: 'next' })
    expect(bare.inbox.all.map(({ name }) => name)).to.deep.equal(['at', 'entry'])
  })

  it('[P-18.3] the place stands behind the last @, so that a filter may hold one', async () => {
    const world = await open()
    await append(world, 'users/alice', [{ topic: 'users/alice/mail@home/x', payload: 'one' }])
    const reader = await read(world, 'users/alice/mail@home/#@earliest')
    expect((await reader.event('entry')).json).to.include({ filter: 'users/alice/mail@home/#', text: 'one' })
    const { status, body } = await ask(world, eventsPath(['users/alice/mail@home/#']), { token: 'alice' })
    expect([status, body['code']]).to.deep.equal([400, 'bad-position'])
  })

  it('[P-18.2, P-1.27] reads the open stream by its name, topics of any depth included', async () => {
    const world = await open({ openEnabled: true })
    await append(world, 'open/-', [{ topic: 'a/b/c/d/e/f/g', payload: 'deep' }])
    const reader = await read(world, 'open/-/a/b/c/d/e/f/#@earliest')
    expect((await reader.event('entry')).json).to.include({ topic: 'a/b/c/d/e/f/g', text: 'deep' })
  })

  it('[P-18.1, P-18.2, P-18.4, P-14.3] refuses what is malformed, named twice or too much', async () => {
    const world = await open()
    for (const [from, code] of [
      [[], 'bad-request'],
      [[notes, `${notes}@earliest`], 'bad-request'],
      [Array.from({ length: 51 }, (_, at) => `users/alice/${at}/#`), 'bad-request'],
      [[`${notes}@late`], 'bad-position'],
      [['users/alice'], 'bad-filter'],
      [['users/+/x'], 'bad-filter'],
      [['#'], 'bad-filter'],
      [['reply/x/#'], 'bad-filter'],
      [['open/-/#'], 'bad-filter'],
      [[`users/alice/${'x/'.repeat(7)}x`], 'bad-filter'],
      [[`users/alice/${'x'.repeat(260)}`], 'bad-filter'],
    ] as const) {
      const { status, body } = await ask(world, eventsPath(from), { token: 'alice' })
      expect([status, body['code']], from.join(' ')).to.deep.equal([400, code])
    }
    const other = await ask(world, `${eventsPath([notes])}&limit=5`, { token: 'alice' })
    expect([other.status, other.body['code']]).to.deep.equal([400, 'bad-request'])
    const most = await read(
      world,
      Array.from({ length: 50 }, (_, at) => `users/alice/${at}/#`),
    )
    await most.events('at', 50)
  })

  it('[P-18.4, P-16.3] refuses a filter without a grant, or of a space that the user was withdrawn from, and names it', async () => {
    const world = await open()
    const foreign = await ask(world, eventsPath([notes, 'users/bob/#']), { token: 'alice' })
    expect([foreign.status, foreign.body['code'], foreign.body['filter']]).to.deep.equal([403, 'forbidden', 'users/bob/#'])
    await ask(world, '/v1/streams/spaces/board/members/bob', { token: 'carol', method: 'DELETE' })
    const left = await ask(world, eventsPath(['users/bob/#', 'spaces/board/#']), { token: 'bob' })
    expect([left.status, left.body['code'], left.body['filter']]).to.deep.equal([403, 'forbidden', 'spaces/board/#'])
    expect(world.bridge.stats().eventStreams, 'nothing is kept of a refused request').to.equal(0)
    const narrow = await ask(world, eventsPath([notes]), { token: 'narrow' })
    expect(narrow.status).to.equal(403)
  })

  it('[P-18.4, P-18.9] answers a place that cannot be served with reset on its filter, while the others go on', async () => {
    const world = await open()
    await append(world, 'users/alice', [{ topic: 'users/alice/a', payload: 'one' }])
    const { head } = await history(world)
    const [epoch, seq, mark] = head.split('.') as [string, string, string]
    const reader = await read(world, [`users/alice/a@${epoch}.9.${mark}`, `users/alice/b@otherxxx.${seq}.${mark}`, `${notes}@earliest`])
    const resets = await reader.events('reset', 2)
    expect(resets.map(({ json }) => [json['filter'], json['reason'], json['head'], json['first']])).to.have.deep.members([
      ['users/alice/a', 'ahead', head, head],
      ['users/alice/b', 'epoch', head, head],
    ])
    expect((await reader.event('entry')).json).to.include({ filter: notes, text: 'one' })
    await append(world, 'users/alice', [{ topic: 'users/alice/a', payload: 'two' }])
    expect((await reader.event('entry')).json).to.include({ filter: notes, text: 'two' })
    expect(reader.inbox.all.filter(({ name }) => name === 'entry')).to.have.length(2)
  })

  it('[P-18.5, P-18.11] goes on behind any event, without a gap and without a double', async () => {
    const world = await open()
    const texts = (events: readonly SentEvent[], filter: string): unknown[] =>
      events.filter(({ name, json }) => name === 'entry' && json['filter'] === filter).map(({ json }) => json['text'])
    for (let at = 1; at <= 6; at++) {
      await append(world, 'users/alice', [{ topic: `users/alice/notes/${at % 3}`, payload: `a${at}`, retain: true }])
      if (at % 2 === 0) await append(world, 'spaces/board', [{ topic: 'spaces/board/x', payload: `b${at}` }])
    }
    const from = [`${notes}@snapshot`, 'spaces/board/#@earliest']
    const token = 'alice'
    world.authority.also('alice', 'subscribe:spaces/board/#')
    const whole = await read(world, from, { token })
    for (const filter of [notes, 'spaces/board/#']) await whole.caughtUp(filter)
    const all = whole.inbox.all
    const expected = { notes: texts(all, notes), board: texts(all, 'spaces/board/#') }
    expect(expected).to.deep.equal({ notes: ['a4', 'a5', 'a6'], board: ['b2', 'b4', 'b6'] })

    for (let cutAt = 1; cutAt <= all.length; cutAt++) {
      const first = await read(world, from, { token })
      await first.inbox.until(() => first.inbox.all.length >= cutAt, `${cutAt} events`)
      first.cut()
      const got = first.inbox.all.slice(0, cutAt)
      const lastEventId = (got.at(-1) as SentEvent).lastId
      expect(lastEventId.split(','), 'one place per filter').to.have.length(2)
      const second = await read(world, from, { token, lastEventId })
      for (const filter of [notes, 'spaces/board/#']) await second.caughtUp(filter)
      // Who has not got an entry of a snapshot begins it again, and is told so.
      const both = [...got, ...second.inbox.all]
      expect(texts(both, notes), `cut after ${cutAt} events`).to.deep.equal(expected.notes)
      expect(texts(both, 'spaces/board/#'), `cut after ${cutAt} events`).to.deep.equal(expected.board)
      second.cut()
    }
  })

  it('[P-18.5] what was appended while nobody read comes first, and the id must be of as many filters', async () => {
    const world = await open()
    const before = await read(world, notes)
    const { lastId } = await before.caughtUp(notes)
    before.cut()
    await append(world, 'users/alice', [{ topic: 'users/alice/a', payload: 'missed' }])
    const after = await read(world, notes, { lastEventId: lastId })
    expect((await after.event('entry')).json).to.include({ text: 'missed' })
    for (const [lastEventId, code] of [
      [`${lastId},${lastId}`, 'bad-request'],
      ['nonsense', 'bad-position'],
    ] as const) {
      const { status, body } = await ask(world, eventsPath([notes]), { token: 'alice', headers: { 'last-event-id': lastEventId } })
      expect([status, body['code']], lastEventId).to.deep.equal([400, code])
    }
  })

  it('[P-18.6] a payload with line breaks is the same JSON, and leaves the events whole', async () => {
    const world = await open()
    const payload = '{\r\n  "a": 1,\n\n  "b":\r[2]\r\n}'
    await append(world, 'users/alice', [
      { topic: 'users/alice/a', payload },
      { topic: 'users/alice/a', payload: 'line\nbreak' },
    ])
    const reader = await read(world, `${notes}@earliest`)
    const [lines, text] = await reader.events('entry', 2)
    expect(lines?.json['data']).to.deep.equal({ a: 1, b: [2] })
    expect(text?.json['text']).to.equal('line\nbreak')
  })

  it('[P-18.8, P-3.13] brings ephemeral messages of live filters, without an id', async () => {
    const world = await open()
    await append(world, 'users/alice', [{ topic: 'users/alice/a', payload: 'logged' }])
    const reader = await read(world, [notes, 'users/alice/b/#'])
    const { lastId } = await reader.caughtUp(notes)
    await reader.event('at')
    world.live.publish({ stream: 'users/alice', topic: 'users/alice/b/1', payload: Buffer.from('live'), from: 'alice', client: 'phone' })
    const both = await reader.events('ephemeral', 2)
    expect(both.map(({ json }) => json['filter'])).to.have.members([notes, 'users/alice/b/#'])
    for (const { json, hasId } of both) {
      expect(json).to.include({ topic: 'users/alice/b/1', text: 'live', ephemeral: true, from: 'alice', client: 'phone' })
      expect(json).to.not.have.any.keys('pos', 'id')
      expect(hasId).to.equal(false)
    }
    expect(reader.lastId).to.equal(lastId)
  })

  it('[P-18.9, P-18.11, P-16.3, P-16.5] ends the filter of a withdrawn member at the withdrawal, and only that', async () => {
    const world = await open()
    const reader = await read(world, ['spaces/board/#@earliest', 'users/bob/#'], { token: 'bob' })
    await append(world, 'spaces/board', [{ topic: 'spaces/board/x', payload: 'before' }])
    const before = await reader.event('entry')
    const live = { stream: 'spaces/board', topic: 'spaces/board/x', payload: Buffer.from('live'), from: 'carol', client: 'c' }
    // Once at the very moment of the withdrawal, before its entry is met.
    const stop = world.log.observe(() => world.live.publish(live))
    await ask(world, '/v1/streams/spaces/board/members/bob', { token: 'carol', method: 'DELETE' })
    stop()
    const ended = await reader.event('ended')
    expect(ended.json).to.deep.equal({ filter: 'spaces/board/#', ctl: 'ended', reason: 'withdrawn', pos: before.json['pos'] })
    await append(world, 'spaces/board', [{ topic: 'spaces/board/x', payload: 'behind' }])
    world.live.publish(live)
    await append(world, 'users/bob', [{ topic: 'users/bob/x', payload: 'own' }])
    expect((await reader.event('entry')).json).to.include({ text: 'own' })
    expect(reader.inbox.waiting.filter(({ name }) => name !== 'at')).to.deep.equal([])
  })

  it('[P-18.9, P-18.11, P-17.4] ends a filter when its stream is erased, and goes on from there when asked again', async () => {
    const world = await open()
    await append(world, 'users/alice', [{ topic: 'users/alice/x', payload: 'old' }])
    const reader = await read(world, `${notes}@earliest`)
    await reader.caughtUp(notes)
    await ask(world, '/v1/streams/users/alice', { token: 'ops', method: 'DELETE' })
    const ended = await reader.event('ended')
    expect(ended.json).to.include({ reason: 'erased' })
    await append(world, 'users/alice', [{ topic: 'users/alice/x', payload: 'new' }])
    const again = await read(world, `${notes}@earliest`, { lastEventId: ended.lastId })
    expect((await again.event('entry')).json).to.include({ text: 'new' })
  })

  it('[P-11.1] tells pages of configured origins that they may read, and that they may send Last-Event-ID', async () => {
    const origin = 'https://app.example'
    const world = await open({ corsOrigins: [origin] })
    const reader = await read(world, notes, { headers: { origin } })
    expect(reader.response.headers['access-control-allow-origin']).to.equal(origin)
    const preflight = await ask(world, eventsPath([notes]), {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization,last-event-id' },
    })
    expect(preflight.headers.get('access-control-allow-headers')).to.match(/Authorization.*Last-Event-ID/)
  })
})
