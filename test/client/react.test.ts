/** The hooks against a real server, in strict mode and on a server: client/react.ts. */
import { expect } from 'chai'
import { createElement, StrictMode, type ReactElement } from 'react'
import { renderToString } from 'react-dom/server'
import { create, type ReactTestRenderer } from 'react-test-renderer'
import { connect, type Client, type EntriesOptions, type EntryReader, type Status, type Stream } from '../../client/index.ts'
import { useStateMap, useStatus, useStream, type StateView, type StreamView } from '../../client/react.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { Inbox, within } from '../support/waiting.ts'

describe('react', () => {
  let server: TestServer
  let client: Client
  const roots: ReactTestRenderer[] = []
  const complaints: unknown[][] = []
  const complain = console.error

  before(async () => {
    server = await testServer()
    Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false })
    // React says there what is wrong with a hook; that the renderer for tests is old is not about us.
    console.error = (...said: unknown[]) => {
      if (!String(said[0]).includes('react-test-renderer is deprecated')) complaints.push(said)
    }
  })
  beforeEach(() => {
    client = connect({ url: server.urls.http, getToken: () => server.token('alice') })
  })
  afterEach(async () => {
    for (const root of roots.splice(0)) root.unmount()
    await client.close()
    expect(complaints).to.deep.equal([])
  })
  after(async () => {
    console.error = complain
    await server.stop()
  })

  /** What the hook gives, at each rendering. */
  function shown<View>(hook: () => View): { readonly views: Inbox<View>; readonly root: ReactTestRenderer } {
    const views = new Inbox<View>()
    const Shown = (): null => {
      views.add(hook())
      return null
    }
    const root = create(createElement(StrictMode, null, createElement(Shown)))
    roots.push(root)
    return { views, root }
  }

  const last = <View>(views: Inbox<View>): View => views.all.at(-1) as View

  it('useStream shows what there is and what comes, once and in order, and not more than it is to', async () => {
    const stream = client.stream('users/alice')
    for (let n = 1; n <= 5; n++) await stream.publish('n', n)
    const { views } = shown<StreamView>(() => useStream(stream, { from: 'earliest', last: 4 }))
    const numbers = (): unknown[] => last(views).entries.map(({ data }) => data)
    await views.until(() => last(views)?.live && numbers().at(-1) === 5, 'the history')
    expect(numbers()).to.deep.equal([2, 3, 4, 5])
    await stream.publish('n', 6)
    await views.until(() => numbers().at(-1) === 6, 'the entry')
    expect(numbers()).to.deep.equal([3, 4, 5, 6])
  })

  it('useStream says why nothing comes', async () => {
    const { views } = shown<StreamView>(() => useStream(client.stream('users/bob'), { from: 'earliest' }))
    await views.until(() => last(views)?.error !== undefined, 'the refusal')
    expect(last(views).error).to.include({ code: 'forbidden' })
    const bad = shown<StreamView>(() => useStream(client.stream('users/alice'), { from: '17' }))
    await bad.views.until(() => last(bad.views)?.error !== undefined, 'the refusal')
    expect(last(bad.views).error).to.include({ code: 'bad-position' })
  })

  it('useStateMap shows the state and follows it, for several components at once', async () => {
    const stream = client.stream('users/alice')
    await stream.publish('cards/1', 'one', { retain: true })
    const both = [shown<StateView>(() => useStateMap(stream, 'cards/')), shown<StateView>(() => useStateMap(stream, 'cards/'))] as const
    for (const { views } of both) {
      await views.until(() => last(views)?.status === 'ready', 'the state')
      expect(last(views).get('cards/1')).to.include({ data: 'one' })
    }
    both[0].root.unmount()
    await stream.publish('cards/2', 'two', { retain: true })
    const { views } = both[1]
    await views.until(() => last(views).get('cards/2')?.pending === false, 'the second card')
    expect(last(views).entries.map(({ topic }) => topic)).to.deep.equal(['cards/1', 'cards/2'])
  })

  it('useStatus shows the status', async () => {
    const { views } = shown<Status>(() => useStatus(client))
    await views.until(() => last(views)?.connection === 'online', 'the connection')
    await client.close()
    await views.until(() => last(views)?.connection === 'closed', 'the end')
  })

  it('leaves nothing behind when it is unmounted', async () => {
    const stream = client.stream('users/alice')
    const readers: EntryReader[] = []
    const watched: Stream = Object.create(stream, {
      entries: {
        value: (options: EntriesOptions) => {
          const reader = stream.entries(options)
          readers.push(reader)
          return reader
        },
      },
    }) as Stream
    const { views, root } = shown<StreamView>(() => useStream(watched, { from: 'earliest' }))
    await views.until(() => last(views)?.live, 'the history')
    expect(readers.map(({ state }) => state)).to.deep.equal(['closed', 'live'])
    root.unmount()
    expect(await within((readers[1] as EntryReader).next(), 'the end of the reader')).to.include({ done: true })
    expect(readers.map(({ state }) => state)).to.deep.equal(['closed', 'closed'])
  })

  it('is empty on a server', () => {
    const stream = client.stream('users/alice')
    const Page = (): ReactElement => {
      const [entries, state, status] = [useStream(stream, { from: 'earliest' }), useStateMap(stream), useStatus(client)]
      return createElement('p', null, `${entries.entries.length} ${state.entries.length} ${state.status} ${status.connection}`)
    }
    expect(renderToString(createElement(Page))).to.equal('<p>0 0 loading connecting</p>')
  })
})
