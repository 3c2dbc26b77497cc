/** Reading a long history: the page after the one on its way is asked for as soon as the server has said where it begins. */
import { expect } from 'chai'
import { bounds as defaults } from '../../client/bounds.ts'
import { ClientError } from '../../client/errors.ts'
import type { History } from '../../client/seams.ts'
import { Feed } from '../../client/stream/feed.ts'
import { Line } from '../../client/stream/line.ts'
import { Pages } from '../../client/stream/pages.ts'
import type { EntriesPage } from '../../client/wire.ts'
import { ManualTimers } from './manual-timers.ts'

const pos = (seq: number): string => `epoch000.${seq}.mark`

interface Request {
  readonly after: string | undefined
  readonly signal: AbortSignal | undefined
  readonly headers: () => void
  readonly body: () => void
  readonly fail: (error: ClientError) => void
}

/** A stream of 9 entries in pages of two, whose answers come when the test says so: headers first. */
class SlowHistory implements History {
  readonly requests: Request[] = []

  entries(_stream: string, { after }: { after?: string }, signal?: AbortSignal, onNext?: (after: string) => void): Promise<EntriesPage> {
    const from = after === undefined || after === 'earliest' ? 0 : Number(after.split('.')[1])
    const to = Math.min(9, from + 2)
    const entries = [from + 1, from + 2]
      .filter((seq) => seq <= to)
      .map((seq) => ({ pos: pos(seq), id: `e${seq}`, ts: seq, from: 'alice', client: 'c', topic: 'spaces/s/a' }))
    return new Promise((resolve, reject) => {
      this.requests.push({
        after,
        signal,
        headers: () => to < 9 && onNext?.(pos(to)),
        body: () => resolve({ entries, next: pos(to), head: pos(9), first: pos(1), upToDate: to === 9 }),
        fail: reject,
      })
    })
  }

  state(): never {
    throw new Error('nobody asked for a state')
  }
}

describe('Pages', () => {
  let history: SlowHistory
  let line: Line
  let pages: Pages
  const asked = (): (string | undefined)[] => history.requests.map(({ after }) => after)
  const request = (at: number): Request => history.requests[at] as Request
  const read = (): (string | undefined)[] => line.queue.flatMap((item) => (item.kind === 'entry' ? [item.envelope.id] : []))
  /** When every promise that can go on has done so. */
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  beforeEach(() => {
    history = new SlowHistory()
    line = new Line(new Feed('spaces/s', '#', 8), { from: 'earliest', onResetGo: 'snapshot', matches: () => true, queuedEntriesMax: 40 })
    pages = new Pages(line, {
      history,
      timers: new ManualTimers(),
      bounds: defaults,
      stream: 'spaces/s',
      topic: '#',
      moved: () => pages.work(),
    })
    pages.work()
  })

  it('asks for one page ahead when the headers of one have come, and for no more before that is taken', async () => {
    expect(asked()).to.deep.equal(['earliest'])
    request(0).headers()
    expect(asked()).to.deep.equal(['earliest', pos(2)])
    request(1).headers()
    expect(asked(), 'what is not taken waits on the server').to.have.length(2)
    request(0).body()
    await settled()
    expect(read()).to.deep.equal(['e1', 'e2'])
    expect(asked()).to.deep.equal(['earliest', pos(2), pos(4)])
    request(1).body()
    await settled()
    expect(read()).to.deep.equal(['e1', 'e2', 'e3', 'e4'])
  })

  it('without that header asks for each page when the one before it has come', async () => {
    request(0).body()
    await settled()
    expect(asked()).to.deep.equal(['earliest', pos(2)])
  })

  it('a page asked for ahead that fails counts when its turn comes, and not before', async () => {
    request(0).headers()
    request(1).fail(new ClientError('network'))
    await settled()
    expect(line.state).to.equal('catching-up')
    request(0).body()
    await settled()
    expect(read()).to.deep.equal(['e1', 'e2'])
    expect(line.state, 'before the first session').to.equal('waiting')
  })

  it('what was asked for ahead ends with the session', () => {
    request(0).headers()
    pages.stop()
    expect(history.requests.map(({ signal }) => signal?.aborted)).to.deep.equal([true, true])
    request(1).headers()
    expect(asked()).to.have.length(2)
  })
})
