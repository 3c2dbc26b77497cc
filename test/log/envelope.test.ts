import { expect } from 'chai'
import * as fc from 'fast-check'
import type { Entry } from '../../log/entry.ts'
import { encodeEnvelope, ephemeralEnvelope, isJson } from '../../log/envelope.ts'

const position = 'epoch-01.12.mark'

function entryOf(payload: Uint8Array, fields: Partial<Entry> = {}): Entry {
  return {
    seq: 12,
    mark: 'mark',
    id: 'an-id',
    ts: 1_700_000_000_000,
    from: 'alice',
    client: 'phone',
    topic: 'users/alice/notes/1',
    payload: Buffer.from(payload),
    retain: false,
    qos: 1,
    ...fields,
  }
}

type Form = 'data' | 'text' | 'base64'
const kinds: [string, string | number[], Form][] = [
  ['an object', '{"a":1}', 'data'],
  ['an object with white space around and within', ' \r\n\t{ "a" : [ 1 , 2 ] }\n', 'data'],
  ['an array', '[]', 'data'],
  ['a string', '"text"', 'data'],
  ['a string with escapes', String.raw`"\"\\\/\b\f\n\r\t\u00e9\uD83D"`, 'data'],
  ['a string beyond ASCII', '"Grüße \u{1f600}\u2028"', 'data'],
  ['a string with DEL', '"\u007f"', 'data'],
  ['numbers as JSON has them', '[0,-0,1.5,-1.5e10,1E+2,2e-3,10]', 'data'],
  ['a number', '42', 'data'],
  ['a literal', 'true', 'data'],
  ['null', 'null', 'data'],
  ['members with one name', '{"a":1,"a":2}', 'data'],
  ['two literals', 'true false', 'text'],
  ['a literal cut short', 'nul', 'text'],
  ['a literal and more', 'nullify', 'text'],
  ['a leading zero', '012', 'text'],
  ['a plus sign', '+1', 'text'],
  ['a dot without digits', '1.', 'text'],
  ['an exponent without digits', '1e', 'text'],
  ['a lone minus', '-', 'text'],
  ['a comma too many', '[1,]', 'text'],
  ['an object never closed', '{"a":1', 'text'],
  ['an object closed as an array', '{"a":1]', 'text'],
  ['a name without quotes', '{a:1}', 'text'],
  ['single quotes', "'a'", 'text'],
  ['a log line that begins like an array', '[INFO] started', 'text'],
  ['a sentence', 'Hello, "world"!', 'text'],
  ['text beyond ASCII', 'Grüße \u{1f600}', 'text'],
  ['several lines', 'one line\nand another one\n', 'text'],
  ['a byte order mark', '\ufeff{"a":1}', 'text'],
  ['nothing', '', 'text'],
  ['white space', ' \n', 'text'],
  ['text of which half needs escaping', '""""""""', 'base64'],
  ['control characters', '\u0000\u0001\u0002', 'base64'],
  ['a raw line feed within a JSON string', '"a\nb"', 'text'],
  ['an unknown escape', String.raw`"\x"`, 'text'],
  ['an escape cut short', String.raw`"cut short: \u12"`, 'text'],
  ['bytes that are not UTF-8', [0xff, 0xfe, 1], 'base64'],
  ['JSON around bytes that are not UTF-8', [0x22, 0xc3, 0x22], 'base64'],
]

