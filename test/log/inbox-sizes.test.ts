/** How much one user may have in the inbox of another: in every store, across trimming, restarts and nodes. */
import { join } from 'node:path'
import { expect } from 'chai'
import * as fc from 'fast-check'
import { encodeFrame } from '../../log/draft.ts'
import { erase } from '../../log/erase.ts'
import { Fold } from '../../log/fold.ts'
import { Log } from '../../log/log.ts'
import { Snapshots } from '../../log/snapshots.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { SyncError } from '../../protocol/errors.ts'
import { relaySendersMax, defaultLimits, type Limits } from '../../seams/limits.ts'
import { silentLogger } from '../../seams/logger.ts'
import { tempFolder } from '../support/temp.ts'
import { bucketOf, draftOf } from './buckets.ts'

const inbox = 'inbox/bob'
const packetBytes = encodeFrame('inbox/bob/alice/x', Buffer.alloc(100)).end

describe('what a sender has in an inbox', () => {
  const logs: Log[] = []
  afterEach(() => Promise.all(logs.splice(0).map((log) => log.close())))

  async function open(store: Store, limits: Partial<Limits>): Promise<Log> {
    const log = await Log.open({ store, limits: { ...defaultLimits, relayPerSecondMax: 0, headPollMs: 3_600_000, ...limits } })
    logs.push(log)
    return log
  }

  async function send(log: Log, from = 'alice', to = 'bob', id = ''): Promise<string> {
    const topic = `outbox/${from}/${to}/x`
    const draft = { ...encodeFrame(topic, Buffer.alloc(100)), topic, qos: 1 as const, retain: false, from, client: 'c', id, receivedMs: 0 }
    try {
      await log.relay.publish(`outbox/${from}`, draft)
      return 'sent'
    } catch (error) {
      return error instanceof SyncError ? error.code : String(error)
    }
  }

  /** How many messages are taken one after the other. */
  async function fill(log: Log, from = 'alice'): Promise<number> {
    for (let sent = 0; ; sent++) {
      const outcome = await send(log, from)
      if (outcome === 'sent') continue
      expect(outcome).to.equal('too-many-requests')
      return sent
    }
  }

  it('[P-15.11, P-13.48] is bounded by relayBytesMax, for each sender and each inbox', async () => {
    const store = new MemoryStore()
    const log = await open(store, { relayBytesMax: 10 * packetBytes })
    expect(await fill(log)).to.equal(10)
    expect(await send(log, 'alice', 'carol')).to.equal('sent')
    expect(await fill(log, 'david')).to.equal(10)
    const atOnce = await Promise.all(Array.from({ length: 20 }, () => send(log, 'erica')))
    expect(atOnce.filter((outcome) => outcome === 'sent')).to.have.length(10)
    expect((await store.load('outbox/alice')).last?.lastSeq, 'what the inbox refuses is not in the outbox').to.equal(11)
  })

  it('[P-15.11] is not looked at where relayBytesMax is 0, and a message that is there is still a duplicate', async () => {
    const store = new MemoryStore()
    const free = await open(store, { relayBytesMax: 0 })
    for (let at = 0; at < 20; at++) expect(await send(free, 'alice', 'bob', `m${at}`)).to.equal('sent')
    const bound = await open(new MemoryStore(), { relayBytesMax: packetBytes })
    expect([await send(bound, 'alice', 'bob', 'a'), await send(bound, 'alice', 'bob', 'a')]).to.deep.equal(['sent', 'sent'])
    expect(await send(bound, 'alice', 'bob', 'b')).to.equal('too-many-requests')
  })

  it('[P-15.11] stays bounded across a restart and a snapshot, and what is trimmed or erased makes room', async () => {
    const folder = join(await tempFolder(), 'log')
    const limits = { relayBytesMax: 64 * packetBytes, snapshotEntriesMax: 10 }
    let log = await open(new LevelStore({ folder, logger: silentLogger }), limits)
    expect(await fill(log)).to.equal(64)
    await logs.pop()?.close()
    log = await open(new LevelStore({ folder, logger: silentLogger }), limits)
    expect(await send(log)).to.equal('too-many-requests')
    expect(await log.trim(inbox, 11)).to.equal(11)
    expect(await fill(log)).to.equal(10)
    await logs.pop()?.close()
    log = await open(new LevelStore({ folder, logger: silentLogger }), limits)
    expect(await send(log)).to.equal('too-many-requests')
    await erase(log, inbox, { uid: 'operator', client: 'c' })
    expect(await fill(log)).to.equal(64)
  })

  it('[P-15.11] is the same on every node, and none refuses for what another has trimmed', async () => {
    const store = new MemoryStore({ shared: true })
    const limits = { relayBytesMax: 64 * packetBytes }
    const [a, b] = [await open(store, limits), await open(store, limits)]
    for (let at = 0; at < 64; at++) expect(await send(at % 2 === 0 ? a : b)).to.equal('sent')
    expect([await send(a), await send(b)]).to.deep.equal(['too-many-requests', 'too-many-requests'])
    await a.trim(inbox, 3)
    expect([await send(b), await send(b), await send(b)]).to.deep.equal(['sent', 'sent', 'too-many-requests'])
  })

  it('[P-15.11] is counted to a 64th of the bound, with and without snapshots', async () => {
    const relayBytesMax = 6_400
    const limits = { ...defaultLimits, relayBytesMax }
    const message = fc.record({ from: fc.constantFrom('alice', 'carol'), length: fc.integer({ min: 0, max: 150 }) })
    const rounds = fc.array(fc.record({ messages: fc.array(message, { minLength: 1, maxLength: 20 }), trims: fc.nat(20) }), {
      maxLength: 8,
    })
    let overcounted = 0
    await fc.assert(
      fc.asyncProperty(rounds, async (all) => {
        const store = new MemoryStore()
        const snapshots = new Snapshots(store, limits)
        let fold = new Fold(limits)
        let first = 1
        const entries: { seq: number; from: string; bytes: number }[] = []
        for (const { messages, trims } of all) {
          const drafts = messages.map(({ from, length }) => draftOf({ from, topic: `${inbox}/${from}/x`, payload: Buffer.alloc(length) }))
          for (const { from, bytes } of drafts) entries.push({ seq: entries.length + 1, from, bytes })
          fold.apply(bucketOf(drafts, { stream: inbox, firstSeq: fold.seq + 1 }))
          first = Math.min(fold.seq, first + trims)
          const record = { first, markBefore: '0000', snapshot: null }
          fold = await snapshots.load(inbox, { ...record, snapshot: await snapshots.write(inbox, fold, record) })
          for (const uid of ['alice', 'carol']) {
            const exact = entries.reduce((sum, { seq, from, bytes }) => (from === uid && seq >= first ? sum + bytes : sum), 0)
            const longest = Math.max(0, ...entries.filter(({ from }) => from === uid).map(({ bytes }) => bytes))
            const counted = fold.inbox.bytesOf(uid, first)
            expect(counted).to.be.within(exact, exact + relayBytesMax / 64 + longest)
            if (counted > exact) overcounted++
          }
        }
      }),
      { numRuns: 100 },
    )
    expect(overcounted, 'cases in which part of a piece was trimmed').to.be.above(50)
  })

  it('[P-15.11] is forgotten of whoever sent longest ago where there are very many senders, and costs nothing in other streams', () => {
    const fold = new Fold(defaultLimits)
    const drafts = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, at) => draftOf({ from: `u${from + at}`, topic: `${inbox}/u${from + at}/x` }))
    for (let at = 0; at < relaySendersMax; at += 1_000)
      fold.apply(bucketOf(drafts(at, at + 1_000), { stream: inbox, firstSeq: fold.seq + 1 }))
    fold.apply(bucketOf([...drafts(0, 1), ...drafts(relaySendersMax, relaySendersMax + 1)], { stream: inbox, firstSeq: fold.seq + 1 }))
    expect(fold.inbox.senders).to.equal(relaySendersMax)
    expect(fold.inbox.bytesOf('u0', 1)).to.be.above(0)
    expect(fold.inbox.bytesOf('u1', 1)).to.equal(0)
    const other = new Fold(defaultLimits)
    other.apply(bucketOf(drafts(0, 1), { stream: 'spaces/s' }))
    expect(other.inbox.senders).to.equal(0)
  })
})
