/** What readers over MQTT see of a stream that is erased. */
import { expect } from 'chai'
import { erase } from '../../log/erase.ts'
import { closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import type { RawClient } from '../support/raw-mqtt.ts'

type Json = Record<string, unknown>

const stream = 'users/alice'
const note = 'users/alice/notes/1'
const by = { uid: 'ops', client: 'desk' }

describe('A stream that is erased', () => {
  afterEach(closeAll)

  const shown = (client: RawClient): Json[] =>
    client
      .unread()
      .filter(({ topic }) => topic.startsWith('sync'))
      .map(({ text }) => JSON.parse(text) as Json)
      .filter(({ ctl }) => ctl !== 'at')

  async function withNote(): Promise<{ it: TestBroker; alice: RawClient }> {
    const it = await testBroker()
    const alice = await it.client('alice')
    await alice.publish(note, 'old', { retain: true })
    return { it, alice }
  }

  it('[P-17.4, P-17.1] ends sync filters with the position of the entry, from which they go on', async () => {
    const { it, alice } = await withNote()
    const reader = await it.client('alice', { clientId: 'reader' })
    const narrow = 'sync/users/alice/notes/+'
    await reader.subscribe(['sync/users/alice/#', narrow])
    const pos = await erase(it.log, stream, by)
    await alice.publish(note, 'new')
    await reader.ping()
    const ended = { ctl: 'ended', reason: 'erased', pos }
    expect(shown(reader).find(({ filter }) => filter === 'sync/users/alice/#')).to.deep.equal({ ...ended, filter: 'sync/users/alice/#' })
    expect(shown(reader).find(({ filter }) => filter === narrow)).to.deep.equal({ ...ended, filter: narrow })
    const envelopes = shown(reader).filter(({ ctl }) => ctl === undefined)
    expect(envelopes.map(({ topic, data, pos: at }) => [topic, data, at])).to.deep.equal([['users/alice/$erased', { erased: true }, pos]])
    await reader.subscribe(`sync@${pos}/users/alice/#`)
    expect(JSON.parse((await reader.message(`sync@${pos}/${note}`)).text)).to.include({ text: 'new' })
  })

  it('[P-17.4] begins with the entry for who reads from earliest, and is empty as a snapshot', async () => {
    const { it, alice } = await withNote()
    await erase(it.log, stream, by)
    await alice.publish(note, 'new')
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('sync@earliest/users/alice/#')
    await reader.message(`sync@earliest/${note}`)
    expect(shown(reader).map(({ topic, ctl }) => ctl ?? topic)).to.deep.equal(['users/alice/$erased'])
    await reader.subscribe('sync@snapshot/users/alice/#')
    await reader.ping()
    expect(shown(reader).flatMap(({ ctl }) => ctl ?? [])).to.deep.equal(['snapshot-start', 'snapshot-end'])
    const behind = `sync@${it.log.epoch}.0.0000/users/alice/#`
    await reader.subscribe(behind)
    await reader.ping()
    expect(shown(reader).at(-1)).to.include({ ctl: 'reset', reason: 'trimmed', filter: behind })
  })

  it('[P-17.2] is not shown any more to who is in the middle of its state', async () => {
    const it = await testBroker({ limits: { inflightMax: 1 } })
    const alice = await it.client('alice')
    for (const name of ['a', 'b', 'c']) await alice.publish(`users/alice/${name}`, 'old', { retain: true })
    const plain = await it.client('alice', { clientId: 'plain' })
    const sync = await it.client('alice', { clientId: 'sync' })
    plain.acknowledges = sync.acknowledges = false
    await plain.subscribe('users/alice/#')
    await sync.subscribe('sync@snapshot/users/alice/#')
    const [first, start] = [await plain.message(), await sync.message()]
    expect([first.text, (JSON.parse(start.text) as Json)['ctl']]).to.deep.equal(['old', 'snapshot-start'])
    await erase(it.log, stream, by)
    plain.acknowledges = sync.acknowledges = true
    plain.send({ cmd: 'puback', messageId: first.messageId as number })
    sync.send({ cmd: 'puback', messageId: start.messageId as number })
    await alice.publish(note, 'new')
    expect(await plain.message()).to.include({ topic: note, text: 'new' })
    expect(JSON.parse((await sync.message()).text)).to.include({ ctl: 'reset', reason: 'trimmed' })
  })

  it('[P-4.29, P-17.4] shows plain readers nothing of it; a session that has missed something begins anew', async () => {
    const { it, alice } = await withNote()
    const away = await it.client('alice', { clientId: 'away', clean: false })
    await away.subscribe('users/alice/#')
    expect((await away.message()).text).to.equal('old')
    await away.disconnect()
    const live = await it.client('alice', { clientId: 'live' })
    await live.subscribe('users/alice/#')
    const got = await live.message()
    expect(got.text).to.equal('old')
    await alice.publish(note, 'missed')
    await live.message()
    await erase(it.log, stream, by)
    await alice.publish(note, 'new')
    expect(await live.message()).to.include({ topic: note, text: 'new' })
    await it.client('alice', { clientId: 'away', clean: false, present: false })
    const fresh = await it.client('alice', { clientId: 'fresh' })
    await fresh.subscribe('users/alice/#')
    await fresh.ping()
    expect(fresh.unread()).to.deep.equal([])
  })
})
