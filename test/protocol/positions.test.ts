import { expect } from 'chai'
import * as fc from 'fast-check'
import { SyncError } from '../../protocol/errors.ts'
import { emptyMark, formatPosition, parsePosition } from '../../protocol/positions.ts'

const seqs = fc.oneof(fc.nat(1_000), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))
const epochs = fc.stringMatching(/^[A-Za-z0-9_-]{8}$/)
const marks = fc.stringMatching(/^[A-Za-z0-9_-]{4}$/)

describe('a position', () => {
  it('is read back as it was written [P-2.1]', () => {
    fc.assert(
      fc.property(epochs, seqs, marks, (epoch, seq, mark) => {
        const text = formatPosition(epoch, seq, mark)
        expect(parsePosition(text)).to.deep.equal({ epoch, seq, mark })
      }),
      { numRuns: 1_000 },
    )
  })

  it('has one text only: whatever is read is written the same [P-2.3]', () => {
    let read = 0
    const nearly = fc.tuple(
      fc.stringMatching(/^[A-Za-z0-9_-]{7,9}$/),
      fc.stringMatching(/^0?[0-9]{1,17}$/),
      fc.stringMatching(/^[A-Za-z0-9_-]{3,5}$/),
    )
    fc.assert(
      fc.property(fc.oneof(fc.tuple(epochs, seqs.map(String), marks), nearly), (parts) => {
        const text = parts.join('.')
        try {
          const { epoch, seq, mark } = parsePosition(text)
          expect(formatPosition(epoch, seq, mark)).to.equal(text)
          read++
        } catch (error) {
          expect(error).to.be.instanceOf(SyncError).and.to.have.property('code', 'bad-position')
        }
      }),
      { numRuns: 2_000 },
    )
    expect(read).to.be.within(500, 1_950)
  })

  it('of the empty beginning is seq 0 [P-2.5]', () => {
    expect(formatPosition('AbCd_-12', 0, emptyMark)).to.equal('AbCd_-12.0.0000')
    expect(parsePosition('AbCd_-12.0.0000')).to.deep.equal({ epoch: 'AbCd_-12', seq: 0, mark: '0000' })
  })

  const malformed = [
    '',
    'AbCd_-12',
    'AbCd_-12.1',
    'AbCd_-1.1.mark',
    'AbCd_-123.1.mark',
    'AbCd_-12..mark',
    'AbCd_-12.01.mark',
    'AbCd_-12.-1.mark',
    'AbCd_-12.+1.mark',
    'AbCd_-12.1e3.mark',
    'AbCd_-12.1.mar',
    'AbCd_-12.1.marks',
    'AbCd_-12.1.ma=k',
    'AbCd_-12.1.mark.',
    ' AbCd_-12.1.mark',
    'AbCd_-12.1.mark\n',
    'AbCd_-12.9007199254740993.mark',
    'AbCd_-12.12345678901234567.mark',
    'AbCd_+12.1.mark',
    'AbCd_-12.١.mark',
  ]
  for (const text of malformed) {
    it(`is not ${JSON.stringify(text)} [P-2.2 – P-2.4]`, () => {
      expect(() => parsePosition(text))
        .to.throw(SyncError)
        .with.property('code', 'bad-position')
    })
  }
})
