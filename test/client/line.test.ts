/** One reader's place, event by event: what the model meets too seldom. */
import { expect } from 'chai'
import { Feed } from '../../client/stream/feed.ts'
import { Line, type LineOptions } from '../../client/stream/line.ts'
import type { EntriesPage, Envelope } from '../../client/wire.ts'

const pos = (seq: number, epoch = 'epoch000'): string => `${epoch}.${seq}.${seq === 0 ? '0000' : 'mark'}`
const envelope = (seq: number, epoch?: string): Envelope => ({
  pos: pos(seq, epoch),
  id: `e${seq}`,
  ts: seq,
  from: 'alice',
  client: 'c',
  topic: 'spaces/s/a',
})

/** A line on a feed that has told where it begins. */
function joined(seq: number, options: Partial<LineOptions> = {}, below = '#'): { feed: Feed; line: Line } {
  const feed = new Feed('spaces/s', below, 8)
  const line = new Line(feed, { from: 'now', onResetGo: 'snapshot', matches: () => true, queuedEntriesMax: 40, ...options })
  feed.open()
  line.dispatch('opened')
  expect(line.state).to.equal('joining')
  feed.at(pos(seq))
  line.dispatch('joined')
  return { feed, line }
}

const entries = (line: Line): (string | undefined)[] => line.queue.flatMap((item) => (item.kind === 'entry' ? [item.envelope.id] : []))

