import { expect } from 'chai'
import { bounds } from '../../client/bounds.ts'
import { ask } from '../../client/request.ts'
import { ManualTimers } from './manual-timers.ts'
import { settle } from './outbox-world.ts'

describe('a request', () => {
  const url = 'http://127.0.0.1:1/v1/x'

  /** An answer whose body the test hands out. */
  function answering(): {
    readonly timers: ManualTimers
    readonly fetch: typeof fetch
    readonly say: (text: string) => void
    readonly end: () => void
  } {
    let body!: ReadableStreamDefaultController<Uint8Array>
    const stream = new ReadableStream<Uint8Array>({ start: (controller) => void (body = controller) })
    return {
      timers: new ManualTimers(),
      fetch: () => Promise.resolve(new Response(stream)),
      say: (text) => body.enqueue(new TextEncoder().encode(text)),
      end: () => body.close(),
    }
  }

  it('[P-13.32] may take longer than the time-out as long as its answer comes: a page of a megabyte on a slow link', async () => {
    const { timers, fetch, say, end } = answering()
    const answer = ask({ timers, bounds, fetch }, url, {})
    for (const piece of ['{"a":', '"ä', '",', '"b":2}']) {
      await settle()
      timers.advance(bounds.requestTimeoutMs - 1)
      say(piece)
    }
    await settle()
    end()
    expect(await answer).to.deep.equal({ status: 200, body: { a: 'ä', b: 2 } })
    expect(timers.waiting, 'timers that are left').to.equal(0)
  })

  it('[P-13.32] is given up when nothing of it comes any more', async () => {
    const { timers, fetch, say } = answering()
    const answer = ask({ timers, bounds, fetch }, url, {}).catch((error: unknown) => error)
    await settle()
    say('{')
    await settle()
    timers.advance(bounds.requestTimeoutMs)
    expect(await answer).to.include({ code: 'network', message: `no answer from ${url} within ${bounds.requestTimeoutMs} ms` })
  })
})
