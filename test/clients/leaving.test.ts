/** A phone that leaves just before the server is stopped. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { GatedStore } from '../support/gated-store.ts'
import { destroyRawClients, RawClient } from '../support/raw-mqtt.ts'
import { testServer } from '../support/server.ts'

describe('a phone that leaves', () => {
  afterEach(destroyRawClients)

  it('[P-4.18, P-4.19, P-8.15] has its place stored before a graceful stop is over', async () => {
    const store = new GatedStore(new MemoryStore())
    const server = await testServer({ overrides: { store } })
    const password = await server.token('alice')
    const connect = { clientId: 'phone', clean: false, password }
    const phone = await RawClient.open(server.ports.mqtt)
    await phone.connect(connect)
    await phone.subscribe('users/alice/#')
    for (const text of ['1', '2', '3']) await phone.publish('users/alice/x', text)
    expect((await phone.messages(3)).map(({ text }) => text)).to.deep.equal(['1', '2', '3'])
    await phone.ping()

    const gate = store.hold(({ name, args }) => name === 'documents.put' && args[0] === 'sessions')
    await phone.disconnect()
    await gate.reached
    const stopped = server.stop().then(() => 'stopped')
    // HTTP is closed only after MQTT: while it answers, the stop waits.
    const answered = async (): Promise<string> => {
      for (let count = 0; count < 30; count++) await (await fetch(`${server.urls.http}/healthz`)).text()
      return 'waiting'
    }
    try {
      expect(await Promise.race([stopped, answered().catch(() => 'HTTP is closed')])).to.equal('waiting')
    } finally {
      gate.release()
      await stopped
    }

    await server.restart()
    const returned = await RawClient.open(server.ports.mqtt)
    expect(await returned.connect(connect)).to.include({ sessionPresent: true })
    await returned.publish('users/alice/x', '4')
    expect((await returned.message()).text).to.equal('4')
    await server.stop()
  })
})
