/** The relay on a log alone: who may send, and what the inbox refuses. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { Log, type LogOptions } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { SyncError } from '../../protocol/errors.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'

describe('relay', () => {
  let log: Log
  let store: MemoryStore

  async function open(options: Partial<LogOptions> = {}): Promise<void> {
    store = new MemoryStore()
    log = await Log.open({ store, ...options })
  }

  afterEach(() => log.close())

  async function send(to: string, text = 'x'): Promise<string> {
    const topic = `outbox/alice/${to}/chat`
    const draft = {
      ...encodeFrame(topic, Buffer.from(text)),
      topic,
      qos: 1 as const,
      retain: false,
      from: 'alice',
      client: 'c',
      receivedMs: 0,
    }
    try {
      await log.relay.publish('outbox/alice', draft)
      return 'sent'
    } catch (error) {
      return error instanceof SyncError ? error.code : String(error)
    }
  }

  it('[P-15.6] a deployment says who may send to whom, at once or later', async () => {
    const asked: string[] = []
    await open({
      mayDeliver: (from, to) => {
        asked.push(`${from} ${to}`)
        return to === 'bob' ? true : Promise.resolve(to === 'carol')
      },
    })
    expect([await send('bob'), await send('carol'), await send('dave')]).to.deep.equal(['sent', 'sent', 'forbidden'])
    expect(asked).to.deep.equal(['alice bob', 'alice carol', 'alice dave'])
    expect(await store.streams('', 10)).to.deep.equal(['inbox/bob', 'inbox/carol', 'outbox/alice'])
  })

  it('[P-15.6] a decision that fails sends nothing', async () => {
    await open({ mayDeliver: () => Promise.reject(new Error('the list of friends cannot be read')) })
    expect(await send('bob')).to.equal('internal')
    expect(await store.streams('', 10)).to.deep.equal([])
  })

  it('[P-15.6] a decision that does not come holds up nobody for longer than appendTimeoutMs', async () => {
    let asked = 0
    const never = new Promise<boolean>(() => {})
    const appendTimeoutMs = 50
    await open({ mayDeliver: () => (asked++ === 0 ? never : true), limits: { ...defaultLimits, appendTimeoutMs } })
    const both = Promise.all([send('bob', 'first'), send('bob', 'behind it')])
    expect(await within(both, 'the refusals')).to.deep.equal(['internal', 'internal'])
    expect(asked, 'who stood behind it has waited enough').to.equal(1)
    expect(await store.streams('', 10)).to.deep.equal([])
    expect(await send('bob', 'later')).to.equal('sent')
  })

  it('[P-15.3, P-13.23] what the inbox refuses does not stand in the outbox', async () => {
    // The outbox is one of them.
    await open({ limits: { ...defaultLimits, newStreamsPerUserPerHourMax: 2 } })
    expect([await send('bob'), await send('carol'), await send('bob')]).to.deep.equal(['sent', 'too-many-requests', 'sent'])
    const outbox = await log.stream('outbox/alice')
    const topics = (await log.read(outbox, 1)).map((bucket) => bucket.topic(0))
    expect(topics).to.deep.equal(['outbox/alice/bob/chat', 'outbox/alice/bob/chat'])
  })

  it('[P-8.15] a log that closes finishes what was delivered, on a store that takes one after the other', async () => {
    store = new MemoryStore({ shared: true })
    const gates = new GatedStore(store)
    log = await Log.open({ store: gates })
    const inbox = gates.hold(calls('commit'))
    const outcome = send('bob')
    await inbox.reached
    const closed = log.close()
    inbox.release()
    await within(closed, 'the log to close')
    expect((await store.load('outbox/alice')).last?.lastSeq).to.equal(1)
    expect(await outcome).to.equal('sent')
  })

  it('[P-15.3, P-13.23] what the outbox refuses is not delivered', async () => {
    await open({ limits: { ...defaultLimits, newStreamsPerUserPerHourMax: 1 } })
    const topic = 'users/alice/x'
    const frame = encodeFrame(topic, Buffer.from('x'))
    await log.publish('users/alice', { topic, ...frame, qos: 1, retain: false, from: 'alice', client: 'c', receivedMs: 0 })
    expect(await send('bob')).to.equal('too-many-requests')
    expect(await store.streams('', 10)).to.deep.equal(['users/alice'])
  })

  it('[P-15.10] messages without an id are each a message of their own', async () => {
    await open()
    await Promise.all([send('bob'), send('bob')])
    const inbox = await log.stream('inbox/bob')
    expect(inbox.headSeq).to.equal(2)
    const [bucket] = await log.read(inbox, 1)
    expect(bucket?.givenId(0)).to.match(/^[A-Za-z0-9_-]{1,64}$/)
  })
})
