import { createHash } from 'node:crypto'
import { expect } from 'chai'
import * as fc from 'fast-check'
import { decodeName, encodeName, encodeUid, isCanonicalName, isCanonicalUid } from '../../protocol/names.ts'

const raws = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  fc.stringMatching(/^[A-Za-z0-9_-]{1,80}$/),
  fc.emailAddress(),
)

describe('an encoded name', () => {
  it('is plain ASCII, never holds `~`, and decodes to what it was made of [P-1.8, P-1.9]', () => {
    const seen = { encoded: 0, hashed: 0 }
    fc.assert(
      fc.property(raws, (raw) => {
        const level = encodeName(raw)
        expect(level).to.match(/^[A-Za-z0-9_=-]{1,64}$/)
        expect(isCanonicalName(level)).to.equal(true)
        expect(isCanonicalUid(level)).to.equal(true)
        const escaped = escapeByHand(raw)
        if (escaped.length <= 64) {
          expect(level).to.equal(escaped)
          expect(decodeName(level)).to.equal(raw)
          seen.encoded++
        } else {
          expect(level).to.equal(`=h${createHash('sha256').update(escaped).digest('base64url')}`)
          expect(level).to.have.lengthOf(45)
          seen.hashed++
        }
      }),
      { numRuns: 3_000 },
    )
    expect(Math.min(seen.encoded, seen.hashed), JSON.stringify(seen)).to.be.greaterThan(300)
  })

  it('is canonical exactly if its decoding, encoded, gives it back, or it is a hash form [P-1.11]', () => {
    const seen = { canonical: 0, other: 0 }
    const pieces = fc.constantFrom(
      'a',
      'Z',
      '0',
      '_',
      '-',
      '=20',
      '=C3=9F',
      '=2e',
      '=41',
      '=FF',
      '=',
      '=h',
      '.',
      'ß',
      '~',
      '=00',
      '=F0=9F=98=80',
    )
    const levels = fc.oneof(
      fc.array(pieces, { maxLength: 8 }).map((list) => list.join('')),
      fc.integer({ min: 40, max: 46 }).map((length) => `=h${'x'.repeat(length)}`),
      fc.integer({ min: 60, max: 70 }).map((length) => 'y'.repeat(length)),
    )
    fc.assert(
      fc.property(levels, (level) => {
        const decoded = decodeName(level)
        const expected = /^=h[A-Za-z0-9_-]{43}$/.test(level) || (level !== '' && decoded !== undefined && encodeName(decoded) === level)
        expect(isCanonicalName(level), level).to.equal(expected)
        seen[expected ? 'canonical' : 'other']++
      }),
      { numRuns: 3_000 },
    )
    expect(Math.min(seen.canonical, seen.other), JSON.stringify(seen)).to.be.greaterThan(300)
  })

  it('is unlike that of any other name', () => {
    fc.assert(
      fc.property(raws, raws, (one, other) => {
        expect(encodeName(one) === encodeName(other)).to.equal(one === other)
      }),
      { numRuns: 1_000 },
    )
  })

  it('becomes a hash above 64 bytes, not at 64 [P-1.10]', () => {
    expect(encodeName('x'.repeat(64))).to.equal('x'.repeat(64))
    expect(encodeName('x'.repeat(65))).to.match(/^=h[A-Za-z0-9_-]{43}$/)
    expect(encodeName(' '.repeat(21))).to.equal('=20'.repeat(21))
    expect(encodeName(' '.repeat(22))).to.match(/^=h/)
    expect(isCanonicalName('x'.repeat(65))).to.equal(false)
  })

  it('of a user whose issuer has a prefix meets no other [P-1.9]', () => {
    fc.assert(
      fc.property(raws, fc.stringMatching(/^[a-z0-9-]{1,16}$/), (sub, prefix) => {
        const uid = encodeUid(sub, prefix)
        expect(uid.startsWith(`${prefix}~`)).to.equal(true)
        expect(uid.split('~')).to.have.lengthOf(2)
        expect(isCanonicalUid(uid)).to.equal(true)
        expect(isCanonicalName(uid)).to.equal(false)
        expect(encodeUid(sub)).to.equal(encodeName(sub))
      }),
    )
  })

  for (const level of [
    '',
    '=',
    '=4',
    '=41',
    '=2e',
    '=20=',
    'a b',
    'a.b',
    'ß',
    '=C3',
    '=FF',
    '=h',
    'a~b~c',
    '~a',
    'a~',
    '~anonymous',
    '~http',
  ]) {
    it(`is not ${JSON.stringify(level)} [P-1.11, P-1.14]`, () => {
      expect(isCanonicalUid(level)).to.equal(false)
    })
  }
})

function escapeByHand(raw: string): string {
  return [...Buffer.from(raw)]
    .map((byte) => (/[A-Za-z0-9_-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `=${hex(byte)}`))
    .join('')
}

function hex(byte: number): string {
  return (byte < 16 ? '0' : '') + byte.toString(16).toUpperCase()
}
