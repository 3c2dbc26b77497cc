import { expect } from 'chai'
import { drawEpoch } from '../../log/epoch.ts'

describe('a new epoch', () => {
  it('[P-2.2] has eight characters, and no hyphen at its beginning', () => {
    const drawn = Array.from({ length: 2_000 }, () => drawEpoch())
    expect(drawn.filter((epoch) => !/^[A-Za-z0-9_][A-Za-z0-9_-]{7}$/.test(epoch))).to.deep.equal([])
    expect(new Set(drawn).size).to.equal(drawn.length)
  })
})