describe('an envelope', () => {
  for (const [name, payload, form] of kinds) {
    it(`shows ${name} as ${form} [P-3.14 – P-3.16]`, () => {
      const bytes = Buffer.from(payload as string)
      expectPayload(encodeEnvelope(entryOf(bytes), position), bytes, form)
      expectPayload(ephemeralEnvelope(entryOf(bytes)), bytes, form)
    })
  }

  it('has its members in the order of the clauses, and no more of them [P-3.3 – P-3.12]', () => {
    const hops = { received: 1, authorised: 2, committed: 3, written: 4 }
    const plain = encodeEnvelope(entryOf(Buffer.from('{"a": 1}')), position).toString()
    const head = `"id":"an-id","ts":1700000000000,"from":"alice","client":"phone","topic":"users/alice/notes/1"`
    expect(plain).to.equal(`{"pos":"${position}",${head},"data":{"a": 1}}`)
    expect(encodeEnvelope(entryOf(Buffer.from('hi'), { retain: true }), position, { hops }).toString()).to.equal(
      `{"pos":"${position}",${head},"retain":true,"text":"hi","hops":{"received":1,"authorised":2,"committed":3,"written":4}}`,
    )
  })

  it('shows a deletion without a payload; an empty payload without retain is none [P-3.10, P-3.21]', () => {
    const hops = { received: 1, authorised: 2, committed: 3, written: 4 }
    const nothing = Buffer.alloc(0)
    const deletion = parse(encodeEnvelope(entryOf(nothing, { retain: true }), position, { hops }))
    expect(deletion).to.include({ retain: true, deleted: true, pos: position }).and.to.have.property('hops').that.deep.equals(hops)
    expect(deletion).to.not.have.any.keys('data', 'text', 'base64')
    expect(parse(encodeEnvelope(entryOf(nothing), position)))
      .to.include({ text: '' })
      .and.to.not.have.any.keys('deleted', 'retain')
  })

  it('of an ephemeral message says so and has neither pos nor id [P-3.13]', () => {
    const { ts, from, client, topic, payload } = entryOf(Buffer.from('21.5'))
    expect(ephemeralEnvelope({ ts, from, client, topic, payload }).toString()).to.equal(
      `{"ts":1700000000000,"from":"alice","client":"phone","topic":"users/alice/notes/1","data":21.5,"ephemeral":true}`,
    )
  })

  it('gives back every payload and topic', () => {
    const seen = { data: 0, text: 0, base64: 0 }
    const payloads = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.string({ unit: 'binary', maxLength: 60 }).map((text) => Buffer.from(text)),
      fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => Buffer.from(text)),
      fc.json().map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(payloads, fc.string({ unit: 'grapheme', minLength: 1 }), fc.boolean(), (payload, topic, retain) => {
        fc.pre(payload.length > 0)
        const envelope = encodeEnvelope(entryOf(payload, { topic, retain }), position)
        const shown = parse(envelope)
        const form = (['data', 'text', 'base64'] as const).find((member) => member in shown) as Form
        expectPayload(envelope, Buffer.from(payload), form)
        expect(shown['topic']).to.equal(topic)
        seen[form]++
      }),
      { numRuns: 2_000 },
    )
    expect(Math.min(seen.data, seen.text, seen.base64), JSON.stringify(seen)).to.be.greaterThan(200)
  })

  it('knows JSON as JSON.parse does, whole and damaged', () => {
    const seen = { json: 0, other: 0 }
    const damage = fc.tuple(
      fc.constantFrom('none', 'drop', 'insert', 'change', 'cut'),
      fc.nat(),
      fc.constantFrom(...Array.from('{}[]",:\\u0.e-+ntf \n\u0001é')),
    )
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.array(damage, { maxLength: 2 }), (json, damages) => {
        const text = damages.reduce(damaged, json)
        const expected = parses(text)
        expect(isJson(Buffer.from(text)), text).to.equal(expected)
        seen[expected ? 'json' : 'other']++
      }),
      { numRuns: 5_000 },
    )
    expect(Math.min(seen.json, seen.other), JSON.stringify(seen)).to.be.greaterThan(1_000)
  })

  it('takes JSON of any depth and size without harm', () => {
    const depth = 45_000
    expect(isJson(Buffer.from('['.repeat(depth) + ']'.repeat(depth)))).to.equal(true)
    expect(isJson(Buffer.from('['.repeat(depth * 2)))).to.equal(false)
    expect(isJson(Buffer.from('{"a":'.repeat(10_000) + '1' + '}'.repeat(10_000)))).to.equal(true)
    expect(isJson(Buffer.from(`"${'x'.repeat(90_000)}`))).to.equal(false)
  })
})

function expectPayload(envelope: Buffer, payload: Buffer, form: Form): void {
  const shown = parse(envelope)
  expect(['data', 'text', 'base64'].filter((member) => member in shown)).to.deep.equal([form])
  if (form === 'text') expect(Buffer.from(shown['text'] as string).equals(payload)).to.equal(true)
  if (form === 'base64') expect(shown['base64']).to.equal(payload.toString('base64'))
  if (form !== 'data') return
  expect(shown['data']).to.deep.equal(JSON.parse(payload.toString()))
  expect(envelope.includes(Buffer.concat([Buffer.from('"data":'), payload])), 'verbatim').to.equal(true)
}

function damaged(text: string, [how, place, character]: [string, number, string]): string {
  const at = text.length === 0 ? 0 : place % text.length
  if (how === 'none') return text
  if (how === 'cut') return text.slice(0, at)
  return text.slice(0, at) + (how === 'drop' ? '' : character) + text.slice(how === 'insert' ? at : at + 1)
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function parse(envelope: Buffer): Record<string, unknown> {
  return JSON.parse(envelope.toString()) as Record<string, unknown>
}
