/** End-to-end encryption: what the server sees, and what whoever has other keys does not. */
import { expect } from 'chai'
import { bytesOfBase64 } from '../../client/base64.ts'
import type { Clear, Codec } from '../../client/codec.ts'
import { encryption, keyFromBytes, keyFromPassphrase } from '../../client/encryption.ts'
import type { ClientError } from '../../client/errors.ts'
import { MemoryStore } from '../../client/outbox/memory-store.ts'
import { append, ask, makeWorld } from '../bridge/support.ts'
import { HttpSession, httpHistory } from './http-session.ts'
import { makeOutbox } from './outbox-world.ts'

const stream = 'spaces/board'
const raw = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)

describe('encryption', () => {
  let codec: Codec
  before(async () => void (codec = await made(1)))

  const values: readonly [string, Clear][] = [
    ['JSON', { topic: 'cards/ä 1', format: 'json', data: { title: 'Ship it', n: [1, null] } }],
    ['text', { topic: 'a', format: 'text', data: 'grüße\n' }],
    ['an empty text', { topic: 'a', format: 'text', data: '' }],
    ['bytes', { topic: 'a/b/c/d/e', format: 'bytes', data: Uint8Array.of(0, 10, 255) }],
    ['a deletion, where the topic was met before', { topic: 'a', format: 'none', data: undefined }],
  ]
  for (const [what, clear] of values) {
    it(`gives back ${what}, by another device with the same key`, async () => {
      const other = await made(1)
      await other.topic(stream, clear.topic)
      expect(await other.decode(stream, await codec.encode(stream, clear))).to.deep.equal(clear)
    })
  }

  it('[P-13.2] [P-13.3] the deepest topic below the longest stream is a legal topic still', async () => {
    const longest = `users/${'p'.repeat(32)}~${'u'.repeat(64)}`
    const { topic } = await codec.encode(longest, { topic: 'a/b/c/d/e', format: 'text', data: 'x' })
    expect(topic).to.match(/^[\w-]+(?:\/[\w-]+){4}$/)
    expect(`${longest}/${topic}`.length).to.be.at.most(220)
  })

  it('topics are blinded level by level: prefixes and wildcards stay what they are, names do not', async () => {
    const whole = await codec.topic(stream, 'cards/12/title')
    expect(whole).to.match(/^[\w-]{16}\/[\w-]{16}\/[\w-]{16}$/)
    expect(whole.startsWith(`${await codec.topic(stream, 'cards')}/`)).to.equal(true)
    expect(await codec.topic(stream, 'cards/')).to.equal(`${await codec.topic(stream, 'cards')}/`)
    expect(await codec.topic(stream, '')).to.equal('')
    const [first, , third] = whole.split('/')
    expect(await codec.topic(stream, 'cards/+/title')).to.equal(`${first}/+/${third}`)
    expect(await codec.topic(stream, 'cards/#')).to.equal(`${first}/#`)
    expect(await codec.topic('spaces/other', 'cards')).to.not.equal(first)
    expect(await (await made(2)).topic(stream, 'cards')).to.not.equal(first)
  })

  it('refuses another key, what was changed, what was moved to another topic or stream, and what is not encrypted', async () => {
    const wire = await codec.encode(stream, { topic: 'a', format: 'json', data: 1 })
    const bytes = wire.data as Uint8Array
    const moved = await codec.topic(stream, 'b')
    await undecodable((await made(2, 'k1')).decode(stream, wire), /another key/)
    await undecodable((await made(1, 'k2')).decode(stream, wire), /no key "k1"/)
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice()
      changed[at] = (changed[at] as number) ^ 1
      await undecodable(codec.decode(stream, { ...wire, data: changed }), /./)
    }
    await undecodable(codec.decode(stream, { ...wire, data: bytes.slice(0, -1) }), /another key/)
    await undecodable(codec.decode(stream, { ...wire, topic: moved }), /another place/)
    await undecodable(codec.decode('spaces/other', wire), /another place/)
    await undecodable(codec.decode(stream, { topic: wire.topic, format: 'json', data: 1 }), /not encrypted/)
    await undecodable(codec.decode(stream, { ...wire, data: new Uint8Array(0) }), /not encrypted/)
  })

  it('what the server writes passes as it is', async () => {
    const notice: Clear = { topic: '$acl', format: 'json', data: { withdrawn: 'bob' } }
    expect(await codec.decode(stream, notice)).to.equal(notice)
  })

  it('no two payloads are alike', async () => {
    const clear: Clear = { topic: 'a', format: 'text', data: 'same' }
    const wires = await Promise.all(Array.from({ length: 50 }, () => codec.encode(stream, clear)))
    expect(new Set(wires.map(({ data }) => String(data)))).to.have.property('size', 50)
  })

  it('after a rotation the old is read still, the new by whoever has its key, and topics stay the same', async () => {
    const before = await made(1, 'k1')
    const old = await before.encode(stream, { topic: 'a', format: 'json', data: 'old' })
    const topicKey = await keyFromBytes(raw(101))
    const keys = [
      { id: 'k2', key: await keyFromBytes(raw(2)) },
      { id: 'k1', key: await keyFromBytes(raw(1)) },
    ]
    const after = await encryption({ keys, topicKey })
    expect((await after.decode(stream, old)).data).to.equal('old')
    const fresh = await after.encode(stream, { topic: 'a', format: 'json', data: 'new' })
    expect(fresh.topic).to.equal(old.topic)
    await undecodable(before.decode(stream, fresh), /no key "k2"/)
    expect((await after.decode(stream, fresh)).data).to.equal('new')
  })

  it('[P-15.1] a message between users is read in the inbox as in the outbox', async () => {
    const wire = await codec.encode('outbox/alice', { topic: 'bob/hello/1', format: 'text', data: 'hi' })
    expect(wire.topic).to.match(/^bob\/[\w-]{16}\/[\w-]{16}$/)
    const delivered = { ...wire, topic: wire.topic.replace('bob/', 'alice/') }
    expect(await codec.decode('inbox/bob', delivered)).to.deep.equal({ topic: 'alice/hello/1', format: 'text', data: 'hi' })
    await undecodable(codec.decode('inbox/carol', delivered), /another place/)
    expect(await codec.topic('inbox/bob', 'alice/hello/1')).to.equal(delivered.topic)
  })

  it('a passphrase gives the same key with the same salt and iterations only; keys of your own will do', async () => {
    const salt = new Uint8Array(16).fill(7)
    const from = async (...parameters: Parameters<typeof keyFromPassphrase>): Promise<Codec> =>
      encryption({ keys: [{ id: 'k1', key: await keyFromPassphrase(...parameters) }], topicKey: await keyFromBytes(raw(101)) })
    const wire = await (await from('correct horse', salt, 1_000)).encode(stream, { topic: 'a', format: 'json', data: 1 })
    expect((await (await from('correct horse', salt, 1_000)).decode(stream, wire)).data).to.equal(1)
    await undecodable((await from('correct horse', salt, 1_001)).decode(stream, wire), /another key/)
    await undecodable((await from('correct horse', new Uint8Array(16), 1_000)).decode(stream, wire), /another key/)
    const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
    const topicKey = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    const own = await encryption({ keys: [{ id: 'mine', key }], topicKey })
    const clear: Clear = { topic: 'a', format: 'json', data: 1 }
    expect(await own.decode(stream, await own.encode(stream, clear))).to.deep.equal(clear)
  })

  it('keys that are none are refused', async () => {
    const topicKey = await keyFromBytes(raw(1))
    const failing = [
      keyFromBytes(new Uint8Array(16)),
      keyFromPassphrase('x', new Uint8Array(8)),
      encryption({ keys: [], topicKey }),
      encryption({ keys: [{ id: '', key: topicKey }], topicKey }),
    ]
    for (const result of await Promise.allSettled(failing)) {
      expect(result.status === 'rejected' && (result.reason as ClientError).code).to.equal('bad-value')
    }
  })

  it('[P-9.14] a real server sees ciphertext only, and chained conditions and deletions go on working', async () => {
    const server = await makeWorld()
    try {
      const session = new HttpSession(server.url, 'carol')
      const world = makeOutbox({ codec, store: new MemoryStore(), uid: () => 'carol', history: httpHistory(server.url, 'carol') })
      world.outbox.attach(session, 1)
      const secret = { title: 'Top secret' }
      const { pos } = await world.outbox.publish(stream, 'cards/42', secret, { retain: true, if: 'none' })
      await world.outbox.publish(stream, 'cards/42', { ...secret, v: 2 }, { retain: true, if: pos })
      await world.outbox.publish(stream, 'cards/43', 'other', { retain: true })
      await world.outbox.publish(stream, 'cards/43', undefined, { retain: true })
      await append(server, stream, [{ topic: `${stream}/plain`, payload: 'not encrypted' }])

      const seen = await ask(server, '/v1/streams/spaces/board/entries', { token: 'bob' })
      for (const word of ['cards', '42', 'secret', 'title'])
        expect(seen.text.replaceAll(/"pos":"[^"]*"|"ts":\d+|"hops":\{[^}]*\}/g, '')).to.not.include(`"${word}`)
      const entries = seen.body['entries'] as { topic: string; base64?: string }[]
      const first = entries[0] as { topic: string; base64: string }
      const wire: Clear = { topic: first.topic.slice(stream.length + 1), format: 'bytes', data: bytesOfBase64(first.base64) }
      expect(await (await made(1)).decode(stream, wire)).to.deep.equal({ topic: 'cards/42', format: 'json', data: secret })
      const state = await ask(server, `/v1/streams/spaces/board/state?topic=${encodeURIComponent(await codec.topic(stream, 'cards/#'))}`, {
        token: 'bob',
      })
      expect(state.body['entries']).to.have.length(1)
      await world.outbox.close()
    } finally {
      await server.close()
    }
  })
})

async function made(fill: number, id = 'k1'): Promise<Codec> {
  return encryption({ keys: [{ id, key: await keyFromBytes(raw(fill)) }], topicKey: await keyFromBytes(raw(fill + 100)) })
}

async function undecodable(decoding: Promise<unknown>, reason: RegExp): Promise<void> {
  const error = await decoding.then(
    () => undefined,
    (thrown: ClientError) => thrown,
  )
  expect(error?.message).to.match(reason)
}