describe('Line', () => {
  it('begins at the head, and takes what follows', () => {
    const { feed, line } = joined(3)
    expect(line.state).to.equal('live')
    feed.entry(envelope(4))
    line.dispatch('entry', envelope(4))
    expect(entries(line)).to.deep.equal(['e4'])
  })

  it('of a whole stream, an `at` beyond what has come means that something is missing', () => {
    const { feed, line } = joined(3)
    feed.at(pos(5))
    line.dispatch('at', pos(5))
    expect(line.state).to.equal('catching-up')
    expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(3) })
    line.dispatch('page', { entries: [envelope(4), envelope(5)], next: pos(5), head: pos(5), first: pos(1), upToDate: true })
    expect(line.state).to.equal('live')
    expect(entries(line)).to.deep.equal(['e4', 'e5'])
  })

  it('takes of a page only what the feed has not told of meanwhile', () => {
    const { feed, line } = joined(3, { from: pos(1) })
    expect(line.state).to.equal('catching-up')
    for (const seq of [4, 5]) feed.entry(envelope(seq))
    line.dispatch('page', { entries: [envelope(2), envelope(3)], next: pos(3), head: pos(3), first: pos(1), upToDate: true })
    expect(line.state).to.equal('live')
    feed.entry(envelope(7))
    line.dispatch('entry', envelope(7))
    expect(line.state).to.equal('catching-up')
    line.dispatch('page', { entries: [envelope(4), envelope(5)], next: pos(5), head: pos(5), first: pos(1), upToDate: true })
    expect(entries(line)).to.deep.equal(['e2', 'e3', 'e4', 'e5'])
  })

  it('knows from the beginning how much is missing', () => {
    expect(joined(7).line.behind, 'now').to.equal(0)
    expect(joined(7, { from: pos(2) }).line.behind).to.equal(5)
    const { line } = joined(7, { from: 'earliest' })
    expect(line.behind, 'at most').to.equal(7)
    line.dispatch('page', { entries: [envelope(4)], next: pos(4), head: pos(7), first: pos(4), upToDate: false })
    expect(line.behind).to.equal(3)
  })

  it('of a narrower filter it says how far everything has come', () => {
    const { feed, line } = joined(3, {}, 'a/#')
    feed.at(pos(5))
    line.dispatch('at', pos(5))
    expect(line.state).to.equal('live')
    expect(line.queue.at(-1)).to.deep.equal({ kind: 'at', pos: pos(5) })
  })

  it('asks the history when an entry of another history comes', () => {
    const { feed, line } = joined(3)
    feed.entry(envelope(4, 'epoch001'))
    line.dispatch('entry', envelope(4, 'epoch001'))
    expect(line.state).to.equal('catching-up')
    expect(entries(line)).to.deep.equal([])
    line.dispatch('gone', 'epoch', pos(1, 'epoch001'), pos(4, 'epoch001'))
    expect(line.state).to.equal('reset')
    expect(line.wanted).to.deep.equal({ kind: 'state', after: undefined })
  })

  it('keeps no more than the bound for an app that takes nothing, and reads the rest when it does', () => {
    const { feed, line } = joined(3, { queuedEntriesMax: 4 })
    line.queue.length = 0
    for (let seq = 4; seq <= 20; seq++) {
      feed.entry(envelope(seq))
      line.dispatch('entry', envelope(seq))
    }
    expect(entries(line)).to.deep.equal(['e4', 'e5', 'e6', 'e7'])
    expect(line.state).to.equal('catching-up')
    expect(line.wanted).to.equal(undefined)
    line.queue.length = 0
    line.dispatch('drained')
    expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(7) })
  })

  it('goes on with a snapshot where it was cut off, and then behind its first page', () => {
    const { feed, line } = joined(9, { from: 'snapshot' })
    line.dispatch('statePage', { entries: [envelope(2)], next: pos(2), pos: pos(9), upToDate: false })
    line.dispatch('lost')
    line.dispatch('opened')
    feed.open()
    feed.at(pos(12))
    line.dispatch('joined')
    expect(line.wanted).to.deep.equal({ kind: 'state', after: pos(2) })
    line.dispatch('statePage', { entries: [envelope(8)], next: pos(12), pos: pos(12), upToDate: true })
    expect(line.state).to.equal('catching-up')
    expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(9) })
    expect(line.queue.filter(({ kind }) => kind === 'reset')).to.have.length(1)
  })

  it('throws instead where the app asked for that', () => {
    const { line } = joined(3, { from: pos(1), onResetGo: 'throw' })
    line.dispatch('gone', 'trimmed', pos(3), pos(3))
    expect(line.state).to.equal('closed')
    expect(line.error).to.include({ code: 'trimmed' })
  })

  describe('before the first session', () => {
    function alone(from: string): { feed: Feed; line: Line } {
      const feed = new Feed('spaces/s', '#', 8)
      return { feed, line: new Line(feed, { from, onResetGo: 'snapshot', matches: () => true, queuedEntriesMax: 40 }) }
    }
    const page = (from: number, to: number, upToDate: boolean): EntriesPage => ({
      entries: Array.from({ length: to - from + 1 }, (_, at) => envelope(from + at)),
      next: pos(to),
      head: pos(9),
      first: pos(1),
      upToDate,
    })

    it('reads what there is and waits then; where the session begins there, it needs nothing more', () => {
      const { feed, line } = alone('earliest')
      expect(line.wanted).to.deep.equal({ kind: 'entries', after: 'earliest' })
      line.dispatch('page', page(1, 2, false))
      expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(2) })
      line.dispatch('page', page(3, 4, true))
      expect(line.state).to.equal('waiting')
      expect(line.wanted).to.equal(undefined)
      feed.open()
      line.dispatch('opened')
      feed.at(pos(4))
      line.dispatch('joined')
      expect(line.state).to.equal('live')
      expect(entries(line)).to.deep.equal(['e1', 'e2', 'e3', 'e4'])
    })

    it('takes what it has asked for when the session comes meanwhile, and asks for no more until that has begun', () => {
      const { feed, line } = alone(pos(1))
      feed.open()
      line.dispatch('opened')
      line.dispatch('page', page(2, 4, false))
      expect(line.state).to.equal('joining')
      expect(line.wanted).to.equal(undefined)
      feed.at(pos(6))
      line.dispatch('joined')
      expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(4) })
      line.dispatch('page', page(5, 6, true))
      expect(line.state).to.equal('live')
      expect(entries(line)).to.deep.equal(['e2', 'e3', 'e4', 'e5', 'e6'])
    })

    it('has a page that was read of a history that is no more confirmed by the session', () => {
      const { feed, line } = alone(pos(1))
      line.dispatch('page', page(2, 4, true))
      feed.open()
      line.dispatch('opened')
      feed.at(pos(3, 'epoch001'))
      line.dispatch('joined')
      expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(4) })
      line.dispatch('gone', 'epoch', pos(1, 'epoch001'), pos(3, 'epoch001'))
      expect(line.state).to.equal('reset')
    })

    it('reads a snapshot, which begins with a reset, and goes on with it in the session', () => {
      const { feed, line } = alone('snapshot')
      expect(line.wanted).to.deep.equal({ kind: 'state', after: undefined })
      line.dispatch('statePage', { entries: [envelope(1)], next: pos(1), pos: pos(3), upToDate: false })
      expect(line.wanted).to.deep.equal({ kind: 'state', after: pos(1) })
      feed.open()
      line.dispatch('opened')
      line.dispatch('statePage', { entries: [envelope(2)], next: pos(2), pos: pos(4), upToDate: false })
      expect(line.state).to.equal('joining')
      feed.at(pos(4))
      line.dispatch('joined')
      expect(line.wanted).to.deep.equal({ kind: 'state', after: pos(2) })
      line.dispatch('statePage', { entries: [envelope(3), envelope(4)], next: pos(4), pos: pos(4), upToDate: true })
      expect(line.wanted, 'the snapshot is as of its first page').to.deep.equal({ kind: 'entries', after: pos(3) })
      line.dispatch('page', page(4, 4, true))
      expect(line.state).to.equal('live')
      expect(
        line.queue.map((item) => (item.kind === 'entry' ? item.envelope.id : item.kind)).filter((kind) => kind !== 'at'),
      ).to.deep.equal(['reset', 'e1', 'e2', 'e3', 'e4', 'live'])
    })

    it('waits when a request fails, and asks again in the session', () => {
      const { feed, line } = alone(pos(2))
      line.dispatch('unanswered')
      expect(line.state).to.equal('waiting')
      feed.open()
      line.dispatch('opened')
      feed.at(pos(3))
      line.dispatch('joined')
      line.dispatch('unanswered')
      expect(line.wanted).to.deep.equal({ kind: 'entries', after: pos(2) })
    })
  })
})
