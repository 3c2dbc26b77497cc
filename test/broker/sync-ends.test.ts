/** Where a sync filter ends, and where a client goes on that stopped within a snapshot. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAll, testBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'
import { within } from '../support/waiting.ts'

type Json = Record<string, unknown>

const seqOf = (pos: unknown): number => Number(String(pos).split('.')[1])

async function next(client: RawClient): Promise<Json> {
  return JSON.parse((await client.message()).text) as Json
}

/** The next message with this `ctl`; those before it are handed to `before`. */
async function until(client: RawClient, ctl: string, before: (json: Json) => void = () => {}): Promise<Json> {
  for (;;) {
    const json = await next(client)
    if (json['ctl'] === ctl) return json
    before(json)
  }
}

describe('A sync filter', () => {
  afterEach(closeAll)

  it('[P-6.12] is complete up to the pos of its ended, and over', async () => {
    const it = await testBroker()
    const spaces = { board: 'write' } as const
    const writer = await it.client('bob', { token: { spaces } })
    const client = await it.client('alice', { token: { spaces } })
    const filter = 'sync@earliest/spaces/board/#'
    await client.subscribe(filter)
    for (let at = 1; at <= 3; at++) await writer.publish('spaces/board/a', `e${at}`)
    await client.publish('auth/renew', await it.token('alice'))
    await writer.publish('spaces/board/a', 'after its end')
    let last: unknown
    const seqs: number[] = []
    const ended = await until(client, 'ended', ({ ctl, pos }) => {
      if (ctl !== undefined) return
      seqs.push(seqOf(pos))
      last = pos
    })
    expect(seqs).to.deep.equal([1, 2, 3])
    expect(ended).to.deep.equal({ ctl: 'ended', filter, reason: 'grant', pos: last })
    // Grants that come back do not revive it: the client subscribes again, from that pos.
    await client.publish('auth/renew', await it.token('alice', { spaces }))
    await writer.publish('spaces/board/a', 'e5')
    await client.ping()
    expect(client.unread()).to.deep.equal([])
    await client.subscribe(`sync@${String(ended['pos'])}/spaces/board/#`)
    await until(client, 'at')
    expect([await next(client), await next(client)].map(({ text }) => text)).to.deep.equal(['after its end', 'e5'])
  })

  it('[P-6.12] that ends before it has begun names the position where it would have', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store, limits: { tailCacheBytesMax: 1 } })
    const spaces = { board: 'write' } as const
    const writer = await it.client('bob', { token: { spaces } })
    for (let at = 1; at <= 3; at++) await writer.publish('spaces/board/a', `e${at}`)
    const { headMark } = await it.log.stream('spaces/board')
    const client = await it.client('alice', { token: { spaces } })
    const gate = store.hold(calls('read', 'spaces/board'))
    await client.subscribe('sync/spaces/board/#')
    await within(gate.reached, 'the first entry to be looked up')
    await client.publish('auth/renew', await it.token('alice'))
    gate.release()
    expect(await next(client)).to.include({ ctl: 'ended', reason: 'grant', pos: `${it.log.epoch}.3.${headMark}` })
    await client.ping()
    expect(client.unread()).to.deep.equal([])
  })

  for (const [inflightMax, held] of [
    [4, ['e2', 'e3', 'e5']],
    [1, []],
  ] as const) {
    it(`[P-6.12, P-6.17] that ends within its snapshot says how far that is complete, after ${held.length} entries`, async () => {
      const it = await testBroker({ limits: { inflightMax } })
      const spaces = { board: 'write' } as const
      const writer = await it.client('bob', { token: { spaces } })
      for (const [at, topic] of ['a', 'b', 'c', 'a', 'd', 'a', 'e'].entries()) {
        await writer.publish(`spaces/board/${topic}`, `e${at + 1}`, { retain: true })
      }
      const client = await it.client('alice', { token: { spaces } })
      client.acknowledges = false
      await client.subscribe('sync@snapshot/spaces/board/#')
      await client.ping()
      await client.publish('auth/renew', await it.token('alice'))
      let last: unknown = `${it.log.epoch}.0.0000`
      const got: unknown[] = []
      const ended = await until(client, 'ended', ({ ctl, pos, text }) => {
        if (ctl !== undefined) return
        got.push(text)
        last = pos
      })
      expect(got).to.deep.equal(held)
      expect(ended).to.include({ reason: 'grant', pos: last })
    })
  }

  it('[P-6.17] goes on from the last envelope of a snapshot that was not read to its end, wherever that was', async () => {
    const it = await testBroker()
    const writer = await it.client('alice', { clientId: 'writer' })
    const say = (topic: string, text: string): Promise<void> => writer.publish(`users/alice/${topic}`, text, { retain: true })
    for (const topic of ['a', 'b', 'c', 'd', 'b', 'e']) await say(topic, `${topic} before`)
    for (let read = 1; read <= 5; read++) {
      const reader = await it.client('alice', { clientId: `reader${read}`, clean: true })
      await reader.subscribe('sync@snapshot/users/alice/#')
      const held = new Map<unknown, unknown>()
      const apply = ({ topic, text, deleted }: Json): unknown => (deleted ? held.delete(topic) : held.set(topic, text))
      expect(await next(reader)).to.include({ ctl: 'snapshot-start' })
      let last: Json = {}
      for (let at = 0; at < read; at++) apply((last = await next(reader)))
      reader.destroy()
      // What changes while nobody reads: one that was read, one that was not, one deleted, one new.
      await say('a', `a ${read}`)
      await say('e', `e ${read}`)
      await say('c', read % 2 === 0 ? `c ${read}` : '')
      await say(`new${read}`, 'x')
      const again = await it.client('alice', { clientId: `again${read}` })
      await again.subscribe(`sync@${String(last['pos'])}/users/alice/#`)
      for (;;) {
        const json = await next(again)
        if (json['ctl'] === undefined) apply(json)
        else if (json['pos'] === json['head']) break
      }
      expect(Object.fromEntries(held), `${read} read`).to.deep.equal(await state(await it.client('alice', { clientId: `fresh${read}` })))
    }
  })
})

/** The state as a whole snapshot has it. */
async function state(client: RawClient): Promise<Json> {
  await client.subscribe('sync@snapshot/users/alice/#')
  const held: Json = {}
  await until(client, 'snapshot-end', ({ topic, text }) => {
    if (topic !== undefined) held[topic as string] = text
  })
  return held
}
